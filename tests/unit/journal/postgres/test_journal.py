"""The PostgreSQL journal: what many processes make of one, on a real server."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time

import attrs
import psycopg
import pytest

from personakit import InvalidRequest, JournalError, Persona
from personakit import journal as journals
from personakit.journal import Account, SubmitState, open_journal
from personakit.journal.postgres import PostgresJournal
from personakit.journal.postgres import journal as module
from personakit.journal.steps import Accept, Begin, Lose, Start
from personakit.receipt import Ability, Receipt

pytestmark = pytest.mark.looptime(False)

ME = Account("evolink", "https://api.example", "me")


@pytest.fixture
def place(postgres) -> str:
    return postgres.make_place()


@pytest.fixture
async def one(place):
    journal = PostgresJournal(place)
    yield journal
    await journal.aclose()


@pytest.fixture
async def two(place):
    journal = PostgresJournal(place)
    yield journal
    await journal.aclose()


async def send(journal: PostgresJournal) -> str:
    step = Begin(Receipt("evolink", Ability.MUSIC), None, None, "f")
    await journal.apply(ME, step)
    await journal.apply(ME, Start(step.key, 0))
    return step.key


async def accept(journal: PostgresJournal, job_id: str) -> str:
    key = await send(journal)
    await journal.apply(ME, Accept(key, 1, job_id))
    return key


def names(records) -> set[str | None]:
    return {record.receipt.job_id for record in records}


def find_workers(place: str) -> set[str]:
    with psycopg.connect(place) as connection:
        return {n for (n,) in connection.execute("SELECT name FROM personakit_workers")}


async def sleep_on(_: object) -> None:
    """Do what a dead process does: it shows itself no more."""


async def test_jobs_of_the_dead_are_free(place, two):
    """A process that no longer shows itself loses what it has, and no sooner."""
    dying = PostgresJournal(place, lease=0.6)
    await accept(dying, "j")
    await asyncio.sleep(1.2)  # two leases, in which it shows itself
    early = await two.claim(ME)
    end_early = dying.lease_end - time.monotonic()
    dying._show = dying._show_if_due = sleep_on
    [(_, batcher)] = dying._batchers.items()
    for task in batcher.connections._others.copy():
        task.cancel()
    await asyncio.sleep(1)
    late = await two.claim(ME)
    end_late = dying.lease_end - time.monotonic()
    await dying.aclose()

    assert (names(early), names(late)) == (set(), {"j"})
    assert 0 < end_early <= 0.6
    assert end_late < 0


async def test_lease_counts_from_before_the_sign_of_life(place):
    """Nobody relies on a lease that the others do not know of."""
    journal = PostgresJournal(place, lease=5)
    before = journal.lease_end
    began = time.monotonic()
    await journal.unsettled(ME)
    first = journal.lease_end
    await journal.aclose()

    assert before == 0.0
    assert began + 5 <= first < time.monotonic() + 5


async def test_process_that_slept(place, two):
    """Its next step shows that it is alive, also after its lease was over."""
    journal = PostgresJournal(place, lease=60)
    key = await send(journal)
    with psycopg.connect(place) as connection:
        connection.execute("DELETE FROM personakit_workers")
    journal._shown_at -= 100
    await send(journal)
    found = await two.apply(ME, Lose(key, 1, is_sender=False))
    await journal.aclose()

    assert not found.is_won


async def test_last_loop_leaves(place, one):
    """Closing deletes the process's row, so that others may claim at once."""
    journal = PostgresJournal(place)
    await accept(journal, "j")
    await one.unsettled(ME)
    before = find_workers(place)
    await journal.aclose()
    after = find_workers(place)

    assert before == {journal.worker, one.worker}
    assert after == {one.worker}
    assert names(await one.claim(ME)) == {"j"}


async def test_announcements_reach_all(one, two, caplog):
    """What one announces, both hear, whatever a listener makes of it."""
    said: list[str] = []
    both = asyncio.Event()

    def stumble(_: str) -> None:
        raise LookupError("a listener's own trouble")

    def on_notify(job_id: str) -> None:
        said.append(job_id)
        if len(said) == 2:
            both.set()

    for journal in (one, two):
        journal.listen(stumble)
        journal.listen(on_notify)
        await journal.find(ME, "0" * 32)
    await asyncio.sleep(0.5)
    await one.announce("task-1")
    async with asyncio.timeout(5):
        await both.wait()

    assert said == ["task-1", "task-1"]
    assert "a listener's own trouble" in caplog.text


async def test_text_is_changed_by_one_after_the_other(one, two):
    """No change is lost, and time never goes back."""
    times: list[float] = []

    def add(text: str | None, now: float) -> str:
        times.append(now)
        return json.dumps(json.loads(text or "0") + 1)

    await asyncio.gather(*(j.change("t", add) for _ in range(50) for j in (one, two)))
    last: list[str | None] = []

    def look(text: str | None, _: float) -> str:
        last.append(text)
        return text or ""

    await one.change("t", look)

    assert last == ["100"]
    assert times == sorted(times)


async def test_server_that_restarts_is_waited_for(postgres, one, two):
    """Who writes meanwhile waits, and every step is taken once; nobody loses a job."""
    await accept(one, "first")

    async def write(number: int) -> None:
        await accept(one, str(number))

    restarting = asyncio.create_task(asyncio.to_thread(postgres.restart, away=0.5))
    writers = []
    for number in range(200):
        writers.append(asyncio.create_task(write(number)))
        await asyncio.sleep(0.005)
    await asyncio.gather(*writers)
    await restarting
    stolen = await two.claim(ME)
    records = await one.unsettled(ME)

    assert len(records) == 201
    assert {(record.attempt, record.open) for record in records} == {(1, ())}
    assert stolen == ()


