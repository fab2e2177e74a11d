"""Connections to a database: opened late, closed always, and never waited for long."""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest

from personakit import JournalError
from personakit.journal.postgres import connection as module
from personakit.journal.postgres.connection import Connection, Connections
from personakit.per_loop import PerLoop
from tests.postgres import through

pytestmark = pytest.mark.looptime(False)


@pytest.fixture
def called() -> list[str]:
    return []


@pytest.fixture
def make(called):
    """Return what makes a database that notes what it calls."""

    def note(name: str):
        async def work(_: object) -> None:
            called.append(name)

        return work

    def make(url: str, patience: float = 0.2) -> Connections:
        return Connections(
            url,
            patience=patience,
            prepare=note("prepare"),
            heartbeat=note("attend"),
            release=note("leave"),
        )

    return make


@pytest.fixture
async def connections(postgres, make):
    made = make(postgres.make_place())
    yield made
    await made.aclose()


@pytest.fixture
async def proxy(postgres):
    async with through(postgres.make_place()) as running:
        yield running


async def answer(connection: Connection) -> int:
    read = await connection.execute("SELECT 42")
    [[number]] = await read.fetchall()
    return number


async def sleep_long(connection: Connection) -> None:
    await connection.execute("SELECT pg_sleep(60)")


async def test_nothing_is_opened_before_it_is_used(connections, called):
    """Closing what was never used does nothing."""
    await connections.aclose()

    assert called == []


async def test_life_of_a_database(connections, called):
    """It is prepared once, attended to, and left at the end."""
    answers = await asyncio.gather(*(connections.run(answer) for _ in range(10)))
    await connections.aclose()

    assert answers == [42] * 10
    assert called == ["prepare", "attend", "leave"]


async def test_work_is_a_transaction(connections):
    """What raises leaves nothing behind, and the error is the caller's own."""

    async def fill(connection: Connection) -> None:
        await connection.execute("CREATE TABLE t (x INT)")
        raise LookupError

    with pytest.raises(LookupError):
        await connections.run(fill)
    with pytest.raises(JournalError, match='"t" does not exist'):
        await connections.run(lambda c: c.execute("SELECT * FROM t"))


SHOWN = ("transaction_isolation", "synchronous_commit", "lock_timeout")


@pytest.mark.parametrize(
    ("settings", "commit"),
    [
        ((), "on"),
        (("synchronous_commit=off",), "on"),
        (("synchronous_commit=remote_apply",), "remote_apply"),
    ],
)
async def test_settings_of_a_transaction(postgres, make, settings, commit):
    """They are the same whatever the role or the database has as its defaults."""
    place = postgres.make_place("default_transaction_isolation=serializable", *settings)
    connections = make(place)

    async def show(connection: Connection) -> list[str]:
        reads = [await connection.execute(f"SHOW {name}") for name in SHOWN]
        return [(await read.fetchall())[0][0] for read in reads]

    shown = await connections.run(show)
    await connections.aclose()

    assert shown == ["read committed", commit, "6s"]


async def test_limits_of_a_connection(postgres, make):
    """What the URL says counts; what it does not say has a limit."""
    connections = make(postgres.make_place() + "&connect_timeout=3")
    connection = await connections.connect()
    told = connection.info.get_parameters()
    await connection.close()

    assert told["connect_timeout"] == "3"
    assert told["tcp_user_timeout"] == "10000"


async def test_passing_trouble_is_passed_over(connections):
    """What may go better the next time is tried again, for a while."""
    tries: list[int] = []

    async def stumble(connection: Connection) -> int:
        tries.append(1)
        if len(tries) < 3:
            raise psycopg.errors.DeadlockDetected
        return await answer(connection)

    connections.patience = 5

    assert await connections.run(stumble) == 42
    assert len(tries) == 3


async def test_patience_ends(connections):
    """Trouble that stays is told, as an error of the journal."""
    await connections.run(answer)

    async def fail(_: Connection) -> None:
        raise psycopg.OperationalError("trouble")

    with pytest.raises(JournalError, match="trouble"):
        await connections.run(fail)


async def test_connections_of_before_a_restart(postgres, make):
    """All that were open are dropped after the first one has failed."""
    connections = make(postgres.make_place(), patience=10)
    await asyncio.gather(*(connections.run(answer) for _ in range(10)))
    await asyncio.to_thread(postgres.restart)
    answers = await asyncio.gather(*(connections.run(answer) for _ in range(10)))
    await connections.aclose()

    assert answers == [42] * 10


async def test_caller_that_is_cancelled(connections):
    """It returns at once, whatever the database does."""
    caller = asyncio.create_task(connections.run(sleep_long))
    await asyncio.sleep(0.2)
    began = time.perf_counter()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    took = time.perf_counter() - began

    assert caller.cancelled()
    assert took < 0.1


