"""The tables of a PostgreSQL journal: made once, whoever comes first."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from personakit import JournalError
from personakit.journal import postgres as module
from personakit.journal.postgres import PostgresJournal
from personakit.journal.postgres_schema import MIGRATIONS

pytestmark = pytest.mark.looptime(False)


def find_tables(place: str) -> set[str]:
    with psycopg.connect(place) as connection:
        rows = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        )
        return {name for (name,) in rows}


async def test_many_that_begin_at_once(postgres):
    """The tables are made once, and every journal finds them."""
    place = postgres.make_place()
    journals = [PostgresJournal(place) for _ in range(8)]
    found = await asyncio.gather(*(one.find("0" * 32) for one in journals))
    for one in journals:
        await one.aclose()
    with psycopg.connect(place) as connection:
        versions = connection.execute("SELECT version FROM personakit_versions")
        known = [version for (version,) in versions]

    assert found == [None] * 8
    assert known == list(range(1, len(MIGRATIONS) + 1))
    assert find_tables(place) == {
        "personakit_submits",
        "personakit_workers",
        "personakit_personas",
        "personakit_durations",
        "personakit_shared",
        "personakit_versions",
    }


async def test_failed_upgrade_changes_nothing(postgres, monkeypatch):
    """An upgrade that breaks in the middle leaves all as it was."""
    place = postgres.make_place()
    broken = (*MIGRATIONS, "CREATE TABLE personakit_more (x INT); NONSENSE;")
    monkeypatch.setattr(module, "MIGRATIONS", broken)
    journal = PostgresJournal(place)
    with pytest.raises(JournalError, match="NONSENSE"):
        await journal.find("0" * 32)
    await journal.aclose()

    assert find_tables(place) == set()
