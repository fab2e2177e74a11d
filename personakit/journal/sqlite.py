"""A journal in an SQLite file: survives the process, shared by several of them.

One thread of its own does all the work, since SQLite blocks. Whatever has gathered
while it was busy goes into one transaction, so that a thousand submits at once do not
wait for a thousand disk flushes; nobody is told before the flush. With the write-ahead
log and ``synchronous=FULL`` what was told is on the disk.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs

from personakit.errors import JournalError
from personakit.journal.entry import Duration, Entry, merge, select
from personakit.journal.rows import (
    COLUMNS,
    PERSONA_COLUMNS,
    to_entry,
    to_persona,
    to_persona_row,
    to_row,
)
from personakit.journal.schema import MIGRATIONS
from personakit.models import Persona

T = TypeVar("T")

LOCK_TIMEOUT = 10.0
"""Seconds to wait for another process that writes."""
RETENTION = 30 * 24 * 3600
"""Seconds after which closed entries are dropped, when the file is opened."""
DURATIONS = 5000
"""Durations that are kept when they are next asked for."""

_APPLICATION = 0x50_4B_4A_31  # "PKJ1", in the file's header
_WRITE = f"""
    INSERT INTO submits ({COLUMNS}, changed)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET
        job_id = excluded.job_id, mark = excluded.mark, request = excluded.request,
        result = excluded.result, wish = excluded.wish, sender = excluded.sender,
        changed = excluded.changed
"""  # noqa: S608 - made of constants
_FIND = f"SELECT {COLUMNS} FROM submits WHERE key = ?"  # noqa: S608
_UNFINISHED = f"""
    SELECT {COLUMNS} FROM submits WHERE provider = ? AND mark <> 'closed'
    ORDER BY number
"""  # noqa: S608
_IS_KNOWN = "SELECT 1 FROM submits WHERE provider = ? AND job_id = ?"
_PRUNE = "DELETE FROM submits WHERE mark = 'closed' AND changed < ?"
_REMEMBER = f"""
    INSERT INTO personas ({PERSONA_COLUMNS})
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (provider, id) DO UPDATE SET
        name = excluded.name, description = excluded.description,
        style = excluded.style, source_job = excluded.source_job,
        source_track = excluded.source_track
"""  # noqa: S608
_PERSONAS = f"""
    SELECT {PERSONA_COLUMNS} FROM personas WHERE provider = ?
    ORDER BY number
"""  # noqa: S608
_NOTE = "INSERT INTO durations (kind, length) VALUES (?, ?)"
_DURATIONS = "SELECT kind, length FROM durations ORDER BY number"
_PRUNE_DURATIONS = """
    DELETE FROM durations
    WHERE number <= (SELECT max(number) FROM durations) - ?
