"""The commands that look after jobs: list, watch, resume, download."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, TypeVar

import click

from personakit.account import Account, account_command
from personakit.client import PersonaKit
from personakit.console import Show, receiving, showing
from personakit.errors import PersonaKitError
from personakit.job import Job
from personakit.journal import Mark, open_journal
from personakit.models import Result, Track
from personakit.results import describe, list_tracks, to_json

T = TypeVar("T")

LAST_WORD = 0.5
"""Seconds for telling of the last change after a wait has ended."""

out_option = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to save the audio in.",
)


async def follow(account: Account, job: Job[T]) -> T:
    """Wait for a job, telling of each change."""
    account.say(job.token)
    with showing(account.console) as show:
        telling = asyncio.ensure_future(_tell(job, job.receipt.kind.value, show))
        try:
            return await job
        finally:
            await asyncio.wait({telling}, timeout=LAST_WORD)
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)


async def _tell(job: Job[Any], name: str, show: Show) -> None:
    async for snapshot in job.updates():
        show(name, snapshot)


async def finish(
    account: Account, kit: PersonaKit, result: Result, out: Path | None
) -> None:
    """Print a result, and save its audio where that is wished for."""
    account.show(describe(result), to_json(result))
    if out is not None:
        for track in list_tracks(result):
            await _save(account, kit, track, out)


async def _save(account: Account, kit: PersonaKit, track: Track, out: Path) -> Path:
    with receiving(account.console, track.title or track.track_id) as receive:
        path = await kit.download(track, out, progress=receive)
    account.say(f"Saved {path}")
    return path


@click.group()
def jobs() -> None:
    """Look after jobs that have not been seen to end."""


@jobs.command("list")
@account_command
async def list_jobs(account: Account) -> None:
    """List them, oldest first, without asking the service."""
    journal = open_journal(account.journal)
    try:
        entries = await journal.unfinished(account.provider)
    finally:
        await journal.aclose()
    found = [entry for entry in entries if entry.mark is Mark.ACCEPTED]
    lines = [
        "  ".join(
            (
                f"{one.receipt.at:%Y-%m-%d %H:%M:%S}Z",
                one.receipt.kind,
                one.receipt.token,
                one.wish or "",
            )
        ).rstrip()
        for one in found
    ]
    account.show("\n".join(lines), [one.receipt.token for one in found])


async def _choose(kit: PersonaKit, tokens: tuple[str, ...]) -> list[Job[Any]]:
    chosen = [kit.attach(token) for token in tokens]
    return chosen or [job async for job in kit.resume()]


@jobs.command("watch")
@click.argument("tokens", nargs=-1)
@account_command
async def watch_jobs(account: Account, *, tokens: tuple[str, ...]) -> None:
    """Show how far they are, or those of the TOKENS, until all have ended."""
    async with account.open() as kit:
        watched = await _choose(kit, tokens)
        with showing(account.console, len(watched)) as show:
            await asyncio.gather(
                *(_tell(job, f"{job.receipt.kind} {job.id}", show) for job in watched)
            )
    ended = {job.token: job.snapshot.state for job in watched if job.snapshot}
    account.show(f"{len(ended)} ended", ended)


@jobs.command("resume")
@click.argument("tokens", nargs=-1)
@out_option
@account_command
async def resume_jobs(
    account: Account, *, tokens: tuple[str, ...], out: Path | None
) -> None:
    """Wait for them, or for those of the TOKENS, and print what they made."""
    worst: PersonaKitError | None = None
    async with account.open() as kit:
        async for job in kit.as_completed(await _choose(kit, tokens)):
            try:
                await finish(account, kit, await job, out)
            except PersonaKitError as error:
                account.say(f"{job.id}: {error}")
                worst = error
    if worst is not None:
        raise worst


@click.command()
@click.argument("token")
@out_option
@account_command
async def download(account: Account, *, token: str, out: Path | None) -> None:
    """Save the audio of the job of TOKEN, in the current folder unless told."""
    async with account.open() as kit:
        result = await follow(account, kit.attach(token))
        tracks = list_tracks(result)
        paths = [await _save(account, kit, track, out or Path()) for track in tracks]
    account.show("\n".join(map(str, paths)), [str(path) for path in paths])
