"""What all commands that use an account share: options, output and exit codes.

Keys come from the environment only, never from the command line, where other users of
the machine could read them.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any

import attrs
import click
from platformdirs import user_data_path

from personakit.client import DEFAULT_TIMEOUT, PersonaKit
from personakit.errors import (
    AuthenticationError,
    InsufficientCredits,
    InvalidRequest,
    OutcomeUnknown,
    PersonaKitError,
    Unsupported,
    WaitTimeout,
)
from personakit.providers import PROVIDERS

REFUSED, FAILED, UNKNOWN, RUNNING, INTERRUPTED = 3, 4, 5, 6, 130
"""Exit codes; 0 is done, 2 wrong usage."""
_REFUSALS = (AuthenticationError, InsufficientCredits, InvalidRequest, Unsupported)


def find_exit_code(error: PersonaKitError) -> int:
    """Return what a script is told of an error."""
    if isinstance(error, OutcomeUnknown):
        return UNKNOWN
    if isinstance(error, WaitTimeout):
        return RUNNING
    return REFUSED if isinstance(error, _REFUSALS) else FAILED


@attrs.frozen
class Account:
    """What the options of every such command say.

    Attributes:
        provider: Name of the service.
        base_url: None for its own.
        journal: Path of the file in which submits are kept.
        timeout: Seconds.
        as_json: True to print JSON only.
    """

    provider: str
    base_url: str | None
    journal: Path
    timeout: float
    as_json: bool

    def open(self) -> PersonaKit:
        """Make the client."""
        self.journal.parent.mkdir(parents=True, exist_ok=True)
        return PersonaKit(
            self.provider,
            base_url=self.base_url,
            journal=self.journal,
            timeout=self.timeout,
        )

    def say(self, text: str) -> None:
        """Tell people what is going on, beside the output."""
        if not self.as_json:
            click.echo(text, err=True)

    def show(self, text: str, value: object) -> None:
        """Print the outcome, for people or for programs."""
        told = json.dumps(value, ensure_ascii=False) if self.as_json else text
        click.echo(told)


def account_command(
    command: Callable[..., Coroutine[Any, Any, None]],
) -> Callable[..., None]:
    """Give a command the options of an account, and turn errors into exit codes."""

    @click.option(
        "--provider",
        type=click.Choice(tuple(PROVIDERS)),
        default="evolink",
        show_default=True,
        envvar="PERSONAKIT_PROVIDER",
        show_envvar=True,
        help="Service. Its key comes from its own variable, EVOLINK_API_KEY say.",
    )
    @click.option(
        "--base-url",
        envvar="PERSONAKIT_BASE_URL",
        show_envvar=True,
        help="Address of the service, where it is not its own.",
    )
    @click.option(
        "--journal",
        type=click.Path(dir_okay=False, path_type=Path),
        default=lambda: user_data_path("personakit") / "jobs.db",
        envvar="PERSONAKIT_JOURNAL",
        show_envvar=True,
        help="File in which every submit is kept.",
    )
    @click.option("--timeout", default=DEFAULT_TIMEOUT, show_default=True)
    @click.option("--json", "as_json", is_flag=True, help="Print JSON only.")
    @wraps(command)
    def run(
        provider: str,
        base_url: str | None,
        journal: Path,
        timeout: float,
        as_json: bool,  # noqa: FBT001 - click passes it by name
        **more: Any,
    ) -> None:
        account = Account(provider, base_url, journal, timeout, as_json)
        try:
            asyncio.run(command(account, **more))
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
