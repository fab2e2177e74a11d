"""A journal's SQLite file as one thread uses it: opening, transactions, rows."""

from __future__ import annotations

import errno
import json
import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from personakit.errors import JournalError
from personakit.journal.base import clash
from personakit.journal.processes import describe_process, find_boot, is_gone
from personakit.journal.record import Account, SubmitRecord
from personakit.journal.rows import (
    CHANGING,
    COLUMNS,
    CONTENT,
    to_changing,
    to_content,
    to_record,
    to_records,
    to_row,
)
from personakit.journal.rules import apply
from personakit.journal.schema import MIGRATIONS
from personakit.journal.steps import Accept, Begin, Bind, Claim, Facts, Step, Verdict

LOCK_TIMEOUT = 10.0
"""Seconds to wait for another process that writes."""
SLICE = 500
"""Rows that are pruned in one transaction at most."""
SEND_WINDOW = 3600.0
"""Seconds for which a submit with open attempts keeps what was asked for, at least:
twice the longest time that a paid request may take, and the difference of clocks."""

_APPLICATION = 0x50_4B_4A_32  # "PKJ2", in the file's header
_COLUMNS = ", ".join(COLUMNS)
_OF_ACCOUNT = "provider = ? AND address = ? AND account = ?"
_UNSETTLED = "state NOT IN ('delivered', 'refused', 'abandoned')"
_SELECT = f"SELECT {_COLUMNS} FROM submits WHERE {_OF_ACCOUNT}"  # noqa: S608
_FIND = f"{_SELECT} AND id = ?"
_FIND_CALLER_KEY = f"{_SELECT} AND caller_key = ?"
_FIND_UNSETTLED = f"{_SELECT} AND {_UNSETTLED} ORDER BY number"
_FIND_ALL_UNSETTLED = (
    f"SELECT {_COLUMNS} FROM submits WHERE {_UNSETTLED} ORDER BY number"  # noqa: S608
)
# The plus keeps SQLite from reading all that is unsettled to find a few by their key.
_FIND_CLAIMED = (
    f"SELECT {_COLUMNS} FROM submits "  # noqa: S608
    "WHERE id IN (SELECT value FROM json_each(?)) "
    "AND +provider = ? AND +address = ? AND +account = ? "
    f"AND +{_UNSETTLED} ORDER BY number"
)
_FIND_OPEN = f"{_SELECT} AND kind = ? AND open <> '[]' AND id <> ?"
_HOLDER = (
    f"SELECT id FROM submits WHERE {_OF_ACCOUNT} "  # noqa: S608
    "AND job_id = ? AND NOT is_shared"
)
_ADD = f"INSERT INTO submits ({_COLUMNS}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
_CHANGE = f"UPDATE submits SET {' = ?, '.join(CHANGING)} = ? WHERE id = ?"  # noqa: S608
_FILL = f"UPDATE submits SET {' = ?, '.join(CONTENT)} = ? WHERE id = ?"  # noqa: S608
_COUNT = f"""
    SELECT account, count(*) FROM submits
    WHERE provider = ? AND address = ? AND {_UNSETTLED} GROUP BY account
"""  # noqa: S608
_SHOW = "INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?, ?)"
_DROP_REFUSED = """
    DELETE FROM submits WHERE number IN (
        SELECT number FROM submits WHERE state = 'refused' AND ended_at < ? LIMIT ?
    )
"""
_EMPTY = """
    UPDATE submits SET request = NULL, result = NULL, failure = NULL
    WHERE number IN (
        SELECT number FROM submits WHERE state IN ('delivered', 'abandoned')
        AND coalesce(request, result, failure) IS NOT NULL
        AND coalesce(delivered_at, ended_at) < ?
        AND (open = '[]' OR coalesce(delivered_at, ended_at) < ?)
        LIMIT ?
    )
"""
_DROP_WORKERS = "DELETE FROM workers WHERE boot <> ? OR seen + lease < ?"

Work: TypeAlias = "Callable[[File], Any]"


