"""The commands for the journal itself: accounts, rename-account, migrate."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import click

from personakit.cli.context import CliContext, is_url, with_context
from personakit.environment import check_account_name
from personakit.journal import Account as Owner
from personakit.journal import Journal, open_journal


@click.group("journal")
def journal_commands() -> None:
    """Look after the journal: its accounts and its tables."""


@asynccontextmanager
async def opening(context: CliContext) -> AsyncGenerator[Journal]:
    """Open the journal without a client, so that no key is needed."""
    context.make_folder()
    journal = open_journal(context.journal)
    try:
        yield journal
    finally:
        await journal.aclose()


async def _count(journal: Journal) -> Counter[Owner]:
    return Counter(record.account for record in await journal.unsettled(None))


@journal_commands.command("accounts")
@with_context
async def list_accounts(context: CliContext) -> None:
    """List the accounts that have unsettled submits, with their number.

    An account that was given no name is shown as a fingerprint, which begins with "~".
    """
    async with opening(context) as journal:
        counts = await _count(journal)
    lines = [
        f"{owner.provider}  {owner.address}  {owner.name}  {count} unsettled"
        for owner, count in counts.items()
    ]
    found = [
        {**attrs.asdict(owner), "unsettled": count} for owner, count in counts.items()
    ]
    context.output("\n".join(lines), found)


@journal_commands.command("rename-account")
@click.argument("old")
@click.argument("new")
@with_context
async def rename_account(context: CliContext, *, old: str, new: str) -> None:
    """Give the submits, keys and personas of account OLD to account NEW.

    Use it when the API key has changed: OLD is the fingerprint that a warning or
    "personakit journal accounts" shows. Then use --account NEW, or
    PersonaKit(account="NEW"). End the programs that use OLD before.
    """
    check_account_name(new)
    async with opening(context) as journal:
        owner = await _find_owner(context, journal, old)
        count = await journal.rename_account(owner, new)
    context.output(
        f"{count} submits of {owner.provider} belong to {new}.",
        {**attrs.asdict(owner), "new_name": new, "submits": count},
    )


async def _find_owner(context: CliContext, journal: Journal, name: str) -> Owner:
    """Return the account of that name: of the chosen service, or of the only one."""
    chosen = context.find_owner(name)
    owners = [owner for owner in await _count(journal) if owner.name == name]
    if chosen in owners or not owners:
        return chosen
    if len(owners) > 1:
        raise click.UsageError(
            f"Several services have an account {name}. Pass --provider and --base-url."
        )
    return owners[0]


@journal_commands.command("migrate")
@click.argument("place", metavar="[JOURNAL]", required=False)
@with_context
async def migrate(context: CliContext, *, place: str | None) -> None:
    """Create or update the tables of JOURNAL, a file or the URL of a database.

    Without JOURNAL, those of the usual one. A program does this by itself if it may:
    run this as a role that may create tables if the program's role may not.
    """
    context = attrs.evolve(context, journal=place or context.journal)
    async with opening(context) as journal:
        if is_url(context.journal):
            from personakit.journal.postgres import create_tables  # noqa: PLC0415

            await create_tables(context.journal)
        else:
            await journal.durations()
    context.output("The tables are up to date.", {"migrated": True})
