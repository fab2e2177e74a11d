"""The thread of a journal: it lives on, shows that it does, and lets go for a fork."""

from __future__ import annotations

import itertools
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from personakit import JournalError
from personakit.journal import sqlite_file, sqlite_thread
from personakit.journal.sqlite_file import File, open_file
from personakit.journal.sqlite_thread import JournalThread, Task
from tests.unit.journal.stores import ME, make_begin

pytestmark = pytest.mark.looptime(False)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def start(path) -> Iterator[Callable[..., JournalThread]]:
    """Return what starts a thread, which is ended after the test."""
    started: list[JournalThread] = []

    def start(lease: float = 15.0, retention: float = 3600.0) -> JournalThread:
        thread = JournalThread(path, "me", lease, retention)
        thread.start()
        started.append(thread)
        return thread

    yield start
    for thread in filter(JournalThread.is_alive, started):
        end(thread)


def end(thread: JournalThread) -> None:
    closing: Task[None] = Task(None)
    thread.add(closing)
    thread.join(5)
    assert closing.done.result(0) is None


def do(thread: JournalThread, work: Callable[[File], Any]) -> Any:
    """Have something done, and return what came of it."""
    task = Task(work)
    thread.add(task)
    return task.done.result(10)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for the thread, in real time: it has no event loop."""
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def read(path: Path, query: str) -> list[Any]:
    other = sqlite3.connect(path)
    rows = other.execute(query).fetchall()
    other.close()
    return rows


def test_it_shows_that_the_process_is_alive(start, path):
    """Its row is renewed well before its lease is over, without any work."""
    thread = start(lease=0.1)
    do(thread, lambda file: file.show())
    first, end_ = read(path, "SELECT seen FROM workers"), thread.lease_end
    wait_for(lambda: thread.lease_end > end_ + 0.1)

    assert read(path, "SELECT seen FROM workers") > first
    assert thread.lease_end <= time.monotonic() + 0.1


def test_lease_is_not_counted_on_what_failed(start, path, caplog):
    """A beat that is not written does not prolong the lease; it is reported once."""
    thread = start(lease=0.1)
    do(thread, lambda file: file.connection.execute("DROP TABLE workers"))
    wait_for(lambda: thread.lease_end < time.monotonic() - 0.1)
    alive = do(thread, lambda _: "alive")

    assert alive == "alive"
    assert thread.lease_end < time.monotonic()
    assert len(caplog.records) == 1
    assert "no such table: workers" in caplog.text


def test_failing_beats_pause_in_between(start, path, caplog, monkeypatch):
    """A file that cannot be opened is tried again with each beat, not without end."""
    thread, opened = start(lease=0.5), []

    def fail(*_: object) -> File:
        opened.append(time.monotonic())
        raise OSError("no")

    do(thread, lambda _: None)
    monkeypatch.setattr(sqlite_thread, "open_file", fail)
    for work in (lambda file: file.connection.close(), lambda _: None):
        with pytest.raises(JournalError, match="Check the file and its folder"):
            do(thread, work)
    wait_for(lambda: len(opened) > 3)
    pauses = [b - a for a, b in itertools.pairwise(opened[1:])]
    monkeypatch.undo()
    again = do(thread, lambda _: "again")

    assert min(pauses) > 0.05
    assert again == "again"
    assert len(caplog.records) == 1


def test_old_submits_are_pruned_while_it_runs(start, path, monkeypatch):
    """J7: slice after slice, with other work in between, and not when it opens."""
    monkeypatch.setattr(sqlite_file, "SLICE", 10)
    thread = start(lease=0.05, retention=-1.0)
    for number in range(95):
        do(thread, lambda f, n=number: f.apply(ME, make_begin(f"order {n}")))
    do(
        thread,
        lambda f: f.connection.execute(
            "UPDATE submits SET state = 'delivered', delivered_at = 0"
        ),
    )
    thread._pruned_at = -float("inf")
    left = "SELECT count(*) FROM submits WHERE request IS NOT NULL"
    seen = [read(path, left)[0][0]]
    while seen[-1]:
        seen.append(read(path, left)[0][0])
        assert do(thread, lambda _: True)
    pruned_at = thread._pruned_at
    wait_for(lambda: thread.lease_end > time.monotonic() + 0.04)

    assert len({*seen}) > 3
    assert all(a - b <= 20 for a, b in itertools.pairwise(seen))
    assert thread._pruned_at == pruned_at
    assert read(path, "SELECT count(caller_key) FROM submits") == [(95,)]


def test_removed_file_is_let_be(start, path):
    """A file that was removed is not made again, neither for beats nor for work."""
    thread = start(lease=0.1)
    do(thread, lambda _: None)
    for name in path.parent.iterdir():
        name.unlink()
    wait_for(lambda: thread.lease_end == 0.0)
    none = [*path.parent.iterdir()]
    for _ in range(2):
        with pytest.raises(JournalError, match="Check the file and its folder"):
            do(thread, lambda _: None)

    assert none == []
    assert not path.exists()


def test_everybody_is_answered_when_it_ends(start):
    """What was asked for before the end is done, and what was cancelled is not."""
    thread = start()
    did: list[str] = []
    begun, go_on = threading.Event(), threading.Event()
    first = Task(lambda _: begun.set() or go_on.wait(5))
    thread.add(first)
    begun.wait(5)
    second, third = Task(lambda _: did.append("b")), Task(lambda _: did.append("c"))
    thread.add(second)
    thread.add(third)
    cancelled = second.done.cancel()
    go_on.set()
    end(thread)

    assert cancelled
    assert did == ["c"]
    assert not thread.is_alive()


def test_end_before_any_work_opens_nothing(start, path):
    """A journal that nobody used leaves no file."""
    thread = start()
    end(thread)

    assert not path.exists()


def test_locked_file_stays_open(start, path, monkeypatch):
    """A lock that takes too long is reported as that, and the process stays alive."""
    monkeypatch.setattr(sqlite_file, "LOCK_TIMEOUT", 0.1)
    thread = start(lease=60.0)
    opened = do(thread, lambda file: file)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="Another program has locked it"):
        do(thread, lambda _: None)
    [[workers]] = other.execute("SELECT count(*) FROM workers")
    other.execute("ROLLBACK")
    other.close()

    assert do(thread, lambda file: file) is opened
    assert workers == 1


def test_error_keeps_others_off_the_work_of_this_process(start, path):
    """A file that is closed after an error does not make its process look dead."""
    thread = start()
    do(thread, lambda file: file.show())
    with pytest.raises(JournalError):
        do(thread, lambda file: file.connection.close())
    other = open_file(path, "other", 15.0)
    is_alive = other.is_alive("me")
    other.leave()

    assert is_alive


def test_broken_file_is_let_go_of_all_the_same(start, path):
    """A thread ends although its file can no longer be written."""
    thread = start()
    with pytest.raises(JournalError):
        do(thread, lambda file: file.connection.execute("DROP TABLE nothing"))
    do(thread, lambda file: file.connection.execute("DROP TABLE workers"))
    end(thread)

    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (JournalError("Own words."), r"^Own words"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "no"), "cannot be kept: change"),
        (RecursionError("deep"), "cannot be kept: change"),
    ],
)
def test_errors_of_one_piece_of_work(start, error, words):
    """J1: what fails alone says why; the thread lives on."""
    thread = start()

    def fail(_: File) -> None:
        raise error

    with pytest.raises(JournalError, match=words):
        do(thread, fail)
    assert do(thread, lambda _: 7) == 7


def test_missing_folder_is_named(start, path):
    """J3: the remedy is to create the folder."""
    thread = start()
    path.parent.rename(path.parent.with_name("moved"))
    with pytest.raises(JournalError, match="Create the folder"):
        do(thread, lambda _: None)
    path.parent.with_name("moved").rename(path.parent)

    assert do(thread, lambda _: 7) == 7


def test_full_disk_is_named(start):
    """J3: the remedy is to free some space."""
    thread = start()

    def fill_up(file: File) -> None:
        execute = file.connection.execute
        execute("PRAGMA max_page_count = 1")
        execute("CREATE TABLE large (x)")
        execute("INSERT INTO large VALUES (randomblob(1000000))")

    with pytest.raises(JournalError, match="The disk is full: free some space"):
        do(thread, fill_up)
    assert do(thread, lambda _: 7) == 7


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_nothing_is_open_at_a_fork(start, path):
    """J4: SQLite remembers locks that a fork does not have, so it must hold none."""
    thread = start()
    do(thread, lambda file: file.show())
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        places = [str(link.resolve()) for link in Path("/proc/self/fd").iterdir()]
        os.write(writing, str(sum("jobs.db" in place for place in places)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as told:
        found = told.read()

    assert found == "0"
    assert do(thread, lambda file: file.is_alive("me"))
    assert read(path, "SELECT name FROM workers") == [("me",)]
