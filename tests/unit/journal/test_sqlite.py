"""A journal in a file, shared by loops, threads, processes and forks."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import resource
import signal
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import attrs
import pytest

from personakit import InvalidRequest, JournalError, Persona, PersonaKit
from personakit.journal import (
    MemoryJournal,
    SqliteJournal,
    SubmitState,
    open_journal,
    sqlite,
    sqlite_file,
)
from personakit.journal.steps import Accept, Lose, Start
from tests.unit.journal.stores import ME, bring, make_begin, run_process

pytestmark = pytest.mark.looptime(False)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
async def journal(path):
    opened = SqliteJournal(path)
    yield opened
    await opened.aclose()


async def refuse(journal: SqliteJournal, words: str) -> None:
    """Check that a write is refused with a clear error, and nothing is charged."""
    with pytest.raises(JournalError, match=words) as caught:
        await journal.apply(ME, make_begin())
    assert caught.value.charged == "no"
    assert "jobs.db" in str(caught.value)


async def read_line(process: subprocess.Popen[str]) -> str:
    """Read what a process says next."""
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).strip()


async def end(process: subprocess.Popen[str]) -> None:
    """Let a process go on to its end, and see that it ends well."""
    await asyncio.to_thread(process.communicate, "go on\n", 10)

    assert process.returncode == 0


def test_journals_are_opened_by_path_or_passed(path):
    """A path names a file, None means memory, a journal is taken as it is."""
    given = MemoryJournal()

    assert open_journal(given) is given
    assert isinstance(open_journal(None), MemoryJournal)
    assert repr(open_journal(path)) == f"<SqliteJournal {path}>"
    assert repr(open_journal(str(path))) == f"<SqliteJournal {path}>"


def test_missing_folder_is_refused_by_its_name(tmp_path):
    """J3: a folder that does not exist may be a slip: it is named, and not made."""
    folder = tmp_path / "missing" / "folder"
    with pytest.raises(InvalidRequest, match="folder that exists") as caught:
        PersonaKit("evolink", api_key="key", journal=str(folder / "jobs.db"))

    assert str(folder) in str(caught.value)
    assert not folder.exists()


async def test_file_stays_the_same_after_a_change_of_folder(tmp_path, monkeypatch):
    """A relative path is one of the folder in which the journal was made."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    journal = SqliteJournal("jobs.db")
    monkeypatch.chdir(tmp_path / "elsewhere")
    await journal.apply(ME, make_begin())
    await journal.aclose()

    assert (tmp_path / "jobs.db").exists()


async def test_steps_are_on_the_disk_at_once(journal, path):
    """Another process sees a step as soon as its caller was told."""
    record = await bring(journal, "accepted", "order 1")
    other = SqliteJournal(path)
    found = await other.find(ME, record.key)
    by_key = await other.find_by_caller_key(ME, "order 1")
    known = await other.known_jobs(ME, ["j", "k"])
    counts = await other.accounts(ME.provider, ME.address)
    await other.aclose()

    assert found == by_key == record
    assert (known, counts) == ({"j"}, {"me": 1})


async def test_lease_begins_with_the_first_call(journal):
    """Before it nobody takes this process for alive."""
    before = journal.lease_end
    await journal.unsettled(None)

    assert before == 0.0
    assert time.monotonic() < journal.lease_end <= time.monotonic() + sqlite.LEASE


async def test_everything_of_an_account_is_renamed(journal):
    """Submits and personas move to the new name, unless both used one key."""
    await bring(journal, "accepted", "order 1")
    await journal.remember(ME, Persona("p", "evolink"))
    new = attrs.evolve(ME, name="studio")
    moved = await journal.rename_account(ME, "studio")
    await journal.apply(ME, make_begin("order 1"))
    with pytest.raises(JournalError, match="same key="):
        await journal.rename_account(ME, "studio")

    assert moved == 1
    assert await journal.personas(new) == (Persona("p", "evolink"),)
    assert await journal.personas(ME) == ()
    assert len(await journal.unsettled(new)) == len(await journal.unsettled(ME)) == 1
    assert [await journal.forget(new, "p") for _ in range(2)] == [True, False]


