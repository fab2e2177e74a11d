"""The commands that look after jobs: list, watch, resume, download."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from personakit.cli.context import CliContext, with_context
from personakit.cli.output import describe, list_tracks, to_json
from personakit.cli.progress import Show, receiving, showing
from personakit.client import PersonaKit
from personakit.errors import AlreadyDelivered, PersonaKitError
from personakit.jobs.job import Job
from personakit.journal import open_journal
from personakit.journal.record import WITH_JOB
from personakit.models import Result, Track

T = TypeVar("T")

LAST_WORD = 0.5
"""Seconds for telling of the last change after a wait has ended."""

out_option = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to save the audio in.",
)


@asynccontextmanager
async def delivering(context: CliContext, job: Job[T]) -> AsyncGenerator[T]:
    """Wait for a job, showing each change, and deliver its result by the block.

    A block that fails leaves the result undelivered, so that ``jobs resume`` has it. A
    result that was delivered before comes again, since the user asks for it.
    """
    context.info(job.token)
    async with AsyncExitStack() as block:
        try:
            with showing(context.console) as show:
                result = await _follow(block, job, show)
        except AlreadyDelivered as error:
            result = cast("T", error.result)
        yield result


async def _follow(block: AsyncExitStack, job: Job[T], show: Show) -> T:
    telling = asyncio.ensure_future(_tell(job, job.receipt.kind.value, show))
    try:
        return await block.enter_async_context(job.deliver())
    finally:
        await asyncio.wait({telling}, timeout=LAST_WORD)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(job: Job[Any], name: str, show: Show) -> None:
    async for snapshot in job.updates():
        show(name, snapshot)


async def finish(
    context: CliContext, kit: PersonaKit, result: Result, out: Path | None
) -> None:
    """Print a result, and save its audio where that is wished for."""
    context.output(describe(result), to_json(result))
    if out is not None:
        for track in list_tracks(result):
            await _save(context, kit, track, out)


async def _save(context: CliContext, kit: PersonaKit, track: Track, out: Path) -> Path:
    with receiving(context.console, track.title or track.track_id) as receive:
        path = await kit.download(track, out, progress=receive)
    context.info(f"Saved {path}")
    return path


@click.group()
def jobs() -> None:
    """Look after jobs whose results were not delivered."""


@jobs.command("list")
@with_context
async def list_jobs(context: CliContext) -> None:
    """List those of the account, oldest first, without asking the service.

    A job is "accepted" while it runs, "ended" when its result was not delivered yet,
    and "delivering" while a program delivers it.
    """
    context.make_folder()
    journal, owner = open_journal(context.journal), context.find_owner()
    try:
        records = await journal.unsettled(owner)
    finally:
        await journal.aclose()
    found = [record for record in records if record.state in WITH_JOB]
    lines = [
        "  ".join(
            (
                f"{one.receipt.at:%Y-%m-%d %H:%M:%S}Z",
                one.state,
                one.receipt.kind,
                one.receipt.token,
                one.shown_key or "",
            )
        ).rstrip()
        for one in found
    ]
    context.output("\n".join(lines), [one.receipt.token for one in found])


async def _choose(kit: PersonaKit, tokens: tuple[str, ...]) -> list[Job[Any]]:
    chosen = [kit.attach(token) for token in tokens]
    return chosen or [job async for job in kit.resume()]


@jobs.command("watch")
@click.argument("tokens", nargs=-1)
@with_context
async def watch_jobs(context: CliContext, *, tokens: tuple[str, ...]) -> None:
    """Show how far they are, or those of the TOKENS, until all have ended.

    Their results stay undelivered: "personakit jobs resume" prints them.
    """
    async with context.open() as kit:
        watched = await _choose(kit, tokens)
        with showing(context.console, len(watched)) as show:
            await asyncio.gather(
                *(_tell(job, f"{job.receipt.kind} {job.id}", show) for job in watched)
            )
    ended = {job.token: job.snapshot.state for job in watched if job.snapshot}
    context.output(f"{len(ended)} ended", ended)


@jobs.command("resume")
@click.argument("tokens", nargs=-1)
@out_option
@with_context
async def resume_jobs(
    context: CliContext, *, tokens: tuple[str, ...], out: Path | None
) -> None:
    """Wait for them, or for those of the TOKENS, and print what they made.

    A job is delivered once its result is printed and saved; else it comes again.
    """
    worst: PersonaKitError | None = None
    async with context.open() as kit:
        async for job in kit.as_completed(await _choose(kit, tokens)):
            try:
                await _deliver(context, kit, job, out)
            except PersonaKitError as error:
                context.info(f"{job.id}: {error}")
                worst = error
    if worst is not None:
        raise worst


async def _deliver(
    context: CliContext, kit: PersonaKit, job: Job[Any], out: Path | None
) -> None:
    try:
        async with job.deliver() as result:
            await finish(context, kit, result, out)
    except AlreadyDelivered as error:  # its token was given
        await finish(context, kit, cast("Result", error.result), out)


@click.command()
@click.argument("token")
@out_option
@with_context
async def download(context: CliContext, *, token: str, out: Path | None) -> None:
    """Save the audio of the job of TOKEN, in the current folder unless told."""
    async with (
        context.open() as kit,
        delivering(context, kit.attach(token)) as result,
    ):
        tracks = list_tracks(result)
        paths = [await _save(context, kit, track, out or Path()) for track in tracks]
        context.output("\n".join(map(str, paths)), [str(path) for path in paths])
