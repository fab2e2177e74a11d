"""The commands for the journal itself: accounts, rename-account, migrate."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import click

from personakit.account import Account, account_command, is_url
from personakit.journal import Account as Owner
from personakit.journal import Journal, open_journal
from personakit.settings import check_account_name


@click.group("journal")
def journal_commands() -> None:
    """Look after the journal: its accounts and its tables."""


@asynccontextmanager
async def opening(account: Account) -> AsyncGenerator[Journal]:
    """Open the journal without a client, so that no key is needed."""
    account.make_folder()
    journal = open_journal(account.journal)
    try:
        yield journal
    finally:
        await journal.aclose()


async def _count(journal: Journal) -> Counter[Owner]:
    return Counter(record.account for record in await journal.unsettled(None))


@journal_commands.command("accounts")
@account_command
async def list_accounts(account: Account) -> None:
    """List the accounts that have unsettled submits, with their number.

    An account that was given no name is shown as a fingerprint, which begins with "~".
    """
    async with opening(account) as journal:
        counts = await _count(journal)
    lines = [
        f"{owner.provider}  {owner.address}  {owner.name}  {count} unsettled"
        for owner, count in counts.items()
    ]
    found = [
        {**attrs.asdict(owner), "unsettled": count} for owner, count in counts.items()
    ]
    account.show("\n".join(lines), found)


@journal_commands.command("rename-account")
@click.argument("old")
@click.argument("new")
@account_command
async def rename_account(account: Account, *, old: str, new: str) -> None:
    """Give the submits, keys and personas of account OLD to account NEW.

    Use it when the API key has changed: OLD is the fingerprint that a warning or
    "personakit journal accounts" shows. Then use --account NEW, or
    PersonaKit(account="NEW"). End the programs that use OLD before.
    """
    check_account_name(new)
    async with opening(account) as journal:
        owner = await _find_owner(account, journal, old)
        count = await journal.rename_account(owner, new)
    account.show(
        f"{count} submits of {owner.provider} belong to {new}.",
        {**attrs.asdict(owner), "new_name": new, "submits": count},
    )


async def _find_owner(account: Account, journal: Journal, name: str) -> Owner:
    """Return the account of that name: of the chosen service, or of the only one."""
    chosen = account.find_owner(name)
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
@account_command
async def migrate(account: Account, *, place: str | None) -> None:
    """Create or update the tables of JOURNAL, a file or the URL of a database.

    Without JOURNAL, those of the usual one. A program does this by itself if it may:
    run this as a role that may create tables if the program's role may not.
    """
    account = attrs.evolve(account, journal=place or account.journal)
    async with opening(account) as journal:
        if is_url(account.journal):
            from personakit.journal.postgres import create_tables  # noqa: PLC0415

            await create_tables(account.journal)
        else:
            await journal.durations()
    account.show("The tables are up to date.", {"migrated": True})
