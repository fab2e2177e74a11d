"""The tables of a PostgreSQL journal: made once, by whoever may and comes first."""

from __future__ import annotations

import asyncio
import uuid

import psycopg
import pytest

from personakit import JournalError
from personakit.journal import Account
from personakit.journal.postgres import PostgresJournal, create_tables
from personakit.journal.postgres import schema as module
from personakit.journal.postgres.schema import MIGRATIONS
from personakit.journal.steps import Begin
from personakit.receipt import Ability, Receipt

pytestmark = pytest.mark.looptime(False)

ME = Account("evolink", "https://api.example", "me")
TABLES = {
    "personakit_submits",
    "personakit_workers",
    "personakit_personas",
    "personakit_durations",
    "personakit_shared",
    "personakit_versions",
}


def find_tables(place: str) -> set[str]:
    with psycopg.connect(place) as connection:
        rows = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        )
        return {name for (name,) in rows}


async def refuse(place: str, words: str) -> None:
    """Check that a journal cannot be opened, and says why."""
    journal = PostgresJournal(place)
    with pytest.raises(JournalError, match=words):
        await journal.unsettled(ME)
    await journal.aclose()


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
async def test_many_that_begin_at_once(postgres, level):
    """The tables are made once, whatever isolation level is the default."""
    place = postgres.make_place(f"default_transaction_isolation={level}")
    journals = [PostgresJournal(place) for _ in range(8)]
    found = await asyncio.gather(*(one.find(ME, "0" * 32) for one in journals))
    for one in journals:
        await one.aclose()
    with psycopg.connect(place) as connection:
        versions = connection.execute("SELECT version FROM personakit_versions")
        known = [version for (version,) in versions]

    assert found == [None] * 8
    assert known == list(range(1, len(MIGRATIONS) + 1))
    assert find_tables(place) == TABLES


async def test_failed_upgrade_changes_nothing(postgres, monkeypatch):
    """An upgrade that breaks in the middle leaves all as it was."""
    place = postgres.make_place()
    broken = (*MIGRATIONS, "CREATE TABLE personakit_more (x INT); NONSENSE;")
    monkeypatch.setattr(module, "MIGRATIONS", broken)
    await refuse(place, "NONSENSE")

    assert find_tables(place) == set()


async def test_upgrade(postgres, monkeypatch):
    """An older database gets what is new, and loses nothing."""
    place = postgres.make_place()
    await create_tables(place)
    newer = (*MIGRATIONS, "CREATE TABLE personakit_more (x INT)")
    monkeypatch.setattr(module, "MIGRATIONS", newer)
    await create_tables(place)
    await create_tables(place)

    assert find_tables(place) == {*TABLES, "personakit_more"}


async def test_newer_database(postgres):
    """It is refused, not misread."""
    place = postgres.make_place()
    await create_tables(place)
    with psycopg.connect(place) as connection:
        connection.execute("INSERT INTO personakit_versions (version) VALUES (99)")

    await refuse(place, "newer version of personakit")
    with pytest.raises(JournalError, match="newer version of personakit"):
        await create_tables(place)


async def test_role_that_may_not_make_tables(postgres):
    """It uses those that are there; without them it is told what to do."""
    place, role = postgres.make_place(), f"r{uuid.uuid4().hex[:8]}"
    with psycopg.connect(place, autocommit=True) as connection:
        [[schema]] = connection.execute("SELECT current_schema()").fetchall()
        connection.execute(f"CREATE ROLE {role} LOGIN")
        connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        theirs = place.replace("postgres@", f"{role}@")
        await refuse(theirs, r"permission denied.*personakit journal migrate")
        await create_tables(place)
        await refuse(theirs, r"permission denied.*SELECT, INSERT, UPDATE and DELETE")
        connection.execute(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES"
            f" IN SCHEMA {schema} TO {role}"
        )
    journal = PostgresJournal(theirs)
    step = Begin(Receipt("evolink", Ability.MUSIC), "order 1", None, "f")
    verdict = await journal.apply(ME, step)
    heard: list[str] = []
    journal.listen(heard.append)
    async with asyncio.timeout(5):
        while not heard:
            await journal.announce("x")
            await asyncio.sleep(0.1)
    await journal.aclose()

    assert verdict.is_won


@pytest.mark.parametrize("rest", ["none", "none?options=a b", "%zz", "x?nonsense=1"])
async def test_database_that_is_not_there(rest):
    """The error says so, and shows no password."""
    with pytest.raises(JournalError, match="cannot be used") as caught:
        await create_tables(f"postgresql://u:secret-word@127.0.0.1:1/{rest}")

    assert "secret-word" not in str(caught.value)