"""
_FORGET = "DELETE FROM personas WHERE provider = ? AND id = ?"


@attrs.define(eq=False)
class _Task(Generic[T]):
    """Something to do in the journal's thread.

    Attributes:
        work: Does it, within a transaction.
        done: What came of it.
    """

    work: Callable[[sqlite3.Connection], T]
    done: Future[T] = attrs.field(factory=Future[T])


class SqliteJournal:
    """Keeps everything in one file, made where it is missing.

    Use one file for one account of each service. Several processes may use it at once,
    on one machine (network file systems lie about flushing and locking).

    Args:
        path: Of the file. Beside it SQLite keeps ``-wal`` and ``-shm`` files, which
            belong to it: never delete or move one without the others.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._tasks: deque[_Task[Any]] = deque()
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, ...] = ()
        self._starting = threading.Lock()
        self._using = threading.Lock()  # should an old thread still be closing

    def __repr__(self) -> str:
        return f"<SqliteJournal {self._path}>"

    async def record(self, entry: Entry) -> Entry:
        """Write an entry, and return when it is on the disk."""
        return await self._do(lambda connection: _write(connection, entry))

    async def find(self, key: str) -> Entry | None:
        """Return the entry of that key."""
        return await self._do(lambda connection: _find(connection, key))

    async def unfinished(self, provider: str) -> tuple[Entry, ...]:
        """Return what is not closed, oldest first."""
        rows = await self._do(lambda c: c.execute(_UNFINISHED, (provider,)).fetchall())
        return tuple(map(to_entry, rows))

    async def claim(
        self,
        provider: str,
        *,
        keys: Collection[str] | None = None,
        limit: int | None = None,
    ) -> tuple[Entry, ...]:
        """Return what is not closed; who else works on it is not known here."""
        return select(await self.unfinished(provider), keys, limit)

    async def known_jobs(
        self, provider: str, job_ids: Collection[str]
    ) -> frozenset[str]:
        """Return those of the job ids that belong to any entry."""

        def look(connection: sqlite3.Connection) -> frozenset[str]:
            return frozenset(
                job_id
                for job_id in job_ids
                if connection.execute(_IS_KNOWN, (provider, job_id)).fetchone()
            )

        return await self._do(look)

    async def remember(self, persona: Persona) -> None:
        """Keep a persona."""
        row = to_persona_row(persona)
        await self._do(lambda connection: connection.execute(_REMEMBER, row))

    async def personas(self, provider: str) -> tuple[Persona, ...]:
        """Return the personas of a service, oldest first."""
        rows = await self._do(lambda c: c.execute(_PERSONAS, (provider,)).fetchall())
        return tuple(map(to_persona, rows))

    async def forget(self, provider: str, persona_id: str) -> bool:
        """Forget a persona."""
        row = (provider, persona_id)
        return await self._do(lambda c: c.execute(_FORGET, row).rowcount > 0)

    async def note(self, durations: Sequence[Duration]) -> None:
        """Keep what jobs have taken."""
        await self._do(lambda connection: connection.executemany(_NOTE, durations))

    async def durations(self) -> tuple[Duration, ...]:
        """Return what jobs have taken, oldest first."""

        def recall(connection: sqlite3.Connection) -> list[Duration]:
            connection.execute(_PRUNE_DURATIONS, (DURATIONS,))
            return connection.execute(_DURATIONS).fetchall()

        return tuple(await self._do(recall))

    async def aclose(self) -> None:
        """Close the file and end the thread."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(thread, self._disconnect)
            thread.shutdown(wait=False)

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Have something done, together with whatever else has gathered."""
        task = _Task(work)
        self._tasks.append(task)
        with self._starting:  # several loops may come at once
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "personakit-journal")
            # By the time that this call has its turn, an earlier one may have done
            # the task already; either way it is done then.
            flushing = self._thread.submit(self._flush)
        await asyncio.wrap_future(flushing)
        return task.done.result()

    # From here on everything runs in the journal's own thread.

    def _flush(self) -> None:
        with self._using:
            self._do_all()

    def _do_all(self) -> None:
        tasks = [self._tasks.popleft() for _ in range(len(self._tasks))]
        if not tasks:
            return
        try:
            results = self._transact([task.work for task in tasks])
        except (sqlite3.Error, OSError) as error:
            self._let_go()
            problem = JournalError(
                f"The journal {self._path} cannot be used ({error}). Mend the file, "
                "or pass another one."
            )
            for task in tasks:
                task.done.set_exception(attrs.evolve(problem))
        else:
            for task, result in zip(tasks, results, strict=True):
                task.done.set_result(result)

    def _transact(
        self, works: list[Callable[[sqlite3.Connection], Any]]
    ) -> list[object]:
        connection = self._connect()
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = [work(connection) for work in works]
            if self._identity != self._look():
                raise OSError("it was replaced or removed while in use")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return results

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _open(self._path)
            self._identity = self._look()
        return self._connection

    def _look(self) -> tuple[int, ...]:
        """Tell the files' identities: what is written to a removed file is lost."""
        log = self._path.with_name(f"{self._path.name}-wal")
        return (self._path.stat().st_ino, log.stat().st_ino)

    def _disconnect(self) -> None:
        with self._using:
            self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=LOCK_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    """Check the file, and bring it to the newest version."""
    mode = _choose_log(connection)
    if mode != "wal":
        raise sqlite3.OperationalError(f"no write-ahead log here, but {mode}")
    connection.execute("PRAGMA synchronous = FULL")
    [[health]] = connection.execute("PRAGMA quick_check(1)")
    if health != "ok":
        raise sqlite3.DatabaseError(f"the file is damaged: {health}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        _migrate(connection)
        connection.execute(_PRUNE, (int(time.time()) - RETENTION,))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _choose_log(connection: sqlite3.Connection) -> str:
    """Ask for a write-ahead log; this step alone does not wait for others by itself."""
    until = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            [[mode]] = connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return str(mode)


def _migrate(connection: sqlite3.Connection) -> None:
    [[version]] = connection.execute("PRAGMA user_version")
    [[application]] = connection.execute("PRAGMA application_id")
    [[tables]] = connection.execute("SELECT count(*) FROM sqlite_schema")
    if application != _APPLICATION and tables:
        raise sqlite3.DatabaseError("the file belongs to another program")
    if version > len(MIGRATIONS):
        raise sqlite3.DatabaseError("the file is of a newer version of personakit")
    for script in MIGRATIONS[version:]:
        for statement in filter(str.strip, script.split(";")):
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _write(connection: sqlite3.Connection, entry: Entry) -> Entry:
    now = merge(_find(connection, entry.receipt.key), entry)
    connection.execute(_WRITE, (*to_row(now), int(time.time())))
    return now


def _find(connection: sqlite3.Connection, key: str) -> Entry | None:
    row = connection.execute(_FIND, (key,)).fetchone()
    return None if row is None else to_entry(row)
