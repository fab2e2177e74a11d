"""Steps gather, each is taken once, and nobody waits for another's trouble."""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest

from personakit import JournalError
from personakit.journal import Account, SubmitState
from personakit.journal.postgres import PostgresJournal
from personakit.journal.postgres import connection as databases
from personakit.journal.postgres import writer as module
from personakit.journal.steps import Accept, Begin, Bind, Lose, Start
from personakit.receipt import Ability, Receipt
from tests.postgres import through

pytestmark = pytest.mark.looptime(False)

ME = Account("evolink", "https://api.example", "me")


@pytest.fixture
def place(postgres) -> str:
    return postgres.make_place()


@pytest.fixture
async def journal(place):
    made = PostgresJournal(place)
    await made.unsettled(ME)
    yield made
    await made.aclose()


@pytest.fixture
async def proxy(place):
    async with through(place) as running:
        yield running


@pytest.fixture
async def far(proxy):
    """Open a journal behind a proxy."""
    made = PostgresJournal(proxy.url, patience=10)
    await made.unsettled(ME)
    yield made
    proxy.flow.set()
    await made.aclose()


@pytest.fixture
def sizes(monkeypatch) -> list[int]:
    """Note how many steps each transaction takes."""
    noted: list[int] = []
    run = module.Group.run

    async def note(group, connection):
        noted.append(len(group.steps))
        await run(group, connection)

    monkeypatch.setattr(module.Group, "run", note)
    return noted


def make(caller_key: str | None = None) -> Begin:
    return Begin(Receipt("evolink", Ability.MUSIC), caller_key, None, "f")


async def begin(journal: PostgresJournal) -> str:
    step = make()
    await journal.apply(ME, step)
    return step.key


def lock_table(place: str) -> psycopg.Connection:
    connection = psycopg.connect(place)
    connection.execute("LOCK TABLE personakit_submits")
    return connection


async def test_steps_gather(journal, sizes):
    """What comes together is written together, so much at a time."""
    steps = [make() for _ in range(module.AT_ONCE + 50)]
    verdicts = await asyncio.gather(*(journal.apply(ME, step) for step in steps))

    assert [verdict.record.key for verdict in verdicts] == [step.key for step in steps]
    assert sizes == [module.AT_ONCE, 50]


async def test_keys_that_two_processes_begin(place, journal, sizes):
    """The second one waits for the first, and repeats nothing."""
    other = PostgresJournal(place)
    await other.unsettled(ME)
    for number in range(10):
        steps = [make(f"{number} {which}") for which in range(20)]
        await asyncio.gather(
            *(one.apply(ME, step) for one in (journal, other) for step in steps)
        )
    await other.aclose()

    assert sizes == [20] * 20


async def test_binding_is_alone(journal, sizes):
    """What it asks of all records must not change in its transaction."""
    keys = [await begin(journal) for _ in range(2)]
    for key in keys:
        await journal.apply(ME, Start(key, 0))
        await journal.apply(ME, Lose(key, 1))
    sizes.clear()
    binds = [Bind(keys[0], 1, "j"), Bind(keys[1], 1, "k")]
    verdicts = await asyncio.gather(
        *(journal.apply(ME, step) for step in (make(), *binds, make(), make()))
    )

    assert all(verdict.is_won for verdict in verdicts)
    assert sizes == [1, 1, 1, 2]


async def test_few_are_repeated_for_a_bad_one(journal, sizes):
    """The group is halved until the bad one is alone."""
    steps = [make(f"order {n}" if n != 70 else "order \0") for n in range(128)]
    outcomes = await asyncio.gather(
        *(journal.apply(ME, step) for step in steps), return_exceptions=True
    )
    errors = [one for one in outcomes if isinstance(one, BaseException)]

    assert len(errors) == 1
    assert "change it" in str(errors[0])
    assert len(await journal.unsettled(ME)) == 127
    assert len(sizes) == 15


async def test_step_that_was_not_begun_is_dropped(place, journal):
    """Nobody waits for it any more when its turn comes. What was begun is written."""
    await begin(journal)
    held = lock_table(place)
    steps = [make() for _ in range(4)]
    callers = [asyncio.create_task(journal.apply(ME, one)) for one in steps[:2]]
    await asyncio.sleep(0.2)
    callers += [asyncio.create_task(journal.apply(ME, one)) for one in steps[2:]]
    await asyncio.sleep(0)
    began = time.perf_counter()
    for caller in (callers[1], callers[2]):
        caller.cancel()
        await asyncio.wait({caller})
    took = time.perf_counter() - began
    held.close()
    await asyncio.gather(callers[0], callers[3])
    found = [await journal.find(ME, step.key) for step in steps]

    assert took < 0.1
    assert [record is not None for record in found] == [True, True, False, True]