async def test_writers_share_transactions(journal, monkeypatch):
    """A thousand submits at once wait for a few flushes, not for a thousand."""
    await journal.unsettled(ME)
    sizes: list[int] = []
    transact = sqlite_file.File.transact
    monkeypatch.setattr(
        sqlite_file.File,
        "transact",
        lambda self, works: sizes.append(len(works)) or transact(self, works),
    )
    await asyncio.gather(*(journal.apply(ME, make_begin()) for _ in range(1000)))

    assert sum(sizes) >= 1000
    assert len(sizes) < 200


async def test_hostile_text_fails_alone(journal):
    """J1: half a character in one of many submits fails that one, and freezes nobody.

    A null character is kept as it is.
    """
    names = [f"order {number}" for number in range(50)]
    names[20], names[30] = "bad \ud800", "null \0"
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    outcomes = await asyncio.gather(
        *(journal.apply(ME, make_begin(name)) for name in names), return_exceptions=True
    )
    ids = [f"j{number}" for number in range(50)]
    ids[20], ids[30] = "\udfff", "j\0"
    steps = [Start(o.record.key, 0) for o in outcomes if not isinstance(o, Exception)]
    await asyncio.gather(*(journal.apply(ME, step) for step in steps))
    accepted = await asyncio.gather(
        *(
            journal.apply(ME, Accept(step.key, 1, job_id))
            for step, job_id in zip(steps, ids, strict=False)
        ),
        return_exceptions=True,
    )
    found = await journal.claim(ME)
    ticking.cancel()

    assert [i for i, o in enumerate(outcomes) if isinstance(o, JournalError)] == [20]
    assert [i for i, o in enumerate(accepted) if isinstance(o, JournalError)] == [20]
    assert len(found) == 48
    assert {"null \0"} < {record.caller_key for record in found}
    assert {"j\0"} < {record.receipt.job_id for record in found}
    assert max(b - a for a, b in itertools.pairwise(ticks)) < 1.0


async def test_one_file_in_many_threads_and_loops(path):
    """Journals in several threads, and one in two loops, lose nothing."""
    shared = SqliteJournal(path)

    async def write(journal: SqliteJournal) -> None:
        await asyncio.gather(*(journal.apply(ME, make_begin()) for _ in range(50)))
        if journal is not shared:
            await journal.aclose()

    journals = [shared, shared, *(SqliteJournal(path) for _ in range(3))]
    threads = [
        threading.Thread(target=lambda j=journal: asyncio.run(write(j)))
        for journal in journals
    ]
    for thread in threads:
        thread.start()
    await write(shared)
    for thread in threads:
        await asyncio.to_thread(thread.join)
    records = await shared.unsettled(ME)
    await shared.aclose()

    assert len({record.key for record in records}) == 300


async def test_ten_thousand_open_jobs_come_back_quickly(path):
    """After a restart all open jobs are there within seconds (measured: 0.4 s)."""
    journal = SqliteJournal(path)
    begins = [make_begin() for _ in range(10_000)]
    await asyncio.gather(*(journal.apply(ME, begin) for begin in begins))
    await journal.aclose()
    gc.collect()
    again = SqliteJournal(path)
    began = time.perf_counter()
    found = await again.unsettled(ME)
    took = time.perf_counter() - began
    await again.aclose()

    assert [record.key for record in found] == [begin.key for begin in begins]
    assert took < 5