async def test_server_that_stays_away(postgres, place):
    """After its patience a call says so, and a later one works again."""
    journal = PostgresJournal(place, patience=2)
    heard: list[str] = []
    journal.listen(heard.append)
    key = await accept(journal, "j")
    await asyncio.to_thread(postgres.stop)
    try:
        with pytest.raises(JournalError, match="cannot be used"):
            await journal.find(ME, key)
        with pytest.raises(JournalError):
            await journal.apply(ME, Start(key, 0))
    finally:
        await asyncio.to_thread(postgres.start)
    found = await journal.find(ME, key)
    async with asyncio.timeout(10):  # it listens again
        while not heard:
            await journal.announce("x")
            await asyncio.sleep(0.1)
    await journal.aclose()

    assert found is not None
    assert heard[0] == "x"


async def test_closing_without_the_server(postgres, place):
    """Nobody is waited for then; the lease frees what is held."""
    journal = PostgresJournal(place)
    await journal.find(ME, "0" * 32)
    await asyncio.to_thread(postgres.stop)
    try:
        async with asyncio.timeout(5):
            await journal.aclose()
    finally:
        await asyncio.to_thread(postgres.start)

    assert not journal._batchers


async def test_wrong_address_is_told_at_once():
    """It is no server that restarts, and it shows no password."""
    journal = PostgresJournal("postgresql://u:secret-word@127.0.0.1:1/none")
    async with asyncio.timeout(5):
        with pytest.raises(JournalError) as caught:
            await journal.find(ME, "0" * 32)
    await journal.aclose()

    assert "secret-word" not in str(caught.value)
    assert repr(journal) == "<PostgresJournal 127.0.0.1/none>"


@pytest.mark.parametrize("bad", ["\0", "\ud800"])
async def test_text_that_cannot_be_kept(one, bad):
    """It is refused by an error of the journal, in every call."""
    for call in (
        one.find(ME, bad),
        one.known_jobs(ME, [bad]),
        one.remember(attrs.evolve(ME, name=bad), Persona("p", "evolink")),
        one.announce(bad),
        one.claim(ME, keys=[bad]),
        one.accounts(bad, bad),
    ):
        with pytest.raises(JournalError, match="change it"):
            await call


async def test_durations_are_bounded(one, monkeypatch):
    """The oldest are dropped when they are asked for."""
    monkeypatch.setattr(module, "DURATIONS", 3)
    await one.note([("k", float(number)) for number in range(5)])

    assert await one.durations() == (("k", 2.0), ("k", 3.0), ("k", 4.0))


def test_opened_by_url(place, monkeypatch):
    """A URL is enough if the extra is installed; else the error names the extra."""
    assert isinstance(open_journal(place), PostgresJournal)

    monkeypatch.setattr(journals, "find_spec", lambda _: None)
    with pytest.raises(InvalidRequest, match=r"personakit-sdk\[postgres\]"):
        open_journal(place)


def test_one_journal_serves_several_loops(place):
    """Each loop has connections of its own; the last one lets go of the jobs."""
    journal = PostgresJournal(place)

    async def use(job_id: str) -> int:
        await accept(journal, job_id)
        return len(await journal.unsettled(ME))

    found = [asyncio.run(use(job_id)) for job_id in "ab"]

    assert found == [1, 2]
    assert find_workers(place) == set()


async def test_loop_that_goes_on_keeps_the_jobs(place, two):
    """As long as any loop uses the journal, the process is alive."""
    journal = PostgresJournal(place)

    async def use() -> None:
        await accept(journal, "j")

    await journal.find(ME, "0" * 32)
    await asyncio.to_thread(asyncio.run, use())
    claimed = await two.claim(ME)
    await journal.aclose()

    assert claimed == ()


def test_two_threads_begin_one_key(place):
    """Two loops in two threads take the same steps at once: one winner each."""
    journals_ = [PostgresJournal(place) for _ in range(2)]
    barrier, won = threading.Barrier(2), [0, 0]

    async def use(which: int) -> None:
        journal = journals_[which]
        await journal.unsettled(ME)
        for number in range(30):
            barrier.wait()
            step = Begin(Receipt("evolink", Ability.MUSIC), f"k{number}", None, "f")
            begun = await journal.apply(ME, step)
            started = await journal.apply(ME, Start(begun.record.key, 0))
            won[which] += started.is_won
            assert begun.is_won or not started.is_won
        barrier.wait()
        await journal.aclose()

    threads = [
        threading.Thread(target=lambda n=n: asyncio.run(use(n))) for n in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(won) == 30


def test_fork_is_another_process(place, monkeypatch):
    """It has a name of its own, and has not shown itself yet."""
    journal = PostgresJournal(place)
    names_ = [journal.worker, journal.worker]
    monkeypatch.setattr(module.os, "getpid", lambda: -1)
    names_ += [journal.worker, journal.worker]

    assert names_[0] == names_[1] != names_[2] == names_[3]
    assert journal.lease_end == 0.0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
async def test_fork(place, one):
    """A child has connections and a name of its own, and leaves its parent's alone."""
    key = await send(one)
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        code = 1
        try:

            async def look() -> bool:
                found = await one.find(ME, key)
                lost = await one.apply(ME, Lose(key, 1, is_sender=False))
                await accept(one, "of the child")
                await one.aclose()
                return found is not None and found.is_held and not lost.is_won

            name = one.worker
            asyncio.events._set_running_loop(None)
            code = 0 if asyncio.run(look()) and name == one.worker else 2
        finally:
            os._exit(code)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    found = await one.find(ME, key)
    claimed = await one.claim(ME)

    assert os.waitstatus_to_exitcode(status) == 0
    assert found.state is SubmitState.SENDING
    assert found.worker == one.worker
    assert names(claimed) == {"of the child"}