async def test_table_that_is_locked(place, monkeypatch):
    """A caller with a deadline is not held by it, nor one that closes the journal."""
    journal = PostgresJournal(place)
    await journal.unsettled(ME)
    held = lock_table(place)
    began = time.perf_counter()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await journal.apply(ME, make())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await journal.unsettled(ME)
    await journal.aclose()
    took = time.perf_counter() - began
    held.close()

    assert took < 5.6


async def test_lock_that_is_never_given_back(place, journal, monkeypatch):
    """After its patience a call says what happened."""
    brief = databases._BEGIN.replace("'6s'", "'0.2s'")
    monkeypatch.setattr(databases, "_BEGIN", brief)
    [(_, batcher)] = journal._batchers.items()
    batcher.connections.patience = 1
    held = lock_table(place)
    with pytest.raises(JournalError, match=r"lock timeout.*not locked"):
        await journal.apply(ME, make())
    held.close()

    assert (await journal.apply(ME, make())).is_won


async def test_what_waits_fails_with_what_is_tried(far, proxy, monkeypatch):
    """After their patience all fail, not one after the other; later it goes on."""
    monkeypatch.setattr(databases, "ATTEMPT", 0.5)
    monkeypatch.setattr(module, "AT_ONCE", 1)
    [(_, batcher)] = far._batchers.items()
    batcher.connections.patience = 1
    proxy.flow.clear()
    began = time.perf_counter()
    outcomes = await asyncio.gather(
        *(far.apply(ME, make()) for _ in range(20)), return_exceptions=True
    )
    took = time.perf_counter() - began
    proxy.flow.set()

    assert {type(one) for one in outcomes} == {JournalError}
    assert len({id(one) for one in outcomes}) == 20
    assert took < 4
    assert (await far.apply(ME, make())).is_won


def cut_at(proxy, word: bytes, *, is_forwarded: bool) -> None:
    """Cut the connection of the next group once, before or after the server got it."""
    left = [b"txid_current", word]

    def is_reached(data: bytes) -> bool:
        before = len(left)
        while left and left[0] in data:
            left.pop(0)
        return before > 0 and not left

    if is_forwarded:
        proxy.is_last = is_reached
    else:
        proxy.on_request = lambda data: None if is_reached(data) else data


@pytest.mark.parametrize("is_forwarded", [True, False])
async def test_commit_whose_answer_is_lost(far, proxy, is_forwarded):
    """Whether it worked is found out: the step is taken once, and its taker knows."""
    key = await begin(far)
    cut_at(proxy, b"COMMIT\0", is_forwarded=is_forwarded)
    verdict = await far.apply(ME, Start(key, 0))
    found = await far.find(ME, key)

    assert verdict.is_won
    assert verdict.record == found
    assert (found.state, found.attempt) == (SubmitState.SENDING, 1)


async def test_connection_that_breaks_earlier(far, proxy):
    """The step is taken in the next attempt."""
    key = await begin(far)
    cut_at(proxy, b"txid_current", is_forwarded=True)
    verdict = await far.apply(ME, Start(key, 0))

    assert verdict.is_won
    assert verdict.record.attempt == 1


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "lost"])
async def test_number_that_a_crashed_server_gave_again(journal, monkeypatch, is_kept):
    """After a crash the rows tell whether a commit worked, not its number alone."""
    key = await begin(journal)
    commit, asked = module.transact, []

    async def break_once(connection, work):
        if asked:
            return await commit(connection, work)
        asked.append("commit")
        await connection.execute("BEGIN")
        await work(connection)
        await connection.execute("COMMIT" if is_kept else "ROLLBACK")
        raise databases.CommitUnclearError

    async def fetch(connection, query, values):
        return [["committed", "a later start"]]

    monkeypatch.setattr(module, "transact", break_once)
    monkeypatch.setattr(module, "fetch", fetch)
    verdict = await journal.apply(ME, Start(key, 0))
    found = await journal.find(ME, key)

    assert verdict.is_won
    assert (found.state, found.attempt) == (SubmitState.SENDING, 1)


