"""The commands that see to a working set-up: doctor, key."""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

import attrs
import click

from personakit.cli.context import (
    FAILED,
    CliContext,
    find_settings_path,
    is_url,
    read_settings,
    with_context,
)
from personakit.cli.keys import has_keyring, store_key
from personakit.client import PersonaKit
from personakit.errors import PersonaKitError
from personakit.journal import SubmitState
from personakit.providers import PROVIDERS, find_provider
from personakit.version import __version__

PATIENCE = 10.0
"""Seconds for the service to answer."""
SKEW = 60.0
"""Seconds from which on a difference of clocks is told as a fault."""
_EXTRAS = ("keyring", "psycopg", "procrastinate")


@attrs.frozen
class Finding:
    """What one look has shown.

    Attributes:
        what: Was looked at.
        is_good: False for what has to be mended.
        text: What was seen.
    """

    what: str
    is_good: bool
    text: str


@click.command()
@with_context
async def doctor(context: CliContext) -> None:
    """Look at versions, settings, key, journal and service; costs nothing."""
    findings = [_look_at_versions(), *_look_at_settings(context)]
    key, place = context.find_key()
    findings.append(
        Finding(
            "key", is_good=key is not None, text=f"{'in' if key else 'not in'} {place}"
        )
    )
    if key is not None:
        async with context.open() as kit:
            findings += [
                await _look_at_journal(context, kit),
                await _look_at_service(kit),
            ]
    lines = [f"{'ok ' if f.is_good else 'BAD'}  {f.what}: {f.text}" for f in findings]
    context.output("\n".join(lines), [attrs.asdict(finding) for finding in findings])
    if not all(finding.is_good for finding in findings):
        sys.exit(FAILED)


def _look_at_versions() -> Finding:
    names = ("aiohttp", "attrs", "cattrs", "backoff", *_EXTRAS)
    told = [f"personakit {__version__}", f"python {platform.python_version()}"]
    for name in names:
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            told.append(f"no {name}")
    return Finding("versions", is_good=True, text=", ".join(told))


def _look_at_settings(context: CliContext) -> list[Finding]:
    path = find_settings_path()
    told = read_settings(path)
    text = f"{path} sets {', '.join(told)}" if told else f"none in {path}"
    return [
        Finding("settings", is_good=True, text=text),
        Finding("service", is_good=True, text=context.provider),
    ]


async def _look_at_journal(context: CliContext, kit: PersonaKit) -> Finding:
    name = context.journal
    if is_url(name):  # which may hold a password
        place = urlsplit(name)
        name = f"{place.hostname or 'local'}{place.path}"
    try:
        pending = await kit.pending()
    except PersonaKitError as error:
        return Finding("journal", is_good=False, text=f"{name}: {error}")
    unknown = sum(record.state is SubmitState.UNKNOWN for record in pending)
    return Finding("journal", is_good=True, text=f"{name}, {unknown} outcomes unknown")


async def _look_at_service(kit: PersonaKit) -> Finding:
    try:
        ping = await kit.ping(timeout=PATIENCE)
    except PersonaKitError as error:
        return Finding("reachable", is_good=False, text=str(error))
    text = f"the key is good, answered in {ping.seconds * 1000:.0f} ms"
    if ping.clock is None:
        return Finding("reachable", is_good=True, text=text)
    text += f", its clock is {ping.clock:+.0f} s from ours"
    return Finding("reachable", is_good=abs(ping.clock) < SKEW, text=text)


@click.group()
def key() -> None:
    """Keep the key of a service in the platform's keyring."""


_provider = click.argument("provider", type=click.Choice(tuple(PROVIDERS)))


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON only.")


@key.command("set")
@_provider
@_as_json
def set_key(provider: str, *, as_json: bool) -> None:
    """Ask for the key of PROVIDER, without showing it, and keep it."""
    variable = find_provider(provider).key_variable
    if not has_keyring():
        store_key(variable, None)  # says what is missing
    store_key(variable, click.prompt("Key", hide_input=True, err=True))
    click.echo(json.dumps({"kept": variable}) if as_json else "Kept.")


@key.command("forget")
@_provider
@_as_json
def forget_key(provider: str, *, as_json: bool) -> None:
    """Forget the key of PROVIDER."""
    variable = find_provider(provider).key_variable
    store_key(variable, None)
    click.echo(json.dumps({"forgotten": variable}) if as_json else "Forgotten.")
