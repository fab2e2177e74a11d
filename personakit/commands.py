"""The commands that make something: songs, personas and batches."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, TextIO, cast

import attrs
import click

from personakit.account import Account, account_command, find_exit_code
from personakit.batch import CONCURRENCY, Outcome
from personakit.client import PersonaKit
from personakit.console import counting
from personakit.errors import InvalidRequest, PersonaKitError
from personakit.jobcommands import delivering, finish, out_option
from personakit.lines import read_line
from personakit.models import Persona, Track, TrackRef, VocalWindow
from personakit.requests import (
    CoverRequest,
    ExtendRequest,
    JobRequest,
    MusicRequest,
    PersonaRequest,
)
from personakit.results import describe, to_json


@click.command("credits")
@account_command
async def show_credits(account: Account) -> None:
    """Show the balance of the account."""
    async with account.open() as kit:
        balance = await kit.credits()
    account.show(f"{balance.spendable:g} credits", attrs.asdict(balance))


def _song_command(command: Callable[..., Any]) -> Callable[..., None]:
    """Give a command the options of all songs, besides those of an account."""
    options = (
        click.option("--idea", help="What it is about; the service writes the lyrics."),
        click.option(
            "--lyrics", type=click.File(), help="File with them, - for stdin."
        ),
        click.option("--style", help="Genre, mood, instruments."),
        click.option("--title"),
        click.option("--model", help="The service's name of a model."),
        click.option("--instrumental", is_flag=True, help="Without a voice."),
        click.option("--persona", "voice", help="Name or id of one that sings."),
        click.option("--detach", is_flag=True, help="Do not wait; print the token."),
        out_option,
    )
    made = account_command(command)
    for option in reversed(options):
        made = option(made)
    return made


async def _make_song(
    account: Account,
    shape: Callable[..., JobRequest[tuple[Track, ...]]],
    *,
    lyrics: TextIO | None,
    voice: str | None,
    detach: bool,
    out: Path | None,
    **song: Any,
) -> None:
    async with account.open() as kit:
        persona = None if voice is None else await _find_persona(kit, voice)
        text = None if lyrics is None else lyrics.read()
        job = await kit.submit(shape(lyrics=text, persona=persona, **song))
        if detach:
            account.show(job.token, {"token": job.token})
            return
        async with delivering(account, job) as tracks:
            await finish(account, kit, tracks, out)


def _read_source(text: str) -> TrackRef | str:
    """Read the id of a track as other commands print it, or an address."""
    job_id, slash, track_id = text.partition("/")
    is_address = text.startswith(("https:", "http:"))
    return TrackRef(job_id, track_id) if slash and not is_address else text


@click.command()
@_song_command
async def generate(account: Account, **song: Any) -> None:
    """Make a song, which is paid for."""
    await _make_song(account, MusicRequest, **song)


@click.command()
@click.argument("source")
@click.option("--at", type=float, help="Second from which to go on; the end if not.")
@_song_command
async def extend(account: Account, *, source: str, **song: Any) -> None:
    """Continue SOURCE, JOB_ID/TRACK_ID or an address, which is paid for."""
    request = partial(ExtendRequest, _read_source(source))
    await _make_song(account, request, **song)


@click.command()
@click.argument("source")
@_song_command
async def cover(account: Account, *, source: str, **song: Any) -> None:
    """Sing SOURCE anew, JOB_ID/TRACK_ID or an address, which is paid for."""
    await _make_song(account, partial(CoverRequest, _read_source(source)), **song)


async def _find_persona(kit: PersonaKit, name: str) -> Persona:
    known = await kit.personas.get(name)
    return known or Persona(name, kit.provider)  # made elsewhere, so an id


@click.group()
def persona() -> None:
    """Make and look up personas."""


@persona.command("create")
@click.argument("source")
@click.option("--name", required=True)
@click.option("--description", required=True, help="What the voice sounds like.")
@click.option("--style")
@click.option("--window", nargs=2, type=float, help="Seconds to learn from: START END.")
@account_command
async def create_persona(
    account: Account,
    *,
    source: str,
    window: tuple[float, float] | None,
    **wish: Any,
) -> None:
    """Make a persona of SOURCE, JOB_ID/TRACK_ID, which is paid for."""
    part = None if window is None else VocalWindow(*window)
    track = cast("TrackRef", _read_source(source))  # the request refuses others
    request = PersonaRequest(track, window=part, **wish)
    async with (
        account.open() as kit,
        delivering(account, await kit.submit(request)) as voice,
    ):
        account.show(describe(voice), to_json(voice))


@persona.command("list")
@account_command
async def list_personas(account: Account) -> None:
    """List the personas that the journal knows of the service."""
    async with account.open() as kit:
        voices = await kit.personas.list()
    account.show("\n".join(map(describe, voices)), [*map(to_json, voices)])


@persona.command("forget")
@click.argument("persona_id")
@account_command
async def forget_persona(account: Account, *, persona_id: str) -> None:
    """Forget a persona here; the service keeps it."""
    async with account.open() as kit:
        known = await kit.personas.forget(persona_id)
    account.show("Forgotten." if known else "Not known.", {"forgotten": known})


@click.command()
@click.argument("source", type=click.File())
@click.option(
    "--out", type=click.File("w"), required=True, help="File for the outcomes."
)
@click.option("--name", help="Of the batch; the name of the file unless told.")
@click.option("--concurrency", default=CONCURRENCY, show_default=True)
@account_command
async def batch(
    account: Account, *, source: TextIO, out: TextIO, name: str | None, concurrency: int
) -> None:
    """Submit the requests of SOURCE, one JSON object a line, and wait for them.

    A line is like {"kind": "music", "idea": "a rainy night"}. Interrupted anywhere and
    run again, what was submitted is not submitted again. A line that cannot be used is
    told with its number and field; the others go on.
    """
    bad: dict[int, InvalidRequest] = {}
    errors: list[PersonaKitError] = []
    count = 0
    async with account.open() as kit:
        outcomes = kit.batch(
            _read_lines(source, kit.provider, bad),
            name=name or Path(source.name).name,
            concurrency=concurrency,
        )
        with counting(account.console) as tell:
            async for outcome in _closing(outcomes):
                count += 1
                error = bad.get(outcome.number) or outcome.error
                if error is not None:
                    errors.append(error)
                out.write(json.dumps(_outcome_to_json(outcome, error)) + "\n")
                out.flush()
                tell(f"{count} ended, {len(errors)} of them without a result")
    told = {"ended": count, "without a result": len(errors)}
    account.show(f"{count - len(errors)} of {count} made", told)
    if errors:
        sys.exit(max(map(find_exit_code, errors)))


async def _closing(
    outcomes: AsyncGenerator[Outcome[Any]],
) -> AsyncGenerator[Outcome[Any]]:
    async with aclosing(outcomes):
        async for outcome in outcomes:
            yield outcome


def _read_lines(
    source: TextIO, provider: str, bad: dict[int, InvalidRequest]
) -> Iterator[Any]:
    """Yield a request for each line.

    A bad line keeps its place, so that the others have the same number, and with it the
    same key, when the file is mended and run again.
    """
    for number, line in enumerate(source):
        try:
            yield read_line(line, number + 1, provider)
        except InvalidRequest as error:
            bad[number] = error
            yield None


def _outcome_to_json(
    outcome: Outcome[Any], error: PersonaKitError | None
) -> dict[str, object]:
    receipt = outcome.receipt
    return {
        "line": outcome.number + 1,
        "result": to_json(outcome.result),
        "error": None if error is None else str(error),
        "charged": None if error is None else error.charged,
        "token": None if receipt is None else receipt.token,
    }


COMMANDS = (show_credits, generate, extend, cover, persona, batch)
