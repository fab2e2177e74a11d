"""The file of a journal: what damages it, who shares it, and what it costs."""

from __future__ import annotations

import asyncio
import gc
import resource
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from personakit import JournalError, Persona
from personakit.journal import (
    Entry,
    Mark,
    MemoryJournal,
    SqliteJournal,
    open_journal,
    sqlite,
)
from personakit.receipt import Ability, Receipt

pytestmark = pytest.mark.looptime(False)


def make(job_id: str | None = None) -> Receipt:
    return Receipt("evolink", Ability.MUSIC, job_id=job_id)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
async def journal(path):
    opened = SqliteJournal(path)
    yield opened
    await opened.aclose()


async def fill(path: Path, *receipts: Receipt) -> None:
    """Write entries as a process does that ends properly."""
    journal = SqliteJournal(path)
    for receipt in receipts:
        await journal.record(Entry(receipt, Mark.ACCEPTED))
    await journal.aclose()


async def refused(journal: SqliteJournal, words: str) -> None:
    """Check that a write is refused with a clear error, and nothing is charged."""
    with pytest.raises(JournalError, match=words) as caught:
        await journal.record(Entry(make(), Mark.INTENT))
    assert caught.value.charged == "no"
    assert "jobs.db" in str(caught.value)


def test_journals_are_opened_by_path_or_passed(path):
    """A path names a file, None means memory, a journal is taken as it is."""
    given = MemoryJournal()

    assert open_journal(given) is given
    assert isinstance(open_journal(None), MemoryJournal)
    assert repr(open_journal(path)) == f"<SqliteJournal {path}>"
    assert repr(open_journal(str(path))) == f"<SqliteJournal {path}>"


async def test_entries_are_on_the_disk_at_once(journal, path):
    """Another process sees an entry as soon as the writer was told."""
    receipt = make("j")
    await journal.record(Entry(receipt, Mark.ACCEPTED))
    other = SqliteJournal(path)
    found = await other.find(receipt.key)
    await other.aclose()

    assert found == Entry(receipt, Mark.ACCEPTED)


async def test_settings_are_durable(journal):
    """Every commit waits for the disk."""
    await journal.unfinished("evolink")
    pragmas = await journal._do(
        lambda c: [
            c.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("synchronous", "journal_mode", "user_version")
        ]
    )

    assert pragmas == [2, "wal", 4]


async def test_writers_share_transactions(journal, monkeypatch):
    """A thousand writers at once wait for a few flushes, not for a thousand."""
    await journal.unfinished("evolink")
    sizes: list[int] = []
    transact = journal._transact
    monkeypatch.setattr(
        journal, "_transact", lambda works: sizes.append(len(works)) or transact(works)
    )
    entries = [Entry(make(), Mark.INTENT) for _ in range(1000)]
    await asyncio.gather(*map(journal.record, entries))

    assert sum(sizes) == 1000
    assert len(sizes) < 200


