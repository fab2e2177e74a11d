"""The PostgreSQL journal: what many processes make of one, on a real server."""

from __future__ import annotations

import asyncio
import json

import psycopg
import pytest

from personakit import InvalidRequest, JournalError
from personakit import journal as journals
from personakit.journal import Entry, Mark, open_journal
from personakit.journal import postgres as module
from personakit.journal.postgres import PostgresJournal
from personakit.receipt import Ability, Receipt
from tests.postgres import Server

pytestmark = pytest.mark.looptime(False)


def make(job_id: str | None = None) -> Receipt:
    return Receipt("evolink", Ability.MUSIC, job_id=job_id)


@pytest.fixture
def place(postgres: Server) -> str:
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


def names(entries: tuple[Entry, ...]) -> set[str | None]:
    return {entry.receipt.job_id for entry in entries}


async def test_what_one_has_the_other_does_not_get(one, two):
    """What a worker submits or claims is its own; the rest is anybody's."""
    await one.record(Entry(make("mine"), Mark.ACCEPTED))
    await two.record(Entry(make("yours"), Mark.ACCEPTED))
    both = [names(await journal.claim("evolink")) for journal in (one, two)]
    seen = {
        entry.receipt.job_id: entry.is_held for entry in await one.unfinished("evolink")
    }
    await two.aclose()
    rest = names(await one.claim("evolink"))

    assert both == [{"mine"}, {"yours"}]
    assert seen == {"mine": False, "yours": True}
    assert rest == {"mine", "yours"}


async def test_claims_at_once_never_meet(one, two):
    """Two that claim at the same time each get jobs of their own."""
    gone = PostgresJournal(one._url)
    receipts = [make(str(number)) for number in range(100)]
    await asyncio.gather(*(gone.record(Entry(r, Mark.ACCEPTED)) for r in receipts))
    await gone.aclose()
    claims = await asyncio.gather(
        *(j.claim("evolink", limit=10) for _ in range(5) for j in (one, two))
    )
    ours, theirs = set[str | None](), set[str | None]()
    for place, claim in enumerate(claims):
        (theirs if place % 2 else ours).update(names(claim))

    assert ours
    assert theirs
    assert not ours & theirs


async def sleep_on(_: object) -> None:
    """Be what a worker does that is dead: it shows itself no more."""


async def test_jobs_of_the_dead_are_free(place, two):
    """A worker that no longer shows itself loses what it has, and no sooner."""
    dying = PostgresJournal(place, lease=0.6)
    await dying.record(Entry(make("j"), Mark.ACCEPTED))
    await asyncio.sleep(1.2)  # two leases, in which it shows itself
    early = await two.claim("evolink")
    [(_, desk)] = dying._desks.items()
    desk.database._attend = sleep_on
    await asyncio.sleep(1)
    late = await two.claim("evolink")
    await dying.aclose()

    assert (names(early), names(late)) == (set(), {"j"})


async def test_report_leaves_a_job_where_it_is(one, two):
    """Who writes down what a report tells does not take the job."""
    receipt = make()
    await one.record(Entry(receipt, Mark.SENDING, sender="s"))
    stands = await two.record(Entry(receipt.with_job("j"), Mark.ACCEPTED))

    assert stands.receipt.job_id == "j"
    assert names(await two.claim("evolink")) == set()
    assert names(await one.claim("evolink")) == {"j"}


async def test_who_sends_has_the_job(one, two):
    """Whoever wrote it down first, it belongs to the one that sends."""
    receipt = make()
    await one.record(Entry(receipt, Mark.INTENT))
    await two.record(Entry(receipt, Mark.INTENT))
    before = [(await j.find(receipt.key)).is_held for j in (one, two)]
    await two.record(Entry(receipt, Mark.SENDING, sender="two"))
    await one.record(Entry(receipt, Mark.SENDING, sender="one"))
    after = [(await j.find(receipt.key)).is_held for j in (one, two)]

    assert (before, after) == ([False, True], [True, False])


async def test_one_of_many_sends(place):
    """Whatever the race of many processes under one key, one of them sends."""
    workers = [PostgresJournal(place) for _ in range(5)]
    receipt = make()
    entries = [
        Entry(receipt, Mark.SENDING, sender=str(n)) for n in range(len(workers) * 4)
    ]
    stand = await asyncio.gather(
        *(workers[n % 5].record(entry) for n, entry in enumerate(entries))
    )
    for worker in workers:
        await worker.aclose()

    assert len({entry.sender for entry in stand}) == 1


async def test_announcements_reach_all(one, two):
    """What one tells, both hear, as soon as they have used the journal."""
    heard: dict[str, asyncio.Event] = {"one": asyncio.Event(), "two": asyncio.Event()}
    said: list[str] = []
    for name, journal in (("one", one), ("two", two)):

        def hear(job_id: str, name: str = name) -> None:
            said.append(job_id)
            heard[name].set()

        journal.listen(hear)
        await journal.find("0" * 32)
    await asyncio.sleep(0.3)
    await one.announce("task-1")
    async with asyncio.timeout(5):
        await asyncio.gather(*(event.wait() for event in heard.values()))

    assert said == ["task-1", "task-1"]


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
    """Who writes meanwhile waits, and everything is there; nobody loses a job."""
    receipts = [make(str(number)) for number in range(200)]
    await one.record(Entry(receipts[0], Mark.ACCEPTED))

    async def write(receipt: Receipt) -> Entry:
        return await one.record(Entry(receipt, Mark.ACCEPTED))

    restarting = asyncio.create_task(asyncio.to_thread(postgres.restart, away=0.5))
    writers = []
    for receipt in receipts:
        writers.append(asyncio.create_task(write(receipt)))
        await asyncio.sleep(0.005)
    stand = await asyncio.gather(*writers)
    await restarting
    stolen = await two.claim("evolink")

    assert len(stand) == 200
    assert len(await one.unfinished("evolink")) == 200
    assert stolen == ()