async def test_cancelled_callers_ask_for_nothing(connections):
    """What waits for a connection is not begun any more."""
    asked: list[int] = []

    async def ask(_: Connection) -> None:
        asked.append(1)

    busy = [
        asyncio.create_task(
            connections.run(lambda c: c.execute("SELECT pg_sleep(0.3)"))
        )
        for _ in range(module.CONNECTIONS)
    ]
    await asyncio.sleep(0.1)
    callers = [asyncio.create_task(connections.run(ask)) for _ in range(3)]
    await asyncio.sleep(0)
    for caller in (*callers, busy[0]):
        caller.cancel()
    await asyncio.gather(*busy[1:])
    await connections.run(answer)

    assert asked == []


@pytest.fixture
async def short(monkeypatch, proxy, make):
    """Open a database that answers no more, and does not say so."""
    monkeypatch.setattr(module, "ATTEMPT", 0.5)
    made = make(proxy.url, patience=1)
    await made.run(answer)
    proxy.flow.clear()
    yield made
    proxy.flow.set()


async def test_database_that_hangs(short, proxy):
    """It is given up in time, by an error that says so; later it works again."""
    began = time.perf_counter()
    with pytest.raises(JournalError, match=r"no answer within 0.5 s.*server runs"):
        await short.run(answer)
    took = time.perf_counter() - began
    proxy.flow.set()
    again = await short.run(answer)
    await short.aclose()

    assert took < 3
    assert again == 42


async def test_many_callers_of_a_database_that_hangs(short):
    """None of them waits longer because of the others."""
    began = time.perf_counter()
    errors = await asyncio.gather(
        *(short.run(answer) for _ in range(50)), return_exceptions=True
    )
    took = time.perf_counter() - began
    await short.aclose()

    assert {type(error) for error in errors} == {JournalError}
    assert took < 3


async def test_closing_a_database_that_hangs(short):
    """It takes a few seconds at most, and who waits is told."""
    short.patience, module.ATTEMPT = 60, 10
    callers = [asyncio.create_task(short.run(answer)) for _ in range(8)]
    await asyncio.sleep(0.1)
    began = time.perf_counter()
    await short.aclose()
    took = time.perf_counter() - began
    errors = await asyncio.gather(*callers, return_exceptions=True)

    assert took < 5
    assert {type(error) for error in errors} == {JournalError}


async def test_closing_that_is_interrupted(short):
    """It goes on, and nothing stays open."""
    short.patience = 60
    callers = [asyncio.create_task(short.run(answer)) for _ in range(3)]
    await asyncio.sleep(0.1)
    closing = asyncio.create_task(short.aclose())
    await asyncio.sleep(0.1)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    async with asyncio.timeout(5):
        errors = await asyncio.gather(*callers, return_exceptions=True)
        await short.aclose()

    assert closing.cancelled()
    assert (short._busy, short._idle) == (set(), [])
    assert {type(error) for error in errors} == {JournalError}


async def test_first_connection_that_hangs(monkeypatch, proxy, make):
    """It is given up in time too, and the next call tries again."""
    monkeypatch.setattr(module, "ATTEMPT", 0.5)
    proxy.flow.clear()
    connections = make(proxy.url)
    with pytest.raises(JournalError, match="no answer within"):
        await connections.run(answer)
    proxy.flow.set()
    again = await connections.run(answer)
    await connections.aclose()

    assert again == 42


async def test_machine_that_hangs(monkeypatch, postgres, make):
    """A server whose processes are stopped holds nobody, not even at closing."""
    monkeypatch.setattr(module, "ATTEMPT", 0.5)
    connections = make(postgres.make_place())
    await connections.run(answer)
    with postgres.frozen():
        began = time.perf_counter()
        with pytest.raises(JournalError, match="no answer within"):
            await connections.run(answer)
        await connections.aclose()
        took = time.perf_counter() - began

    assert took < 6


async def test_commit_that_is_lost(proxy, make):
    """It is told apart from all other failures, since it may have worked."""
    connections = make(proxy.url)
    await connections.run(answer)
    proxy.on_request = lambda data: None if b"COMMIT\0" in data else data
    with pytest.raises(module.CommitUnclearError):
        async with connections.connection() as connection:
            await module.transact(connection, answer)
    proxy.on_request = lambda data: data
    await connections.aclose()


async def test_commit_that_is_refused(connections):
    """A transaction that the server ends in its own way was not committed."""

    async def defer(connection: Connection) -> None:
        await connection.execute(
            "CREATE TABLE t (x INT UNIQUE DEFERRABLE INITIALLY DEFERRED)"
        )
        await connection.execute("INSERT INTO t VALUES (1), (1)")

    with pytest.raises(JournalError, match="duplicate key"):
        await connections.run(defer)


async def test_closed_database(connections):
    """Nothing is begun after closing."""
    await connections.run(answer)
    await connections.aclose()

    with pytest.raises(JournalError, match="closed while"):
        await connections.run(answer)


def test_loops_end_whatever_is_going_on(postgres, make):
    """A program that closes nothing ends all the same, also in the middle of work."""
    place = postgres.make_place()

    databases = PerLoop(lambda: make(place), Connections.aclose)

    async def use() -> int:
        made = await databases.here()
        working = asyncio.create_task(made.run(sleep_long))
        number = await made.run(answer)
        await asyncio.sleep(0.05)
        assert not working.done()
        return number

    assert [asyncio.run(use()) for _ in range(5)] == [42] * 5
