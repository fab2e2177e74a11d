"""What all commands that use an account share: options, output and exit codes.

Keys come from the environment or the keyring, never from the command line, where other
users of the machine could read them. What is not said on the command line comes from
the environment, then from the file of settings.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tomllib
from collections.abc import Callable, Coroutine, Mapping
from functools import cached_property, wraps
from pathlib import Path
from typing import Any

import attrs
import click
from platformdirs import user_config_path, user_data_path
from rich.console import Console

from personakit.cli.keys import find_stored_key
from personakit.client import DEFAULT_TIMEOUT, PersonaKit
from personakit.environment import find_base_url, find_key, make_account
from personakit.errors import (
    AuthenticationError,
    InsufficientCredits,
    InvalidRequest,
    OutcomeUnknown,
    PersonaKitError,
    Unsupported,
    WaitTimeout,
    invalid,
)
from personakit.journal import Account as Owner
from personakit.providers import PROVIDERS, find_provider

REFUSED, FAILED, UNKNOWN, RUNNING, INTERRUPTED = 3, 4, 5, 6, 130
"""Exit codes; 0 is done, 2 wrong usage."""
_REFUSALS = (AuthenticationError, InsufficientCredits, InvalidRequest, Unsupported)
_SETTINGS = {
    "provider": str,
    "base_url": str,
    "journal": str,
    "account": str,
    "timeout": float,
}
_URLS = ("postgresql:", "postgres:")


def find_exit_code(error: PersonaKitError) -> int:
    """Return what a script is told of an error."""
    if isinstance(error, OutcomeUnknown):
        return UNKNOWN
    if isinstance(error, WaitTimeout):
        return RUNNING
    return REFUSED if isinstance(error, _REFUSALS) else FAILED


def find_settings_path() -> Path:
    """Return where the file of settings is, or would be."""
    told = os.environ.get("PERSONAKIT_CONFIG")
    return Path(told) if told else user_config_path("personakit") / "config.toml"


def read_settings(path: Path) -> dict[str, Any]:
    """Read the file of settings; one that is missing sets nothing.

    Raises:
        UsageError: the file has a mistake.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from error
    for name, value in told.items():
        shape = _SETTINGS.get(name)
        if shape is None:
            known = ", ".join(_SETTINGS)
            raise click.UsageError(f"{path}: {name} is none of {known}")
        if not isinstance(value, (float, int) if shape is float else shape):
            raise click.UsageError(f"{path}: {name} must be a {shape.__name__}")
    if told.get("provider", "evolink") not in PROVIDERS:
        known = ", ".join(PROVIDERS)
        raise click.UsageError(f"{path}: provider must be one of {known}")
    return told


def find_journal(given: str | None, settings: Mapping[str, Any]) -> str:
    """Return the journal that was named, that of the settings, or the usual one."""
    usual = str(user_data_path("personakit") / "jobs.db")
    return given or settings.get("journal", usual)


def is_url(journal: str) -> bool:
    """Tell a database from a file."""
    return journal.startswith(_URLS)