async def test_accepting_does_not_slow_down_with_the_journal(journal):
    """J7: the record of a job id is found by an index (100: 2 ms)."""

    def fill(file: sqlite_file.File) -> None:
        file.connection.execute(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
                                    WHERE i < 100000)
            INSERT INTO submits (id, provider, address, account, kind, fingerprint,
                state, attempt, open, job_id, is_shared, at, made_at)
            SELECT 'old' || i, 'evolink', 'https://api.example', 'me', 'music', '',
                'delivered', 1, '[]', 'old' || i, 0, 0, 0 FROM n
            """
        )

    await journal._do(fill)
    began = time.perf_counter()
    known = await journal.known_jobs(ME, [f"old{n}" for n in range(1, 101)])
    took = time.perf_counter() - began

    assert len(known) == 100
    assert took < 0.2


# Clocks.


@pytest.mark.parametrize("shift", [-3600.0, 3600.0, 40 * 24 * 3600.0])
async def test_clock_that_jumps_forgets_no_key(path, monkeypatch, shift):
    """M7: a start with a wrong clock keeps keys and job ids, and kills no lease."""
    holder = SqliteJournal(path)
    held = await bring(holder, "accepted", "order 1", job_id="k")
    done = await bring(holder, "delivered", "order 2")
    now = time.time
    monkeypatch.setattr(sqlite_file.time, "time", lambda: now() + shift)
    other = SqliteJournal(path)
    claimed = await other.claim(ME)
    again = [await other.apply(ME, make_begin(f"order {n}")) for n in (1, 2)]
    await other.aclose()
    await holder.aclose()

    assert claimed == ()
    assert [verdict.is_won for verdict in again] == [False, False]
    assert [v.record.key for v in again if v.record] == [held.key, done.key]
    assert [v.record.receipt.job_id for v in again if v.record] == ["k", "j"]


# Processes.


async def test_each_job_belongs_to_one_process(journal, path):
    """J8: of two that claim again and again, each job goes to one."""
    other = run_process(
        path,
        """
        say(len(await journal.claim(ME)))
        sys.stdin.readline()
        say(len(await journal.claim(ME)))
        """,
    )
    ready, none = await read_line(other), await read_line(other)
    for number in range(5):
        await bring(journal, "accepted", job_id=f"j{number}")
    mine = await journal.claim(ME)
    await journal.aclose()
    assert other.stdin is not None
    other.stdin.write("now\n")
    other.stdin.flush()
    theirs = await read_line(other)
    await end(other)

    assert (ready, none) == ("ready", "0")
    assert len(mine) == 5
    assert theirs == "5"


async def test_jobs_of_a_killed_process_are_free_at_once(journal, path):
    """J8: after SIGKILL nobody waits for a lease."""
    other = run_process(
        path,
        """
        for number in range(5):
            await bring(journal, "accepted", job_id=f"j{number}")
        await bring(journal, "ended", job_id="ended")
        say("done")
        sys.stdin.readline()
        """,
        lease=3600.0,
    )
    assert [await read_line(other) for _ in range(2)] == ["ready", "done"]
    before = await journal.claim(ME)
    other.kill()
    await asyncio.to_thread(other.communicate)
    after = await journal.claim(ME)

    assert before == ()
    assert [record.state for record in after] == ["accepted"] * 5 + ["ended"]
    assert {record.worker for record in after} == {journal.worker}


async def test_frozen_process_does_not_pay_again(journal, path):
    """A process that was stopped past its lease finds out, and its attempt is known.

    The other one may only say that the outcome is unknown; what the frozen one then
    says of its own attempt counts.
    """
    frozen = run_process(
        path,
        """
        import time
        verdict = await journal.apply(ME, make_begin("order 1"))
        key = verdict.record.key
        await journal.apply(ME, Start(key, 0))
        say(key)
        with journal._thread._using:  # not in a transaction, which would lock the file
            os.kill(os.getpid(), signal.SIGSTOP)
        say(journal.lease_end < time.monotonic())
        verdict = await journal.apply(ME, NotSent(key, 1))
        say(verdict.record.state)
        """,
        lease=0.3,
    )
    assert await read_line(frozen) == "ready"
    key = await read_line(frozen)
    record = await journal.find(ME, key)
    while record is not None and record.is_held:
        await asyncio.sleep(0.05)
        record = await journal.find(ME, key)
    joined = await journal.apply(ME, make_begin("order 1"))
    stolen = await journal.apply(ME, Start(key, 1))
    lost = await journal.apply(ME, Lose(key, 1, is_sender=False))
    frozen.send_signal(signal.SIGCONT)
    is_over, state = [await read_line(frozen) for _ in range(2)]
    await end(frozen)

    assert [joined.is_won, stolen.is_won, lost.is_won] == [False, False, True]
    assert lost.record is not None
    assert lost.record.state is SubmitState.UNKNOWN
    assert (is_over, state) == ("True", "refused")


async def test_fork_works_with_a_connection_of_its_own(path):
    """J4: a fork while the journal is open is another worker, and nothing is lost.

    The parent closes while the fork still works, which takes the log away from a fork
    that only believes to hold a lock.
    """
    program = run_process(
        path,
        """
        import threading
        await journal.apply(ME, make_begin("parent"))
        name = journal.worker
        reading, writing = os.pipe()

        async def work():
            say(journal.worker != name, journal.lease_end)
            await journal.apply(ME, make_begin("fork 1"))
            os.read(reading, 1)
            for number in range(2, 50):
                await journal.apply(ME, make_begin(f"fork {number}"))
            await journal.aclose()

        child = os.fork()
        if child == 0:
            thread = threading.Thread(target=asyncio.run, args=(work(),))
            thread.start()
            thread.join()
            os._exit(0)
        await journal.apply(ME, make_begin("parent again"))
        await journal.aclose()
        os.write(writing, b".")
        say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
    )
    said = [await read_line(program) for _ in range(3)]
    await end(program)
    journal = SqliteJournal(path)
    records = await journal.unsettled(ME)
    await journal.aclose()

    assert said == ["ready", "True 0.0", "0"]
    assert len(records) == 51


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
async def test_fork_may_close_a_journal_it_never_used(journal, path):
    """J4: a fork that does nothing with the journal leaves that of its parent alone."""
    await journal.apply(ME, make_begin())
    child = os.fork()
    if child == 0:
        closing = journal.aclose()
        try:
            closing.send(None)
        except StopIteration:
            os._exit(0)
        os._exit(1)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert (await journal.apply(ME, make_begin())).is_won


