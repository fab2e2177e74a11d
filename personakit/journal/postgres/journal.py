"""A journal in PostgreSQL: shared by any number of processes and machines.

Each process has a name of its own, and shows every few seconds that it is alive. What
it submits or claims belongs to it for as long as it does; afterwards any process may
claim that. What gathers while the database is busy goes into one transaction. A server
that restarts is waited for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psycopg

from personakit.journal.base import RETENTION, Duration, clash
from personakit.journal.postgres import queries
from personakit.journal.postgres.connection import (
    Connection,
    Connections,
    Work,
    connect,
    explain,
)
from personakit.journal.postgres.listener import NOTIFY, NotificationListener
from personakit.journal.postgres.schema import migrate
from personakit.journal.postgres.steps import (
    FIND_FREE,
    Group,
    fetch,
    name_account,
)
from personakit.journal.postgres.tidy import tidy
from personakit.journal.postgres.writer import WriteBatcher
from personakit.journal.record import Account, SubmitRecord
from personakit.journal.rows import (
    COLUMNS,
    to_persona,
    to_persona_row,
    to_record,
    to_records,
)
from personakit.journal.steps import Claim, Step, Verdict
from personakit.models import Persona
from personakit.per_loop import PerLoop

T = TypeVar("T")

LEASE = 15.0
"""Seconds after which a process that does not show itself counts as dead."""
PATIENCE = 60.0
"""Seconds for which a database that is away is waited for."""
BEATS = 5
"""Times that a process shows itself within its lease."""
DURATIONS = 5000
"""Durations that are kept when they are next asked for."""

_WORKER = COLUMNS.index("worker")

_log = logging.getLogger("personakit")


class PostgresJournal:
    """Keeps everything in a PostgreSQL database; needs the extra ``postgres``.

    The tables are made if they are missing, in the first schema of the search path. A
    role that may not make tables can use those that `create_tables` has made.

    Args:
        url: ``postgresql://user@host/name``, with all that libpq understands.
        lease: Seconds after which a process that does not show itself counts as dead.
        retention: Seconds for which a request and its result are kept after delivery.
            The caller key and the job id are kept for good, so that nothing is paid
            twice.
        patience: Seconds for which a server that is away is waited for.
    """

    def __init__(
        self,
        url: str,
        *,
        lease: float = LEASE,
        retention: float = RETENTION,
        patience: float = PATIENCE,
    ) -> None:
        self._url, self._patience = url, patience
        self._lease, self._retention = lease, retention
        self._listeners: set[Callable[[str], None]] = set()
        self._inherited: list[PerLoop[WriteBatcher]] = []
        self._begin()

    def _begin(self) -> None:
        """Begin in this process.

        It may be a fork of the process that made the journal.
        """
        self._process, self._worker = os.getpid(), uuid.uuid4().hex
        self._shown_at = -float("inf")
        self._batchers = PerLoop(self._open_batcher, WriteBatcher.aclose)

    def _find_batchers(self) -> PerLoop[WriteBatcher]:
        """Return the desks of this process.

        A fork must not use its parent's connections, nor close them by forgetting them.
        """
        if self._process != os.getpid():
            self._inherited.append(self._batchers)
            self._begin()
        return self._batchers

    def __repr__(self) -> str:
        place = urlsplit(self._url)
        return f"<PostgresJournal {place.hostname or 'local'}{place.path}>"

    @property
    def worker(self) -> str:
        """Name of this process."""
        self._find_batchers()
        return self._worker

    @property
    def lease_end(self) -> float:
        """Until when others take this process for alive."""
        self._find_batchers()
        return max(self._shown_at + self._lease, 0.0)

    async def apply(self, account: Account, step: Step) -> Verdict:
        """Take a step, and return when it is on the server's disk."""
        return await (await self._find_batchers().here()).apply(account, step)

    async def find(self, account: Account, key: str) -> SubmitRecord | None:
        """Return the record of that key."""
        return await self._find(queries.FIND, {"key": key, **name_account(account)})

    async def find_by_caller_key(
        self, account: Account, caller_key: str
    ) -> SubmitRecord | None:
        """Return the record under that caller key."""
        names = {"key": caller_key, **name_account(account)}
        return await self._find(queries.FIND_CALLER_KEY, names)

    async def unsettled(self, account: Account | None) -> tuple[SubmitRecord, ...]:
        """Return what is not settled, oldest first."""
        if account is None:
            rows = await self._fetch(queries.FIND_ALL_UNSETTLED, {})
        else:
            rows = await self._fetch(queries.FIND_UNSETTLED, name_account(account))
        living = self._find_living(rows)
        return tuple(to_records((row for *row, _ in rows), living.__contains__))

    async def claim(
        self,
        account: Account,
        *,
        keys: Collection[str] | None = None,
        limit: int | None = None,
    ) -> tuple[SubmitRecord, ...]:
        """Take over what no living process works on."""
        names = {
            **name_account(account),
            "keys": None if keys is None else list(keys),
            "limit": limit,
            "me": self.worker,
        }

        async def claim(connection: Connection) -> tuple[set[str], list[SubmitRecord]]:
            group = Group(self._worker, ())
            claimed = await group.claim(connection, names)
            return group.looked_at, claimed

        looked_at, claimed = await self._do(claim)
        # What others had locked may be free all the same: wait for those locks.
        room = None if limit is None else limit - len(claimed)
        if limit is not None:
            names["limit"] = limit + len(looked_at)
        rows = await self._fetch(FIND_FREE, names) if room != 0 else []
        left = [key for (key,) in rows if key not in looked_at][:room]
        verdicts = await asyncio.gather(*(self.apply(account, Claim(k)) for k in left))
        more = [v.record for v in verdicts if v.is_won and v.record is not None]
        return tuple(sorted([*claimed, *more], key=_age) if more else claimed)

    async def known_jobs(
        self, account: Account, job_ids: Collection[str]
    ) -> frozenset[str]:
        """Return those of the job ids that belong to a record."""
        names = {"job_ids": list(job_ids), **name_account(account)}
        return frozenset(
            job_id for (job_id,) in await self._fetch(queries.KNOWN, names)
        )

    async def accounts(self, provider: str, address: str) -> Mapping[str, int]:
        """Return the accounts of a service with unsettled submits."""
        return dict(await self._fetch(queries.COUNT, (provider, address)))

    async def rename_account(self, account: Account, name: str) -> int:
        """Give everything of an account to the one of another name."""
        names = {"name": name, **name_account(account)}

        async def rename(connection: Connection) -> int:
            try:
                moved = await connection.execute(queries.RENAME.encode(), names)
            except psycopg.errors.UniqueViolation:
                raise clash(name) from None
            await connection.execute(queries.REPLACE_PERSONAS.encode(), names)
            await connection.execute(queries.RENAME_PERSONAS.encode(), names)
            return moved.rowcount

        return await self._do(rename)

    async def remember(self, account: Account, persona: Persona) -> None:
        """Keep a persona."""
        await self._run(queries.REMEMBER, to_persona_row(account, persona))

    async def personas(self, account: Account) -> tuple[Persona, ...]:
        """Return the personas of an account, oldest first."""
        rows = await self._fetch(queries.PERSONAS, name_account(account))
        return tuple(map(to_persona, rows))

    async def forget(self, account: Account, persona_id: str) -> bool:
        """Forget a persona."""
        names = {"id": persona_id, **name_account(account)}
        return await self._run(queries.FORGET, names) > 0

    async def note(self, durations: Sequence[Duration]) -> None:
        """Keep how long jobs took."""

        async def write(connection: Connection) -> None:
            await connection.cursor().executemany(queries.NOTE, durations)

        await self._do(write)

    async def durations(self) -> tuple[Duration, ...]:
        """Return how long jobs took, oldest first."""
        await self._run(queries.PRUNE_DURATIONS, (DURATIONS,))
        return tuple(await self._fetch(queries.DURATIONS, ()))

    async def announce(self, job_id: str) -> None:
        """Tell every process that a job has changed, this one as well."""
        await self._run(NOTIFY, (job_id,))

    def listen(self, on_notify: Callable[[str], None]) -> None:
        """Have `on_notify` called with the id of each job that is announced.

        That happens in any thread and loop in which the journal is used.
        """
        self._listeners.add(on_notify)

    async def change(
        self, name: str, change: Callable[[str | None, float], str]
    ) -> None:
        """Change a text that all processes share, one after the other.

        Args:
            name: Of the text.
            change: Is given the text, None at first, and the server's time in seconds;
                returns the new text. It is called again if the connection breaks.
        """

        async def work(connection: Connection) -> None:
            rows = await fetch(connection, queries.READ_SHARED, (name,))
            if not rows:
                await connection.execute(queries.ADD_SHARED, (name,))
                rows = await fetch(connection, queries.READ_SHARED, (name,))
            [(value, now)] = rows
            await connection.execute(queries.WRITE_SHARED, (change(value, now), name))

        await self._do(work)

    async def aclose(self) -> None:
        """Close the connections of the running loop, and let go of what is held."""
        await self._find_batchers().aclose()

    def _open_batcher(self) -> WriteBatcher:
        listener = NotificationListener(
            beat=self._lease / BEATS,
            show=self._show,
            tidy=partial(tidy, retention=self._retention),
            on_notify=self._on_notify,
        )
        connections = Connections(
            self._url,
            patience=self._patience,
            prepare=self._prepare,
            heartbeat=listener.run,
            release=self._release,
        )
        return WriteBatcher(connections, self._worker, self._show_if_due)

    async def _prepare(self, connection: Connection) -> None:
        await migrate(connection)
        await self._show(connection)

    async def _show(self, connection: Connection) -> None:
        """Show that this process is alive."""
        began = time.monotonic()
        await connection.execute(queries.SHOW, (self._worker, self._lease))
        self._shown_at = max(self._shown_at, began)

    async def _show_if_due(self, connection: Connection) -> None:
        """Do so if the listener has not for two turns, because it is not connected."""
        if time.monotonic() > self._shown_at + 2 * self._lease / BEATS:
            await self._show(connection)

    async def _release(self, connection: Connection) -> None:
        """Let go of all jobs when the last loop is closed."""
        if not self._batchers:
            await connection.execute(queries.LEAVE, (self._worker,))

    def _on_notify(self, job_id: str) -> None:
        for listener in list(self._listeners):
            try:
                listener(job_id)
            except Exception:
                _log.exception("What was announced of job %s was not noticed", job_id)

    async def _find(self, query: str, names: Mapping[str, Any]) -> SubmitRecord | None:
        rows = await self._fetch(query, names)
        if not rows:
            return None
        try:
            return to_record(rows[0][:-1], self._find_living(rows).__contains__)
        except ValueError as error:
            raise explain(error) from None

    def _find_living(self, rows: Sequence[Any]) -> set[str | None]:
        """Return the processes of some rows that are alive."""
        return {self._worker, *(row[_WORKER] for row in rows if row[-1])}

    async def _do(self, work: Work[T]) -> T:
        return await (await self._find_batchers().here()).connections.run(work)

    async def _fetch(self, query: str, values: Any) -> list[Any]:
        return await self._do(lambda connection: fetch(connection, query, values))

    async def _run(self, query: str, values: Any) -> int:
        async def work(connection: Connection) -> int:
            return (await connection.execute(query.encode(), values)).rowcount

        return await self._do(work)


def _age(record: SubmitRecord) -> float:
    return 0.0 if record.made_at is None else record.made_at.timestamp()


async def create_tables(url: str) -> None:
    """Make the tables of a journal, or bring them to this version.

    A journal does so itself when it is opened. This is for a role that owns the tables,
    where the role of the journal may not make any, and for a migration that takes long.

    Raises:
        JournalError: the database cannot be used, or is of a newer version.
    """
    try:
        connection = await connect(url)
        try:
            await migrate(connection)
        finally:
            await connection.close()
    except (psycopg.Error, OSError) as error:
        raise explain(error) from None