@attrs.frozen(slots=False)
class CliContext:
    """What the options of every such command say.

    Attributes:
        provider: Name of the service.
        base_url: None for that of the environment, or its own.
        journal: Path of the file in which submits are kept, or URL of a database.
        timeout: Seconds.
        as_json: True to print JSON only.
        name: Name of the account, None for a fingerprint of its key.
    """

    provider: str
    base_url: str | None
    journal: str
    timeout: float
    as_json: bool
    name: str | None = None

    @cached_property
    def console(self) -> Console:
        """Where people are told what is going on, beside the output."""
        return Console(stderr=True, quiet=self.as_json)

    def open(self) -> PersonaKit:
        """Make the client."""
        self.make_folder()
        return PersonaKit(
            self.provider,
            api_key=self.find_key()[0],
            base_url=self.base_url,
            journal=self.journal,
            account=self.name,
            timeout=self.timeout,
        )

    def make_folder(self) -> None:
        """Create the folder of the journal: a fresh machine has none yet.

        Raises:
            InvalidRequest: it cannot be created.
        """
        if is_url(self.journal):
            return
        folder = Path(self.journal).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise invalid(
                "journal",
                f"needs the folder {folder}, which cannot be created "
                f"({error.strerror})",
                "Pass another path, or create the folder",
            ) from error

    def find_owner(self, name: str | None = None) -> Owner:
        """Return the account as a journal knows it.

        Args:
            name: None for the account's own name, or the fingerprint of its key.

        Raises:
            AuthenticationError: there is neither a name nor a key.
        """
        provider = find_provider(self.provider)
        base_url, _ = find_base_url(provider, self.base_url)
        name = name or self.name
        if name is not None:
            return Owner(provider.name, str(base_url), name)
        key = find_key(self.find_key()[0], provider.key_variable)
        return make_account(provider, base_url, key, None)

    def find_key(self) -> tuple[str | None, str]:
        """Return the key, None for none, and where it is or should be."""
        variable = find_provider(self.provider).key_variable
        if os.environ.get(variable):
            return os.environ[variable], variable
        stored = find_stored_key(variable)
        return stored, variable if stored is None else "the keyring"

    def info(self, text: str) -> None:
        """Tell people what is going on, beside the output."""
        if not self.as_json:
            click.echo(text, err=True)

    def output(self, text: str, value: object) -> None:
        """Print the outcome, for people or for programs."""
        told = json.dumps(value, ensure_ascii=False) if self.as_json else text
        click.echo(told)


def _make_context(
    *,
    provider: str | None,
    base_url: str | None,
    journal: str | None,
    timeout: float | None,
    as_json: bool,
    name: str | None,
) -> CliContext:
    """Fill in what was not said from the file of settings, and the usual."""
    told = read_settings(find_settings_path())
    return CliContext(
        provider or told.get("provider", "evolink"),
        base_url or told.get("base_url"),
        find_journal(journal, told),
        told.get("timeout", DEFAULT_TIMEOUT) if timeout is None else timeout,
        as_json,
        name or told.get("account"),
    )


def with_context(
    command: Callable[..., Coroutine[Any, Any, None]],
) -> Callable[..., None]:
    """Give a command the options of an account, and turn errors into exit codes."""

    @click.option(
        "--provider",
        type=click.Choice(tuple(PROVIDERS)),
        envvar="PERSONAKIT_PROVIDER",
        show_envvar=True,
        help="Service, evolink if not told; its key is in EVOLINK_API_KEY, say.",
    )
    @click.option(
        "--base-url",
        envvar="PERSONAKIT_BASE_URL",
        show_envvar=True,
        help="Address of the service, where it is not its own.",
    )
    @click.option(
        "--journal",
        envvar="PERSONAKIT_JOURNAL",
        show_envvar=True,
        help="File in which every submit is kept, or the URL of a database.",
    )
    @click.option(
        "--account",
        "account_name",
        envvar="PERSONAKIT_ACCOUNT",
        show_envvar=True,
        help="Name of the account [default: a fingerprint of its key].",
    )
    @click.option(
        "--timeout", type=float, help=f"Seconds, {DEFAULT_TIMEOUT:g} usually."
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON only.")
    @wraps(command)
    def run(
        *,
        provider: str | None,
        base_url: str | None,
        journal: str | None,
        timeout: float | None,
        as_json: bool,
        account_name: str | None,
        **more: Any,
    ) -> None:
        context = _make_context(
            provider=provider,
            base_url=base_url,
            journal=journal,
            timeout=timeout,
            as_json=as_json,
            name=account_name,
        )
        try:
            asyncio.run(command(context, **more))
        except PersonaKitError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(find_exit_code(error))
        except KeyboardInterrupt:
            click.echo(
                "Interrupted. What was submitted runs on: personakit jobs resume",
                err=True,
            )
            sys.exit(INTERRUPTED)

    return run
