"""Connections to a database: opened late, closed always, told apart by their errors."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from personakit import JournalError
from personakit.journal.database import Connection, Database

pytestmark = pytest.mark.looptime(False)


@pytest.fixture
def called() -> list[str]:
    return []


@pytest.fixture
async def database(postgres, called):
    def note(name: str):
        async def work(_: Connection) -> None:
            called.append(name)

        return work

    made = Database(
        postgres.make_place(),
        patience=0.2,
        beat=0.05,
        prepare=note("prepare"),
        attend=note("attend"),
        leave=note("leave"),
        hear=called.append,
    )
    yield made
    await made.aclose()


async def answer(connection: Connection) -> int:
    read = await connection.execute("SELECT 42")
    [[number]] = await read.fetchall()
    return number


async def test_nothing_is_opened_before_it_is_used(database, called):
    """Closing what was never used does nothing."""
    await database.aclose()

    assert called == []


async def test_life_of_a_database(database, called):
    """Prepared once, attended to now and then, left at the end."""
    answers = await asyncio.gather(*(database.do(answer) for _ in range(10)))
    await asyncio.sleep(0.3)
    await database.aclose()

    assert answers == [42] * 10
    assert called[0] == "prepare"
    assert called[-1] == "leave"
    assert called.count("attend") >= 2
    assert set(called) == {"prepare", "attend", "leave"}


async def test_work_is_a_transaction(database):
    """What raises leaves nothing behind, and the error is the caller's own."""

    async def fill(connection: Connection) -> None:
        await connection.execute("CREATE TABLE t (x INT)")
        raise LookupError

    with pytest.raises(LookupError):
        await database.do(fill)
    with pytest.raises(JournalError, match='"t" does not exist'):
        await database.do(lambda c: c.execute("SELECT * FROM t"))


async def test_passing_trouble_is_passed_over(database):
    """What may go better the next time is tried again, for a while."""
    tries: list[int] = []

    async def stumble(connection: Connection) -> int:
        tries.append(1)
        if len(tries) == 1:
            raise psycopg.errors.DeadlockDetected
        return await answer(connection)

    database._patience = 5

    assert await database.do(stumble) == 42
    assert len(tries) == 2


async def test_patience_ends(database):
    """Trouble that stays is told, as an error of the journal."""
    await database.do(answer)

    async def fail(_: Connection) -> None:
        raise psycopg.OperationalError("trouble")

    with pytest.raises(JournalError, match="trouble"):
        await database.do(fail)


async def test_loop_that_ends_closes_the_connections(database, called):
    """Its tasks are cancelled; nothing is opened or waited for after that."""
    await database.do(answer)
    database._living.cancel()
    await asyncio.gather(database._living, return_exceptions=True)
    database._patience = 60
    async with asyncio.timeout(5):
        with pytest.raises(JournalError, match="closed"):
            await database.do(answer)

    assert called[-1] == "leave"


def test_loops_end_whatever_the_pool_is_doing(postgres):
    """A program that closes nothing ends all the same, also while it connects."""
    place = postgres.make_place()

    async def ignore(_: Connection) -> None:
        return None

    async def use() -> int:
        made = Database(
            place,
            patience=1,
            beat=1,
            prepare=ignore,
            attend=ignore,
            leave=ignore,
            hear=str,
        )
        return await made.do(answer)

    assert [asyncio.run(use()) for _ in range(40)] == [42] * 40