# Damage: a clear error or a clean recovery, and never a write that is not durable.


async def test_locked_for_longer_than_the_patience(journal, path, monkeypatch):
    """A file locked for too long refuses; what is tried again afterwards is written."""
    monkeypatch.setattr(sqlite_file, "LOCK_TIMEOUT", 0.2)
    await journal.unsettled(None)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await refuse(journal, "locked")
    other.execute("ROLLBACK")
    other.close()

    assert (await journal.apply(ME, make_begin())).is_won


async def test_file_that_is_just_being_made(path, monkeypatch):
    """A process that comes while another one sets the file up waits for it."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(sqlite_file, "LOCK_TIMEOUT", 0.1)
    early = SqliteJournal(path)
    await refuse(early, "locked")
    await early.aclose()
    monkeypatch.setattr(sqlite_file, "LOCK_TIMEOUT", 5)
    journal = SqliteJournal(path)
    writing = asyncio.create_task(journal.apply(ME, make_begin()))
    await asyncio.sleep(0.1)
    other.execute("ROLLBACK")
    verdict = await writing
    await journal.aclose()
    other.close()

    assert verdict.is_won


async def test_disk_full(journal, path):
    """J3: a disk that is full refuses, and when there is room again all goes on."""
    await bring(journal, "accepted")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limit[1]))
    try:
        with pytest.raises(JournalError, match=r"disk I/O error|full"):
            await journal.remember(ME, Persona("p", "evolink", "x" * 200_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    assert (await journal.apply(ME, make_begin())).is_won
    assert await journal.personas(ME) == ()


async def test_read_only_file(journal, path, monkeypatch):
    """J3: a file that cannot be written is refused; root is told by SQLite itself."""
    connect = sqlite3.connect
    await bring(journal, "accepted")
    await journal.aclose()
    monkeypatch.setattr(
        sqlite_file.sqlite3,
        "connect",
        lambda p, **more: connect(f"file:{p}?mode=ro", uri=True, **more),
    )

    await refuse(journal, "readonly database.*Check the file and its folder")


async def test_folder_instead_of_a_file(path):
    """A folder is no journal."""
    path.mkdir()
    journal = SqliteJournal(path)
    await refuse(journal, "unable to open")
    await journal.aclose()


@pytest.mark.parametrize("is_replaced", [True, False])
@pytest.mark.parametrize("removed", ["jobs.db", "jobs.db-wal"])
async def test_file_replaced_while_in_use(journal, path, removed, is_replaced):
    """Nothing is written to a removed file, nor to another one in its place.

    A journal that is opened again takes what there is.
    """
    await bring(journal, "accepted")
    kept = (path.parent / removed).rename(path.parent / "moved")
    if is_replaced:
        (path.parent / removed).touch()
    await refuse(journal, "removed while in use" if is_replaced else "No such file")
    kept.unlink()
    if removed == "jobs.db":
        await refuse(journal, "removed while in use")
        await journal.aclose()
    verdict = await journal.apply(ME, make_begin("order 1"))
    again = SqliteJournal(path)
    found = await again.find_by_caller_key(ME, "order 1")
    await again.aclose()

    assert verdict.is_won
    assert found is not None


async def test_only_the_latest_durations_are_kept(journal, monkeypatch):
    """Old ones go when they are next asked for."""
    monkeypatch.setattr(sqlite, "DURATIONS", 3)
    await journal.note([("k", float(number)) for number in range(5)])

    assert await journal.durations() == (("k", 2.0), ("k", 3.0), ("k", 4.0))