async def test_commit_that_has_not_ended(journal, monkeypatch):
    """The server is asked until it knows, before anything is repeated."""
    key = await begin(journal)
    statuses = ["in progress", "in progress", "aborted"]
    commit, asked = module.transact, []

    async def break_once(connection, work):
        if not asked:
            asked.append("commit")
            await connection.execute("BEGIN")
            await work(connection)
            await connection.execute("ROLLBACK")
            raise databases.CommitUnclearError
        return await commit(connection, work)

    async def fetch(connection, query, values):
        asked.append(query)
        return [[statuses.pop(0), "start"]]

    monkeypatch.setattr(module, "transact", break_once)
    monkeypatch.setattr(module, "fetch", fetch)
    verdict = await journal.apply(ME, Start(key, 0))

    assert verdict.is_won
    assert statuses == []


async def test_cancelled_step_is_not_repeated(far, proxy):
    """A step that did not work is not tried again for a caller that is gone."""
    keys = [await begin(far), await begin(far)]
    seen = asyncio.Event()

    def on_request(data: bytes) -> bytes | None:
        if b"txid_current" not in data:
            return data
        seen.set()
        return None

    proxy.on_request = on_request
    callers = [asyncio.create_task(far.apply(ME, Start(key, 0))) for key in keys]
    await seen.wait()
    callers[0].cancel()
    await asyncio.sleep(0.2)
    proxy.on_request = lambda data: data
    await callers[1]
    found = [await far.find(ME, key) for key in keys]

    assert [one.state.value for one in found] == ["intent", "sending"]


async def test_group_of_which_all_are_cancelled(far, proxy):
    """It ends, and the next one goes on."""
    key = await begin(far)
    seen = asyncio.Event()

    def on_request(data: bytes) -> bytes | None:
        if b"txid_current" in data:
            caller.cancel()
            seen.set()
        return None

    proxy.on_request = on_request
    caller = asyncio.create_task(far.apply(ME, Start(key, 0)))
    await asyncio.sleep(0.3)
    caller.cancel()
    proxy.on_request = lambda data: data
    await asyncio.gather(caller, return_exceptions=True)
    found = await far.find(ME, key)

    assert caller.cancelled()
    assert found.state is SubmitState.INTENT
    assert (await far.apply(ME, Start(key, 0))).is_won


async def test_job_that_another_process_wrote_first(place, journal):
    """The step is decided again, by what the other one wrote."""
    other = PostgresJournal(place)
    keys = [await begin(other), await begin(journal)]
    await other.apply(ME, Start(keys[0], 0))
    await journal.apply(ME, Start(keys[1], 0))
    with psycopg.connect(place) as writer:
        writer.execute(
            "UPDATE personakit_submits SET job_id = 'j', state = 'accepted'"
            " WHERE id = %s",
            (keys[0],),
        )
        late = asyncio.create_task(journal.apply(ME, Accept(keys[1], 1, "j")))
        await asyncio.sleep(0.3)
    verdict = await late
    await other.aclose()

    assert verdict.is_won
    assert verdict.record.is_shared


async def test_key_that_is_never_free(place, journal):
    """A record that can never be written ends as an error, not as a loop."""
    step = make()
    await journal.apply(Account("evolink", "https://api.example", "you"), step)
    with pytest.raises(JournalError, match="duplicate key"):
        await journal.apply(ME, step)


async def test_closing_writes_what_has_gathered(place, journal):
    """Nothing that was begun is dropped."""
    other = PostgresJournal(place)
    steps = [make() for _ in range(3)]
    callers = [asyncio.create_task(other.apply(ME, step)) for step in steps]
    await asyncio.sleep(0)
    await other.aclose()
    verdicts = await asyncio.gather(*callers)

    assert all(verdict.is_won for verdict in verdicts)
    assert len(await journal.unsettled(ME)) == 3


async def test_closing_while_the_database_hangs(far, proxy):
    """Who waits is told, after a few seconds at most."""
    proxy.flow.clear()
    callers = [asyncio.create_task(far.apply(ME, make())) for _ in range(3)]
    await asyncio.sleep(0.1)
    callers.append(asyncio.create_task(far.apply(ME, make())))
    await asyncio.sleep(0.1)
    began = time.perf_counter()
    await far.aclose()
    took = time.perf_counter() - began
    errors = await asyncio.gather(*callers, return_exceptions=True)

    assert took < 5
    assert {type(error) for error in errors} == {JournalError}


def test_loop_that_ends_in_the_middle(place):
    """Nothing keeps it, and nothing is said of tasks that were not awaited."""

    async def use() -> None:
        journal = PostgresJournal(place)
        await journal.unsettled(ME)
        asyncio.get_running_loop().create_task(journal.apply(ME, make()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def count() -> int:
        journal = PostgresJournal(place)
        left = await journal.unsettled(ME)
        await journal.aclose()
        return len(left)

    for _ in range(5):
        asyncio.run(use())

    assert asyncio.run(count()) <= 5
