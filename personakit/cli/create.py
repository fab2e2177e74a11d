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

from personakit.cli.context import CliContext, find_exit_code, with_context
from personakit.cli.jobs import delivering, finish, out_option
from personakit.cli.output import describe, to_json
from personakit.cli.progress import counting
from personakit.client import PersonaKit
from personakit.errors import InvalidRequest, PersonaKitError
from personakit.jobs.batch import CONCURRENCY, Outcome
from personakit.models import Persona, Track, TrackRef, VocalWindow
from personakit.requests import (
    CoverRequest,
    ExtendRequest,
    JobRequest,
    MusicRequest,
    PersonaRequest,
)
from personakit.serialization import read_line


@click.command("credits")
@with_context
async def show_credits(context: CliContext) -> None:
    """Show the balance of the account."""
    async with context.open() as kit:
        balance = await kit.credits()
    context.output(f"{balance.spendable:g} credits", attrs.asdict(balance))


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
    made = with_context(command)
    for option in reversed(options):
        made = option(made)
    return made


async def _make_song(
    context: CliContext,
    shape: Callable[..., JobRequest[tuple[Track, ...]]],
    *,
    lyrics: TextIO | None,
    voice: str | None,
    detach: bool,
    out: Path | None,
    **song: Any,
) -> None:
    async with context.open() as kit:
        persona = None if voice is None else await _find_persona(kit, voice)
        text = None if lyrics is None else lyrics.read()
        job = await kit.submit(shape(lyrics=text, persona=persona, **song))
        if detach:
            context.output(job.token, {"token": job.token})
            return
        async with delivering(context, job) as tracks:
            await finish(context, kit, tracks, out)


def _read_source(text: str) -> TrackRef | str:
    """Read the id of a track as other commands print it, or an address."""
    job_id, slash, track_id = text.partition("/")
    is_address = text.startswith(("https:", "http:"))
    return TrackRef(job_id, track_id) if slash and not is_address else text


@click.command()
@_song_command
async def generate(context: CliContext, **song: Any) -> None:
    """Make a song, which is paid for."""
    await _make_song(context, MusicRequest, **song)


@click.command()
@click.argument("source")
@click.option("--at", type=float, help="Second from which to go on; the end if not.")
@_song_command
async def extend(context: CliContext, *, source: str, **song: Any) -> None:
    """Continue SOURCE, JOB_ID/TRACK_ID or an address, which is paid for."""
    request = partial(ExtendRequest, _read_source(source))
    await _make_song(context, request, **song)


@click.command()
@click.argument("source")
@_song_command
async def cover(context: CliContext, *, source: str, **song: Any) -> None:
    """Sing SOURCE anew, JOB_ID/TRACK_ID or an address, which is paid for."""
    await _make_song(context, partial(CoverRequest, _read_source(source)), **song)


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
@with_context
async def create_persona(
    context: CliContext,
    *,
    source: str,
    window: tuple[float, float] | None,
    **wanted: Any,
) -> None:
    """Make a persona of SOURCE, JOB_ID/TRACK_ID, which is paid for."""
    part = None if window is None else VocalWindow(*window)
    track = cast("TrackRef", _read_source(source))  # the request refuses others
    request = PersonaRequest(track, window=part, **wanted)
    async with (
        context.open() as kit,
        delivering(context, await kit.submit(request)) as voice,
    ):
        context.output(describe(voice), to_json(voice))


@persona.command("list")
@with_context
async def list_personas(context: CliContext) -> None:
    """List the personas that the journal knows of the service."""
    async with context.open() as kit:
        voices = await kit.personas.list()
    context.output("\n".join(map(describe, voices)), [*map(to_json, voices)])


@persona.command("forget")
@click.argument("persona_id")
@with_context
async def forget_persona(context: CliContext, *, persona_id: str) -> None:
    """Forget a persona here; the service keeps it."""
    async with context.open() as kit:
        known = await kit.personas.forget(persona_id)
    context.output("Forgotten." if known else "Not known.", {"forgotten": known})


@click.command()
@click.argument("source", type=click.File())
@click.option(
    "--out", type=click.File("w"), required=True, help="File for the outcomes."
)
@click.option("--name", help="Of the batch; the name of the file unless told.")
@click.option("--concurrency", default=CONCURRENCY, show_default=True)
@with_context
async def batch(
    context: CliContext,
    *,
    source: TextIO,
    out: TextIO,
    name: str | None,
    concurrency: int,
) -> None:
    """Submit the requests of SOURCE, one JSON object a line, and wait for them.

    A line is like {"kind": "music", "idea": "a rainy night"}. Interrupted anywhere and
    run again, what was submitted is not submitted again. A line that cannot be used is
    told with its number and field; the others go on.
    """
    bad: dict[int, InvalidRequest] = {}
    errors: list[PersonaKitError] = []
    count = 0
    async with context.open() as kit:
        outcomes = kit.batch(
            _read_lines(source, kit.provider, bad),
            name=name or Path(source.name).name,
            concurrency=concurrency,
        )
        with counting(context.console) as tell:
            async for outcome in _closing(outcomes):
                count += 1
                error = bad.get(outcome.number) or outcome.error
                if error is not None:
                    errors.append(error)
                out.write(json.dumps(_outcome_to_json(outcome, error)) + "\n")
                out.flush()
                tell(f"{count} ended, {len(errors)} of them without a result")
    told = {"ended": count, "without a result": len(errors)}
    context.output(f"{count - len(errors)} of {count} made", told)
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
