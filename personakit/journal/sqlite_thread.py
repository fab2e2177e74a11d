"""The thread that does all the work on a journal's SQLite file."""

from __future__ import annotations

import errno
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs

from personakit.errors import JournalError
from personakit.journal.sqlite_file import LOCK_TIMEOUT, File, open_file

T = TypeVar("T")

AT_ONCE = 500
"""Pieces of work in one transaction at most."""
BEATS = 5
"""Times that a process shows itself within its lease."""
PRUNE_EVERY = 600.0
"""Seconds between two looks for what is kept no longer."""

_log = logging.getLogger("personakit")


@attrs.define(eq=False)
class Task(Generic[T]):
    """Something to do in the journal's thread.

    Attributes:
        work: Does it, within a transaction. None to close the file and end the thread.
        done: What came of it.
    """

    work: Callable[[File], T] | None
    done: Future[T] = attrs.field(factory=Future[T])


class JournalThread(threading.Thread):
    """Does work in its order, and shows that this process is alive.

    It is a daemon: a program that forgets to close its journal still ends.

    Args:
        path: Of the file.
        worker: Name of this process.
        lease: Seconds for which others take it for alive.
        retention: Seconds for which delivered requests are kept.

    Attributes:
        lease_end: Until when others take this process for alive, by
            ``time.monotonic()``.
    """

    def __init__(self, path: Path, worker: str, lease: float, retention: float) -> None:
        super().__init__(name="personakit-journal", daemon=True)
        self._path, self._worker = path, worker
        self._lease, self._retention = lease, retention
        self._tasks: queue.SimpleQueue[Task[Any]] = queue.SimpleQueue()
        self._using = threading.Lock()
        self._file: File | None = None
        self._opened: int | None = None
        self._shown_at = self._pruned_at = -float("inf")
        self._has_reported = False
        self.lease_end: float = 0.0

    def add(self, task: Task[Any]) -> None:
        """Have a task done after those that were added before."""
        self._tasks.put(task)

    def run(self) -> None:
        """Do tasks until one of them ends the thread."""
        with _forking:
            _running[self] = None
        is_open = True
        while is_open:
            tasks = self._take()
            if tasks and tasks[-1].work is None:
                is_open = False
            with self._using:
                self._do([t for t in tasks if t.done.set_running_or_notify_cancel()])
        with _forking:
            del _running[self]

    def _take(self) -> list[Task[Any]]:
        """Return what has gathered, nothing if it is time to show ourselves."""
        pause = None
        if self.lease_end:
            pause = max(self._shown_at + self._lease / BEATS - time.monotonic(), 0.0)
        taken: list[Task[Any]] = []
        with suppress(queue.Empty):
            taken.append(self._tasks.get(timeout=pause))
            while len(taken) < AT_ONCE and taken[-1].work is not None:
                taken.append(self._tasks.get_nowait())
        return taken

    def _do(self, tasks: list[Task[Any]]) -> None:
        works = [task.work for task in tasks if task.work is not None]
        outcomes: list[object] = []
        if works or not tasks:
            outcomes = self._try(works)
        if len(works) < len(tasks):  # the last one closes
            self._leave()
            outcomes.append(None)
        for task, outcome in zip(tasks, outcomes, strict=True):
            if isinstance(outcome, Exception):
                task.done.set_exception(self._explain(outcome))
            else:
                task.done.set_result(outcome)

    def _try(self, works: list[Callable[[File], Any]]) -> list[object]:
        try:
            outcomes = self._transact(works)
        except Exception as error:  # every caller gets an answer, whatever it is
            if not _is_busy(error):
                self._close()
            if not works:
                self._report(error)
            return [error] * len(works)
        return outcomes

    def _transact(self, works: list[Callable[[File], Any]]) -> list[object]:
        now = time.monotonic()
        is_due = now >= self._shown_at + self._lease / BEATS
        if not works and not self._path.exists():
            self.lease_end = 0.0  # removed, and nobody asks for it
            return []
        if is_due or self._file is None:
            self._shown_at = now  # the next beat comes later even if this one fails
        if self._file is None:
            self._file = self._open()
        elif not is_due:
            return self._file.transact(works)
        done = self._file.transact([*works, File.show, self._prune])
        *outcomes, shown, pruned = done
        failures = [error for error in (shown, pruned) if isinstance(error, Exception)]
        if shown not in failures:
            self.lease_end = now + self._lease
        if failures:
            self._report(failures[0])
        else:
            self._has_reported = False
        return outcomes

    def _open(self) -> File:
        """Open the file; after an error it must be the one that was open before.

        Another one in its place knows nothing of what was submitted, so its keys would
        be paid again. Closing the journal and opening it again accepts it.
        """
        if self._opened is not None:
            inode = self._path.stat().st_ino if self._path.exists() else None
            if inode != self._opened:
                raise OSError(errno.ESTALE, "it was replaced or removed while in use")
        file = open_file(self._path, self._worker, self._lease)
        self._opened = file.identity[0]
        return file

    def _prune(self, file: File) -> None:
        """Drop some of what is kept no longer."""
        if time.monotonic() < self._pruned_at + PRUNE_EVERY:
            return
        if not file.prune(self._retention):
            self._pruned_at = time.monotonic()

    def _report(self, error: Exception) -> None:
        """Say once, until it succeeds again, why this process cannot show itself."""
        if not self._has_reported:
            self._has_reported = True
            _log.warning("%s", self._explain(error))

    def _explain(self, error: Exception) -> JournalError:
        """Return an error that says what to do."""
        if isinstance(error, JournalError):
            return attrs.evolve(error)
        name = getattr(error, "sqlite_errorname", "")
        if not self._path.parent.is_dir():
            remedy = "Create the folder, or pass another path"
        elif name.startswith("SQLITE_FULL"):
            remedy = "The disk is full: free some space"
        elif _is_busy(error):
            remedy = (
                f"Another program has locked it for over {LOCK_TIMEOUT:g} s: end it"
            )
        elif isinstance(error, sqlite3.DatabaseError | OSError):
            remedy = "Check the file and its folder, or pass another path"
        else:
            remedy = "What was to be written cannot be kept: change it"
        return JournalError(
            f"The journal {self._path} cannot be used ({error}). {remedy}."
        )

    def _leave(self) -> None:
        """Close the file for good."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(sqlite3.Error):
                file.leave()

    def _close(self) -> None:
        """Close the file; the next work opens it again, by the same process."""
        file, self._file = self._file, None
        if file is not None:
            file.connection.close()

    def pause(self) -> None:
        """Close the file, and do nothing until `go_on`."""
        self._using.acquire()
        self._close()

    def go_on(self) -> None:
        """Work again after `pause`."""
        self._using.release()


def _is_busy(error: Exception) -> bool:
    name = getattr(error, "sqlite_errorname", "")
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


# A fork inherits what SQLite remembers of its locks, but not the locks: what it then
# writes, even by connections of its own, can be lost. So no file is open at a fork.
# Source: https://sqlite.org/howtocorrupt.html, section 2.6 (documented); the loss was
# also seen with SQLite 3.40.

_forking = threading.Lock()
_running: dict[JournalThread, None] = {}


def _before_fork() -> None:
    _forking.acquire()
    for thread in _running:
        thread.pause()


def _after_fork_in_parent() -> None:
    for thread in _running:
        thread.go_on()
    _forking.release()


def _after_fork_in_child() -> None:  # pragma: no cover - not measured in a fork
    _running.clear()  # a fork has none of the threads
    _forking.release()


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