@attrs.define(eq=False)
class File:
    """An open file.

    Attributes:
        path: Of the file.
        me: Name of this process.
        lease: Seconds for which others take this process for alive after `show`.
        connection: To the file.
        identity: By which it is noticed that the file was replaced or removed.
    """

    path: Path
    me: str
    lease: float
    connection: sqlite3.Connection
    identity: tuple[int, ...] = attrs.field(init=False)
    _alive: dict[str, bool] = attrs.field(factory=dict[str, bool], init=False)

    def __attrs_post_init__(self) -> None:
        self.identity = self._find_identity()

    def transact(self, works: Sequence[Work]) -> list[object]:
        """Do some work in one transaction; what fails alone returns its error.

        Raises:
            sqlite3.Error, OSError: nothing was written.
        """
        self._alive.clear()
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [self._try(work) for work in works]
            if self.identity != self._find_identity():
                raise OSError(errno.ESTALE, "it was replaced or removed while in use")
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        return outcomes

    def _try(self, work: Work) -> object:
        self.connection.execute("SAVEPOINT one")
        try:
            outcome = work(self)
        except Exception as error:
            if not self.connection.in_transaction:  # a full disk ends all of it
                raise
            self.connection.execute("ROLLBACK TO one")
            outcome = error
        self.connection.execute("RELEASE one")
        return outcome

    def _find_identity(self) -> tuple[int, ...]:
        """Return what tells files apart: what is written to a removed one is lost."""
        log = self.path.with_name(f"{self.path.name}-wal")
        return (self.path.stat().st_ino, log.stat().st_ino)

    def leave(self) -> None:
        """Close the file for good, and let others work on what is held."""
        try:
            self.connection.execute("DELETE FROM workers WHERE name = ?", (self.me,))
        finally:
            self.connection.close()

    # Who is alive.

    def show(self) -> None:
        """Show that this process is alive."""
        row = (self.me, time.monotonic(), self.lease, find_boot(), describe_process())
        self.connection.execute(_SHOW, row)

    def is_alive(self, worker: str | None) -> bool:
        """Return whether a process is alive; the same during one transaction."""
        if worker is None:
            return False
        if worker not in self._alive:
            self._alive[worker] = worker == self.me or self._look_up(worker)
        return self._alive[worker]

    def _look_up(self, worker: str) -> bool:
        query = "SELECT seen, lease, boot, process FROM workers WHERE name = ?"
        row = self.connection.execute(query, (worker,)).fetchone()
        if row is None:
            return False
        seen, lease, boot, process = row
        if boot != find_boot() or not seen <= time.monotonic() < seen + lease:
            return False
        return not is_gone(process)

    # Submits.

    def apply(self, account: Account, step: Step) -> Verdict:
        """Take a step."""
        record = self._find_for(account, step)
        verdict = apply(record, step, self._find_facts(account, record, step))
        if verdict.record is not None and verdict.is_won:
            self._write(record, verdict.record)
        if verdict.extra is not None:
            self._write(None, verdict.extra)
        return verdict

    def _find_for(self, account: Account, step: Step) -> SubmitRecord | None:
        if isinstance(step, Begin) and step.caller_key is not None:
            return self.find_by_caller_key(account, step.caller_key)
        return self.find(account, step.key)

    def _find_facts(
        self, account: Account, record: SubmitRecord | None, step: Step
    ) -> Facts:
        holder, others = None, list[SubmitRecord]()
        if isinstance(step, Accept | Bind) and step.job_id is not None:
            row = self._one(_HOLDER, (*_names(account), step.job_id))
            holder = None if row is None else str(row[0])
        if isinstance(step, Bind) and step.is_rival and record is not None:
            names = (*_names(account), record.receipt.kind.value, step.key)
            # None is left out: one that cannot be read may be a rival.
            others = [self._read(row) for row in self._all(_FIND_OPEN, names)]
        now = datetime.fromtimestamp(time.time(), UTC)
        return Facts(account, self.me, now, self.is_alive, holder, others)

    def _write(self, before: SubmitRecord | None, after: SubmitRecord) -> None:
        if before is None:
            self.connection.execute(_ADD, to_row(after))
        else:
            self.connection.execute(_CHANGE, (*to_changing(after), after.key))
            if before.content != after.content:
                self.connection.execute(_FILL, (*to_content(after), after.key))

    def find(self, account: Account, key: str) -> SubmitRecord | None:
        """Return the record of a receipt's key."""
        return self._first(_FIND, (*_names(account), key))

    def find_by_caller_key(
        self, account: Account, caller_key: str
    ) -> SubmitRecord | None:
        """Return the record under a caller key."""
        return self._first(_FIND_CALLER_KEY, (*_names(account), caller_key))

    def find_unsettled(self, account: Account | None) -> list[SubmitRecord]:
        """Return what is not settled, oldest first; None for all accounts."""
        if account is None:
            return self._many(_FIND_ALL_UNSETTLED, ())
        return self._many(_FIND_UNSETTLED, _names(account))

    def claim(
        self, account: Account, keys: Collection[str] | None, limit: int | None
    ) -> list[SubmitRecord]:
        """Claim what may be claimed, oldest first."""
        claimed: list[SubmitRecord] = []
        for record in self._find_claimed(account, keys):
            if limit is not None and len(claimed) >= limit:
                break
            step = Claim(record.key)
            verdict = apply(record, step, self._find_facts(account, record, step))
            if verdict.is_won and verdict.record is not None:
                if verdict.record != record:
                    self._write(record, verdict.record)
                claimed.append(verdict.record)
        return claimed

    def _find_claimed(
        self, account: Account, keys: Collection[str] | None
    ) -> list[SubmitRecord]:
        if keys is None:
            return self.find_unsettled(account)
        return self._many(_FIND_CLAIMED, (json.dumps([*keys]), *_names(account)))

    def find_known(self, account: Account, job_ids: Collection[str]) -> frozenset[str]:
        """Return those of the job ids that belong to a record."""
        names = _names(account)
        return frozenset(j for j in job_ids if self._one(_HOLDER, (*names, j)))

    def count(self, provider: str, address: str) -> dict[str, int]:
        """Return the accounts of a service that have unsettled submits."""
        rows = self.connection.execute(_COUNT, (provider, address))
        return {name: int(count) for name, count in rows}

    def rename(self, account: Account, name: str) -> int:
        """Give everything of an account to another."""
        places = (name, *_names(account))
        try:
            change = f"SET account = ? WHERE {_OF_ACCOUNT}"
            moved = self.connection.execute(f"UPDATE submits {change}", places)
            self.connection.execute(f"UPDATE OR REPLACE personas {change}", places)
        except sqlite3.IntegrityError:
            raise clash(name) from None
        return moved.rowcount

    def prune(self, retention: float) -> bool:
        """Drop what is kept no longer, a slice of it; return whether more is left."""
        self.connection.execute(_DROP_WORKERS, (find_boot(), time.monotonic()))
        now = time.time()
        until = now - retention
        refused = self.connection.execute(_DROP_REFUSED, (until, SLICE)).rowcount
        open_until = min(until, now - SEND_WINDOW)
        emptied = self.connection.execute(_EMPTY, (until, open_until, SLICE)).rowcount
        return SLICE in {refused, emptied}

    def _one(self, query: str, values: Sequence[Any]) -> Any:
        return self.connection.execute(query, values).fetchone()

    def _all(self, query: str, values: Sequence[Any]) -> list[Any]:
        return self.connection.execute(query, values).fetchall()

    def _first(self, query: str, values: Sequence[Any]) -> SubmitRecord | None:
        row = self._one(query, values)
        return None if row is None else self._read(row)

    def _read(self, row: Sequence[Any]) -> SubmitRecord:
        try:
            return to_record(row, self.is_alive)
        except ValueError as error:
            raise JournalError(
                f"The journal has a record that this version cannot read ({error}). "
                "Use the version that wrote it."
            ) from None

    def _many(self, query: str, values: Sequence[Any]) -> list[SubmitRecord]:
        return to_records(self._all(query, values), self.is_alive)


def _names(account: Account) -> tuple[str, str, str]:
    return (account.provider, account.address, account.name)


def open_file(path: Path, me: str, lease: float) -> File:
    """Open a file, and bring it to the newest version.

    Raises:
        sqlite3.Error, OSError: it cannot be used.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {path.parent}")
    connection = sqlite3.connect(
        path, timeout=LOCK_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    # A damaged text must not hide the rows beside it.
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    try:
        _prepare(connection)
        return File(path, me, lease, connection)
    except BaseException:
        connection.close()
        raise


def _prepare(connection: sqlite3.Connection) -> None:
    mode = _choose_log(connection)
    if mode != "wal":
        raise sqlite3.OperationalError(f"no write-ahead log here, but {mode}")
    connection.execute("PRAGMA synchronous = FULL")
    [[health]] = connection.execute("PRAGMA quick_check(1)")
    if health != "ok":
        raise sqlite3.DatabaseError(f"the file is damaged: {health}")
    connection.execute("BEGIN IMMEDIATE")
    _migrate(connection)
    connection.execute("COMMIT")


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