async def test_several_writers_on_one_file(path):
    """Journals in several threads, each with a loop of its own, lose nothing."""
    receipts = [[make() for _ in range(50)] for _ in range(4)]

    async def write(mine: list[Receipt]) -> None:
        journal = SqliteJournal(path)
        for receipt in mine:
            await journal.record(Entry(receipt, Mark.INTENT))
        await journal.aclose()

    threads = [
        threading.Thread(target=lambda m=mine: asyncio.run(write(m)))
        for mine in receipts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    journal = SqliteJournal(path)
    entries = await journal.unfinished("evolink")
    await journal.aclose()

    assert {e.receipt for e in entries} == {r for mine in receipts for r in mine}


async def test_file_that_is_just_being_made(path, monkeypatch):
    """Who comes while another one sets the file up waits, and is told when too long."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(sqlite, "LOCK_TIMEOUT", 0.1)
    await refused(SqliteJournal(path), "locked")
    monkeypatch.setattr(sqlite, "LOCK_TIMEOUT", 5)
    journal, receipt = SqliteJournal(path), make()
    writing = asyncio.create_task(journal.record(Entry(receipt, Mark.INTENT)))
    await asyncio.sleep(0.1)
    other.execute("ROLLBACK")
    await writing
    found = await journal.find(receipt.key)
    await journal.aclose()
    other.close()

    assert found == Entry(receipt, Mark.INTENT)


async def test_log_that_is_refused_at_once_is_asked_for_again(journal, monkeypatch):
    """SQLite does not wait by itself where two set the same file up together."""
    connect, refusals = sqlite3.connect, [1, 2, 3]

    class Busy(sqlite3.Connection):
        def execute(self, statement: str, *values: object):
            if "journal_mode" in statement and refusals:
                error = sqlite3.OperationalError(f"locked {refusals.pop()}")
                error.sqlite_errorcode = sqlite3.SQLITE_BUSY
                raise error
            return super().execute(statement, *values)

    monkeypatch.setattr(
        "personakit.journal.sqlite.sqlite3.connect",
        lambda path, **more: connect(path, factory=Busy, **more),
    )
    receipt = make()
    await journal.record(Entry(receipt, Mark.INTENT))

    assert refusals == []
    assert await journal.find(receipt.key) == Entry(receipt, Mark.INTENT)


async def test_one_journal_in_two_loops(path):
    """One journal may be used from several loops at once."""
    journal = SqliteJournal(path)
    theirs = [make() for _ in range(100)]

    async def write() -> None:
        await asyncio.gather(*(journal.record(Entry(r, Mark.INTENT)) for r in theirs))

    thread = threading.Thread(target=lambda: asyncio.run(write()))
    thread.start()
    mine = [make() for _ in range(100)]
    await asyncio.gather(*(journal.record(Entry(r, Mark.INTENT)) for r in mine))
    await asyncio.to_thread(thread.join)
    entries = await journal.unfinished("evolink")
    await journal.aclose()

    assert {entry.receipt for entry in entries} == {*mine, *theirs}


async def test_ten_thousand_open_jobs_come_back_quickly(path):
    """After a restart all open jobs are there within seconds (measured: 0.3 s)."""
    journal = SqliteJournal(path)
    entries = [Entry(make(f"j{n}"), Mark.ACCEPTED) for n in range(10_000)]
    await asyncio.gather(*map(journal.record, entries))
    await journal.aclose()
    gc.collect()
    again = SqliteJournal(path)
    began = time.perf_counter()
    found = await again.unfinished("evolink")
    took = time.perf_counter() - began
    await again.aclose()

    assert list(found) == entries
    assert took < 5


async def test_old_ends_are_dropped(path, monkeypatch):
    """What was closed long ago is gone when the file is opened again."""
    old, open_ = make("old"), make("open")
    await fill(path, old, open_)
    journal = SqliteJournal(path)
    await journal.record(Entry(old, Mark.CLOSED))
    await journal.aclose()
    monkeypatch.setattr(sqlite, "RETENTION", -10)
    again = SqliteJournal(path)
    found = [await again.find(receipt.key) for receipt in (old, open_)]
    await again.aclose()

    assert found == [None, Entry(open_, Mark.ACCEPTED)]


@pytest.mark.parametrize("shift", [-3600, 3600])
async def test_clock_that_jumps(path, monkeypatch, shift):
    """A clock an hour off changes nothing of what is kept."""
    receipt = make("j")
    await fill(path, receipt)
    now = time.time()
    monkeypatch.setattr("personakit.journal.sqlite.time.time", lambda: now + shift)
    journal = SqliteJournal(path)
    await journal.record(Entry(receipt, Mark.CLOSED))
    found = await journal.find(receipt.key)
    await journal.aclose()

    assert found == Entry(receipt, Mark.CLOSED)


# Damage: a clear error or a clean recovery, and never a write that is not durable.


async def test_disk_full(path, monkeypatch):
    """A disk that is full refuses, and when there is room again all goes on."""
    receipt = make("j")
    await fill(path, receipt)
    journal = SqliteJournal(path)
    await journal.unfinished("evolink")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    request = Persona("x" * 200_000, "evolink")
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limit[1]))
    try:
        with pytest.raises(JournalError, match=r"disk I/O error|full"):
            await journal.remember(request)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    await journal.record(Entry(receipt, Mark.CLOSED))
    found = await journal.find(receipt.key)
    await journal.aclose()

    assert found == Entry(receipt, Mark.CLOSED)


async def test_read_only_place(journal, path, monkeypatch):
    """A file that cannot be written is refused; root is told by SQLite itself."""
    connect = sqlite3.connect
    await fill(path, make("j"))
    monkeypatch.setattr(
        "personakit.journal.sqlite.sqlite3.connect",
        lambda p, **more: connect(f"file:{p}?mode=ro", uri=True, **more),
    )

    await refused(journal, "readonly database")


async def test_missing_folder(tmp_path):
    """A folder that is not there is not made: the path may be a slip."""
    await refused(SqliteJournal(tmp_path / "no" / "jobs.db"), "unable to open")


async def test_folder_instead_of_a_file(tmp_path):
    """A folder is no journal."""
    (tmp_path / "jobs.db").mkdir()

    await refused(SqliteJournal(tmp_path / "jobs.db"), "unable to open")


async def test_locked_file(journal, path, monkeypatch):
    """Another writer is waited for, and named as the reason when it takes too long."""
    monkeypatch.setattr(sqlite, "LOCK_TIMEOUT", 0.1)
    await fill(path, make("j"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await refused(journal, "locked")
    other.execute("ROLLBACK")
    other.close()
    receipt = make()

    assert (await journal.record(Entry(receipt, Mark.INTENT))).receipt == receipt


@pytest.mark.parametrize("size", [10, 100, 5000, 9000])
async def test_truncated_file(journal, path, size):
    """A file that was cut off is refused as damaged."""
    await fill(path, *(make(f"j{n}") for n in range(200)))
    content = path.read_bytes()
    path.write_bytes(content[:size])

    await refused(journal, "malformed|damaged|not a database")
    assert path.read_bytes() == content[:size]


async def test_scribbled_file(journal, path):
    """A file of which a part was overwritten is refused before anything is written."""
    await fill(path, *(make(f"j{n}") for n in range(500)))
    with path.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"x" * 4096)

    await refused(journal, "damaged")


async def test_foreign_file(journal, path):
    """The database of another program is left alone."""
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE songs (title TEXT)")
    other.commit()
    other.close()

    await refused(journal, "belongs to another program")


async def test_text_file(journal, path):
    """A file that is no database is refused."""
    path.write_text("jobs of today\n" * 100)

    await refused(journal, "not a database")


async def test_newer_file(journal, path):
    """The file of a newer version is refused, not misread."""
    await fill(path, make("j"))
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.close()

    await refused(journal, "newer version")


async def test_only_the_latest_durations_are_kept(journal, monkeypatch):
    """Old ones go when they are next asked for."""
    monkeypatch.setattr(sqlite, "DURATIONS", 3)
    await journal.note([("k", float(number)) for number in range(5)])

    assert await journal.durations() == (("k", 2.0), ("k", 3.0), ("k", 4.0))


async def test_older_file(journal, path):
    """The file of an older version is brought up to date, with all that is in it."""
    receipt = make("j")
    older = sqlite3.connect(path)
    older.executescript(sqlite.MIGRATIONS[0])
    row = (receipt.key, receipt.kind, int(receipt.at.timestamp()), receipt.job_id)
    older.execute(
        "INSERT INTO submits (key, provider, kind, at, job_id, mark, changed)"
        " VALUES (?, 'evolink', ?, ?, ?, 'accepted', 0)",
        row,
    )
    older.execute(f"PRAGMA application_id = {sqlite._APPLICATION}")
    older.execute("PRAGMA user_version = 1")
    older.commit()
    older.close()
    await journal.remember(Persona("p", "evolink"))

    assert await journal.find(receipt.key) == Entry(receipt, Mark.ACCEPTED)
    assert len(await journal.personas("evolink")) == 1


async def test_failed_upgrade_changes_nothing(journal, path, monkeypatch):
    """An upgrade that breaks in the middle leaves the file as it was."""
    receipt = make("j")
    await fill(path, receipt)
    with monkeypatch.context() as bad:
        broken = (*sqlite.MIGRATIONS, "CREATE TABLE third (x);\nNONSENSE;")
        bad.setattr(sqlite, "MIGRATIONS", broken)
        await refused(journal, "syntax error")

    assert await journal.find(receipt.key) == Entry(receipt, Mark.ACCEPTED)


@pytest.mark.parametrize("is_replaced", [True, False])
@pytest.mark.parametrize("removed", ["jobs.db", "jobs.db-wal"])
async def test_file_removed_while_in_use(journal, path, removed, is_replaced):
    """What would be written to a removed file is refused, then a new one is begun."""
    await journal.record(Entry(make("j"), Mark.ACCEPTED))
    kept = (path.parent / removed).rename(path.parent / "moved")
    if is_replaced:
        (path.parent / removed).touch()
    await refused(journal, "removed while in use" if is_replaced else "No such file")
    kept.unlink()
    receipt = make()
    await journal.record(Entry(receipt, Mark.INTENT))
    again = SqliteJournal(path)
    found = await again.find(receipt.key)
    await again.aclose()

    assert found == Entry(receipt, Mark.INTENT)


async def test_no_write_ahead_log(journal, monkeypatch):
    """Where the file system cannot have one, the journal says so."""
    connect = sqlite3.connect
    monkeypatch.setattr(
        "personakit.journal.sqlite.sqlite3.connect",
        lambda _, **more: connect(":memory:", **more),
    )

    await refused(journal, "no write-ahead log")
