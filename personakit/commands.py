"""The commands that use an account: songs, personas, jobs and batches."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, TextIO, TypeVar, cast

import attrs
import click

from personakit.account import Account, account_command, find_exit_code
from personakit.archive import dump
from personakit.batch import CONCURRENCY, Outcome
from personakit.client import PersonaKit
from personakit.errors import InvalidRequest, PersonaKitError
from personakit.job import Job
from personakit.lines import read_line
from personakit.models import Persona, Result, Stems, Track, TrackRef, VocalWindow
from personakit.requests import (
    CoverRequest,
    ExtendRequest,
    JobRequest,
    MusicRequest,
    PersonaRequest,
)

T = TypeVar("T")

LAST_WORD = 0.5
"""Seconds for telling of the last change after a wait has ended."""


async def _follow(account: Account, job: Job[T]) -> T:
    """Wait for a job, telling of each change."""

    async def tell() -> None:
        async for snapshot in job.updates():
            percent = f" {snapshot.progress:.0%}" if snapshot.progress else ""
            account.say(f"{job.receipt.kind}: {snapshot.state}{percent}")

    account.say(job.token)
    telling = asyncio.ensure_future(tell())
    try:
        return await job
    finally:
        await asyncio.wait({telling}, timeout=LAST_WORD)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


def describe(result: Result | None) -> str:
    """Return a result as people read it, a line for each track."""
    match result:
        case Persona():
            return f"{result.id}  {result.name or ''}".rstrip()
        case Stems():
            tracks = (result.vocals, result.instrumental)
            return "\n".join(describe(track) for track in tracks if track)
        case Track():
            title, url = result.title or "untitled", result.audio_url or "no address"
            return f"{result.job_id}/{result.track_id}  {title}  {url}"
        case tuple():
            return "\n".join(map(describe, result))
        case _:
            return ""


def _to_json(result: Result | None) -> Any:
    text = dump(result)
    return None if text is None else json.loads(text)


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
        click.option(
            "--out",
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder to save the audio in.",
        ),
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
        tracks = await _follow(account, job)
        await _finish(account, kit, tracks, out)


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


async def _finish(
    account: Account, kit: PersonaKit, result: Result, out: Path | None
) -> None:
    """Print a result, and save its audio where that is wished for."""
    account.show(describe(result), _to_json(result))
    if out is not None and isinstance(result, tuple):
        for track in result:
            account.say(f"Saved {await kit.download(track, out)}")


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
    async with account.open() as kit:
        voice = await _follow(account, await kit.submit(request))
    account.show(describe(voice), _to_json(voice))


@persona.command("list")
@account_command
async def list_personas(account: Account) -> None:
    """List the personas that the journal knows of the service."""
    async with account.open() as kit:
        voices = await kit.personas.list()
    account.show("\n".join(map(describe, voices)), [*map(_to_json, voices)])


@persona.command("forget")
@click.argument("persona_id")
@account_command
async def forget_persona(account: Account, *, persona_id: str) -> None:
    """Forget a persona here; the service keeps it."""
    async with account.open() as kit:
        known = await kit.personas.forget(persona_id)
    account.show("Forgotten." if known else "Not known.", {"forgotten": known})


@click.group()
def jobs() -> None:
    """Look at jobs that have not been seen to end."""


@jobs.command("list")
@account_command
async def list_jobs(account: Account) -> None:
    """List them, oldest first, without asking the service."""
    async with account.open() as kit:
        receipts = [job.receipt async for job in kit.resume()]
    lines = [
        f"{one.at:%Y-%m-%d %H:%M:%S}Z  {one.kind}  {one.token}" for one in receipts
    ]
    account.show("\n".join(lines), [one.token for one in receipts])


@jobs.command("resume")
@click.argument("tokens", nargs=-1)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to save the audio in.",
)
@account_command
async def resume_jobs(
    account: Account, *, tokens: tuple[str, ...], out: Path | None
) -> None:
    """Wait for them, or for those of the TOKENS, and print what they made."""
    worst: PersonaKitError | None = None
    async with account.open() as kit:
        chosen = [kit.attach(token) for token in tokens]
        waiting = chosen or [job async for job in kit.resume()]
        async for job in kit.as_completed(waiting):
            try:
                await _finish(account, kit, await job, out)
            except PersonaKitError as error:
                account.say(f"{job.id}: {error}")
                worst = error
    if worst is not None:
        raise worst


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
        async for outcome in _closing(outcomes):
            count += 1
            error = bad.get(outcome.number) or outcome.error
            if error is not None:
                errors.append(error)
            out.write(json.dumps(_outcome_to_json(outcome, error)) + "\n")
            out.flush()
            account.say(f"{count} ended, {len(errors)} of them without a result")
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
        "result": _to_json(outcome.result),
        "error": None if error is None else str(error),
        "charged": None if error is None else error.charged,
        "token": None if receipt is None else receipt.token,
    }


COMMANDS = (show_credits, generate, extend, cover, persona, jobs, batch)