async def test_server_that_stays_away(postgres, place):
    """After its patience a call says so, and a later one works again."""
    journal = PostgresJournal(place, patience=2)
    heard: list[str] = []
    journal.listen(heard.append)
    receipt = make("j")
    await journal.record(Entry(receipt, Mark.ACCEPTED))
    await asyncio.to_thread(postgres.stop)
    try:
        with pytest.raises(JournalError, match="cannot be used"):
            await journal.find(receipt.key)
        with pytest.raises(JournalError):
            await journal.record(Entry(receipt, Mark.CLOSED))
    finally:
        await asyncio.to_thread(postgres.start)
    found = await journal.find(receipt.key)
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
    await journal.find("0" * 32)
    await asyncio.to_thread(postgres.stop)
    try:
        async with asyncio.timeout(10):
            await journal.aclose()
    finally:
        await asyncio.to_thread(postgres.start)

    assert not journal._desks


async def test_wrong_address_is_told_at_once():
    """It is no server that restarts, and it shows no password."""
    journal = PostgresJournal("postgresql://u:secret-word@127.0.0.1:1/none")
    async with asyncio.timeout(5):
        with pytest.raises(JournalError) as caught:
            await journal.find("0" * 32)
    await journal.aclose()

    assert "secret-word" not in str(caught.value)
    assert repr(journal) == "<PostgresJournal 127.0.0.1/none>"


async def test_mistakes_are_not_repeated(one):
    """What the server refuses for good is told at once."""
    await one.find("0" * 32)
    with pytest.raises(JournalError, match="no_such_table"):
        await one._fetch("SELECT * FROM no_such_table", ())


async def test_cancelled_writer_harms_nobody(one):
    """Its entry is written all the same, as those of others are."""
    receipts = [make(str(number)) for number in range(3)]
    writers = [
        asyncio.create_task(one.record(Entry(r, Mark.ACCEPTED))) for r in receipts
    ]
    await asyncio.sleep(0)
    writers[1].cancel()
    await asyncio.gather(*writers, return_exceptions=True)

    assert names(await one.unfinished("evolink")) == {"0", "1", "2"}


async def test_closing_writes_what_has_gathered(place, two):
    """Nothing that was begun is dropped."""
    journal, receipt = PostgresJournal(place), make("j")
    writer = asyncio.create_task(journal.record(Entry(receipt, Mark.ACCEPTED)))
    await asyncio.sleep(0)
    await journal.aclose()

    assert await writer == Entry(receipt, Mark.ACCEPTED)
    assert await two.find(receipt.key) == Entry(receipt, Mark.ACCEPTED)


async def test_old_entries_are_dropped(place, one):
    """Closed ones after a month, when a journal is opened; open ones never."""
    old, new, open_ = make("old"), make("new"), make("open")
    for receipt in (old, new, open_):
        await one.record(Entry(receipt, Mark.ACCEPTED))
    for receipt in (old, new):
        await one.record(Entry(receipt, Mark.CLOSED))
    with psycopg.connect(place) as connection:
        connection.execute(
            "UPDATE personakit_submits SET changed = now() - interval '31 days'"
            " WHERE job_id IN ('old', 'open')"
        )
    later = PostgresJournal(place)
    found = [await later.find(receipt.key) for receipt in (old, new, open_)]
    await later.aclose()

    assert [entry is None for entry in found] == [True, False, False]


async def test_durations_are_bounded(one, monkeypatch):
    """The oldest are dropped when they are asked for."""
    monkeypatch.setattr(module, "DURATIONS", 3)
    await one.note([("k", float(number)) for number in range(5)])

    assert await one.durations() == (("k", 2.0), ("k", 3.0), ("k", 4.0))


def test_opened_by_url(place, monkeypatch):
    """A URL is enough, where the extra is installed; else the error names it."""
    assert isinstance(open_journal(place), PostgresJournal)

    monkeypatch.setattr(journals, "find_spec", lambda _: None)
    with pytest.raises(InvalidRequest, match=r"personakit-sdk\[postgres\]"):
        open_journal(place)


def test_one_journal_serves_several_loops(place):
    """Each loop has connections of its own; the last one lets go of the jobs."""
    journal, receipt = PostgresJournal(place), make("j")

    async def use() -> Entry | None:
        await journal.record(Entry(receipt, Mark.ACCEPTED))
        return await journal.find(receipt.key)

    found = [asyncio.run(use()) for _ in range(2)]

    assert found == [Entry(receipt, Mark.ACCEPTED)] * 2


async def test_loop_that_goes_on_keeps_the_jobs(place, two):
    """As long as any loop uses the journal, it is alive."""
    journal = PostgresJournal(place)

    async def use() -> None:
        await journal.record(Entry(make("j"), Mark.ACCEPTED))

    await journal.find("0" * 32)
    await asyncio.to_thread(asyncio.run, use())
    claimed = await two.claim("evolink")
    await journal.aclose()

    assert claimed == ()
