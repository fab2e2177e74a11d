"""The command line; needs the extra ``cli``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from personakit.cli.context import (
    find_journal,
    find_settings_path,
    is_url,
    read_settings,
)
from personakit.cli.create import COMMANDS
from personakit.cli.demo import Summary, run_demo
from personakit.cli.jobs import download, jobs
from personakit.cli.journal import journal_commands
from personakit.cli.progress import showing
from personakit.cli.setup import doctor, key
from personakit.emulator import Emulator
from personakit.errors import PersonaKitError
from personakit.journal import SubmitRecord, open_journal
from personakit.journal.record import WITH_JOB
from personakit.providers import PROVIDERS
from personakit.serialization import dump
from personakit.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Suno personas from the command line.

    A persona is a reusable singing voice: extract it once from a finished track, then
    let it sing any new song.

    \b
    Begin here; neither needs an account or costs anything:
      personakit demo       watch a song, a persona and a song by it being made
      personakit emulate    a local service to write and test your own code against

    The others use an account, whose key is in the environment or the keyring. They end
    with 0 when all is done, 2 for wrong usage, 3 for what was refused and cost nothing,
    4 for what failed, 5 where it is unknown whether a job was paid for, 6 when time was
    up and a job runs on, and 130 when interrupted.
    """  # noqa: D301 - click's mark for "keep these lines"


@cli.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("personakit-demo"),
    show_default=True,
    help="Folder for the audio files.",
)
@click.option(
    "--provider",
    type=click.Choice(tuple(PROVIDERS)),
    default="evolink",
    show_default=True,
    help="Service to emulate.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object only.")
def demo(out: Path, provider: str, *, as_json: bool) -> None:
    """Make a song, extract a persona, have it sing a new song, save the audio.

    Runs on the built-in emulator of a service with its clock sped up, in a few seconds:
    no account, no network, no cost.
    """
    console = Console(quiet=as_json)
    try:
        with showing(console) as show:
            summary = asyncio.run(run_demo(out, show, provider))
    except PersonaKitError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(_to_json(summary)))
    else:
        console.print(_to_table(summary))
        console.print(f"Listen: {out}", soft_wrap=True, highlight=False)


def _to_table(summary: Summary) -> Table:
    table = Table(title="Created, paid and saved")
    table.add_column("What", no_wrap=True)
    table.add_column("Paid", justify="right")
    table.add_column("Id or file", overflow="fold")
    source_file, *song_files = (path.name for path in summary.files)
    for_source, for_persona, for_song = (f"{cost:g}" for cost in summary.paid.values())
    table.add_row("Source song", for_source, source_file)
    table.add_row(
        "Persona", for_persona, f"{summary.persona.id} ({summary.persona.name})"
    )
    for number, name in enumerate(song_files):
        table.add_row("Song by persona", "" if number else for_song, name)
    table.caption = f"{summary.credits_left:g} emulated credits left"
    return table


def _to_json(summary: Summary) -> dict[str, object]:
    tracks = (summary.source, *summary.songs)
    return {
        "persona": {"id": summary.persona.id, "name": summary.persona.name},
        "tracks": [
            {
                "job_id": track.job_id,
                "track_id": track.track_id,
                "title": track.title,
                "duration": track.duration,
                "file": str(path),
            }
            for track, path in zip(tracks, summary.files, strict=True)
        ],
        "paid": summary.paid,
        "credits_left": summary.credits_left,
    }


@cli.command()
@click.argument("journal", required=False, envvar="PERSONAKIT_JOURNAL")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array only.")
def pending(journal: str | None, *, as_json: bool) -> None:
    """List the submits of which no job is known, in JOURNAL or the usual one.

    What is "unknown" was sent, and its answer is lost: look before paying again, with
    kit.reconcile(...) or on the service's own pages. What is "sending" is under way
    just now, or was when its process died. An "intent" was never sent.
    """
    name = find_journal(journal, read_settings(find_settings_path()))
    if not (is_url(name) or Path(name).is_file()):
        raise click.UsageError(f"There is no journal {name}.")
    try:
        records = asyncio.run(_read_pending(name))
    except PersonaKitError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        lines = [_record_to_json(record) for record in records]
        click.echo(json.dumps(lines, ensure_ascii=False))
        return
    for record in records:
        receipt = record.receipt
        click.echo(
            f"{record.state}  {receipt.at:%Y-%m-%d %H:%M:%S}Z  "
            f"{receipt.provider} {receipt.kind}  {receipt.token}"
        )
    click.echo(f"{len(records)} pending", err=True)


async def _read_pending(name: str) -> list[SubmitRecord]:
    journal = open_journal(name)
    try:
        found = await journal.unsettled(None)
    finally:
        await journal.aclose()
    open_ = [record for record in found if record.state not in WITH_JOB]
    return sorted(open_, key=lambda record: record.receipt.at)


def _record_to_json(record: SubmitRecord) -> dict[str, object]:
    receipt, request = record.receipt, dump(record.request)
    return {
        "state": record.state,
        "provider": receipt.provider,
        "account": record.account.name,
        "kind": receipt.kind,
        "at": receipt.at.isoformat(),
        "receipt": receipt.token,
        "key": record.shown_key,
        "request": None if request is None else json.loads(request),
    }


@cli.command()
@click.option("--port", default=8787, show_default=True, help="0 for any free port.")
@click.option(
    "--speed",
    default=20.0,
    show_default=True,
    help="Seconds of the service's clock in one real second.",
)
@click.option("--credits", "credits_", default=1000.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object first.")
def emulate(port: int, speed: float, credits_: float, *, as_json: bool) -> None:
    """Run local services that behave like the real ones, until Ctrl-C.

    They refuse what the real services refuse, keep credits, take their time, and serve
    playable audio. Nothing leaves this machine.
    """
    try:
        asyncio.run(_serve(port, speed, credits_, as_json=as_json))
    except KeyboardInterrupt:
        click.echo("Stopped.", err=as_json)
    except OSError as error:
        raise click.ClickException(f"Port {port}: {error.strerror}") from error


async def _serve(port: int, speed: float, credits_: float, *, as_json: bool) -> None:
    async with Emulator(speed=speed, credits=credits_, port=port) as emulator:
        if as_json:
            urls = {provider: emulator.url(provider) for provider in PROVIDERS}
            told = {"api_key": emulator.api_key, "base_urls": urls}
            click.echo(json.dumps(told))
        else:
            for provider in PROVIDERS:
                click.echo(
                    f'PersonaKit("{provider}", api_key="{emulator.api_key}",\n'
                    f'           base_url="{emulator.url(provider)}")\n'
                )
            click.echo("Ctrl-C stops it.")
        await asyncio.Event().wait()


for command in (*COMMANDS, jobs, download, journal_commands, doctor, key):
    cli.add_command(command)
