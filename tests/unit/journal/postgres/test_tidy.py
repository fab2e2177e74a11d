"""What is kept no longer is dropped in slices, and nobody waits for it."""

from __future__ import annotations

import psycopg
import pytest

from personakit import MusicRequest, Track
from personakit.journal import Account, SubmitState
from personakit.journal.postgres import PostgresJournal
from personakit.journal.postgres import tidy as module
from personakit.journal.postgres.connection import connect, transact
from personakit.journal.steps import (
    Abandon,
    Accept,
    Begin,
    Deliver,
    End,
    Lose,
    Loss,
    Refuse,
    Start,
)
from personakit.receipt import Ability, Receipt

pytestmark = pytest.mark.looptime(False)

ME = Account("evolink", "https://api.example", "me")
RESULT = (Track("evolink", "j", "t"),)
DAY = 86400.0


@pytest.fixture
def place(postgres) -> str:
    return postgres.make_place()


@pytest.fixture
async def journal(place):
    made = PostgresJournal(place)
    yield made
    await made.aclose()


async def fill(journal, caller_key: str, *make_steps) -> str:
    request = MusicRequest(idea="rain")
    step = Begin(Receipt("evolink", Ability.MUSIC), caller_key, request, "f")
    for one in (step, Start(step.key, 0), *(make(step.key) for make in make_steps)):
        assert (await journal.apply(ME, one)).is_won
    return step.key


async def deliver(journal, caller_key: str) -> str:
    return await fill(
        journal,
        caller_key,
        lambda key: Accept(key, 1, f"job of {caller_key}"),
        lambda key: End(key, RESULT),
        Deliver,
    )


def age(place: str, days: float, *keys: str) -> None:
    with psycopg.connect(place) as connection:
        connection.execute(
            "UPDATE personakit_submits SET ended_at = ended_at - %(s)s,"
            " delivered_at = delivered_at - %(s)s WHERE id = ANY(%(keys)s)",
            {"s": days * DAY, "keys": list(keys)},
        )


async def tidy(place: str, retention: float = 30 * DAY) -> bool:
    connection = await connect(place)
    try:
        return await transact(connection, lambda c: module.tidy(c, retention=retention))
    finally:
        await connection.close()


async def test_what_is_kept(place, journal):
    """Delivered requests and results go after their time; keys and job ids stay."""
    old, new = await deliver(journal, "old"), await deliver(journal, "new")
    lost = await fill(journal, "lost", lambda key: Lose(key, 1))
    refused = await fill(journal, "refused", lambda key: Refuse(key, 1))
    age(place, 31, old, lost, refused)
    is_done = await tidy(place)
    again = Begin(Receipt("evolink", Ability.MUSIC), "old", None, "f")
    records = {key: await journal.find(ME, key) for key in (old, new, lost, refused)}

    assert is_done
    assert (records[old].request, records[old].result) == (None, None)
    assert records[old].state is SubmitState.DELIVERED
    assert records[old].receipt.job_id == "job of old"
    assert records[new].result == RESULT
    assert records[lost].request == MusicRequest(idea="rain")
    assert records[refused] is None
    assert (await journal.apply(ME, again)).loss is Loss.MOVED


async def test_what_was_lost_is_kept_as_long_as_it_may_be_looked_for(place, journal):
    """An abandoned request may be the reason for a job on a list."""
    key = await fill(
        journal, "a", lambda key: Lose(key, 1), lambda key: Abandon(key, 1)
    )
    age(place, 0.5 * module.SEND_WINDOW / DAY, key)
    await tidy(place, retention=0)
    early = await journal.find(ME, key)
    age(place, module.SEND_WINDOW / DAY, key)
    await tidy(place, retention=0)
    late = await journal.find(ME, key)

    assert early.request is not None
    assert late.request is None
    assert late.open == early.open != ()


async def test_slices(place, journal, monkeypatch):
    """A slice is dropped at a time, and what others have locked is left."""
    monkeypatch.setattr(module, "SLICE", 2)
    keys = [await deliver(journal, str(number)) for number in range(4)]
    age(place, 31, *keys)
    with psycopg.connect(place) as other:
        other.execute(
            "SELECT FROM personakit_submits WHERE id = %s FOR UPDATE", (keys[0],)
        )
        done = [await tidy(place) for _ in range(2)]
        held = await journal.find(ME, keys[0])
    last = await tidy(place)
    records = [await journal.find(ME, key) for key in keys]

    assert (done, last) == ([False, True], True)
    assert held.request is not None
    assert all(record.request is None for record in records)


async def test_workers_that_are_long_dead(place, journal):
    """Their rows go; those of the living and of the just dead stay."""
    await journal.unsettled(ME)
    with psycopg.connect(place) as connection:
        connection.execute(
            "INSERT INTO personakit_workers VALUES"
            " ('old', '2020-01-01', '15s'), ('new', now(), '0s')"
        )
    first = await tidy(place)
    with psycopg.connect(place) as connection:
        names = connection.execute("SELECT name FROM personakit_workers").fetchall()

    assert first
    assert {name for (name,) in names} >= {journal.worker, "new"}


@pytest.mark.parametrize("query", ["_DROP_REFUSED", "_EMPTY"])
async def test_indexes_are_used(place, journal, query):
    """A table with a million rows is not read for it."""
    await journal.unsettled(ME)
    with psycopg.connect(place) as connection:
        connection.execute("SET enable_seqscan = off")
        names = {"retention": 1, "window": 1, "slice": 1}
        rows = connection.execute(f"EXPLAIN {getattr(module, query)}", names).fetchall()
    plan = "\n".join(row for (row,) in rows)

    index = "refused" if query == "_DROP_REFUSED" else "kept"
    assert f"personakit_submits_{index}" in plan
