"""A journal in PostgreSQL: shared by any number of processes and machines.

Each journal is a worker of its own, which shows every few seconds that it is alive.
What it has submitted or claimed is its own for as long as it does; afterwards anybody
may claim that. Whatever has gathered while the database was busy is written in one
transaction. A server that restarts is waited for.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import attrs

from personakit.journal.database import CHANNEL, Connection, Database, Work
from personakit.journal.desk import Desk
from personakit.journal.entry import Duration, Entry, Mark, merge
from personakit.journal.postgres_schema import MIGRATIONS, VERSIONS
from personakit.journal.rows import (
    COLUMNS,
    PERSONA_COLUMNS,
    to_entry,
    to_persona,
    to_persona_row,
    to_row,
)
from personakit.models import Persona
from personakit.perloop import PerLoop

T = TypeVar("T")

LEASE = 15.0
"""Seconds after which a worker that does not show itself counts as dead."""
PATIENCE = 60.0
"""Seconds for which a database that is away is waited for."""
BEATS = 5
"""Times that a worker shows itself within its lease."""
RETENTION = 30
"""Days after which closed entries are dropped, when a journal is opened."""
DURATIONS = 5000
"""Durations that are kept when they are next asked for."""

# A server that was away is no worker's fault: all of them get a whole lease anew.
_IS_HELD = """
    (worker IS NOT NULL AND worker <> %(me)s AND EXISTS (
        SELECT FROM personakit_workers AS w WHERE w.name = worker
        AND greatest(w.seen, pg_postmaster_start_time()) > now() - w.lease
    ))
"""
_LOCK = """
    SELECT pg_advisory_xact_lock(number) FROM (
        SELECT DISTINCT hashtextextended(key, 0) AS number
        FROM unnest(%s::text[]) AS key ORDER BY number
    ) AS numbers
"""
_FIND = f"""
    SELECT {COLUMNS}, {_IS_HELD} FROM personakit_submits WHERE key = ANY(%(keys)s)
"""  # noqa: S608 - made of constants
_WRITE = f"""
    INSERT INTO personakit_submits ({COLUMNS}, worker)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (key) DO UPDATE SET
        job_id = excluded.job_id, mark = excluded.mark, request = excluded.request,
        result = excluded.result, wish = excluded.wish, sender = excluded.sender,
        worker = coalesce(excluded.worker, personakit_submits.worker), changed = now()
"""  # noqa: S608
_UNFINISHED = f"""
    SELECT {COLUMNS}, {_IS_HELD} FROM personakit_submits
    WHERE provider = %(provider)s AND mark <> 'closed' ORDER BY number
"""  # noqa: S608
_CLAIM = f"""
    UPDATE personakit_submits SET worker = %(me)s WHERE number IN (
        SELECT number FROM personakit_submits
        WHERE provider = %(provider)s AND mark <> 'closed' AND NOT {_IS_HELD}
        AND (%(keys)s::text[] IS NULL OR key = ANY(%(keys)s))
        ORDER BY number LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ) RETURNING {COLUMNS}, number
"""  # noqa: S608
_KNOWN = """
    SELECT job_id FROM personakit_submits WHERE provider = %s AND job_id = ANY(%s)
"""
_PRUNE = """
    DELETE FROM personakit_submits
    WHERE mark = 'closed' AND changed < now() - make_interval(days => %s)
"""
_SEEN = """
    INSERT INTO personakit_workers (name, seen, lease)
    VALUES (%s, now(), make_interval(secs => %s))
    ON CONFLICT (name) DO UPDATE SET seen = now()
"""
_PRUNE_WORKERS = """
    DELETE FROM personakit_workers WHERE seen < now() - interval '1 day'
"""
_LEAVE = "DELETE FROM personakit_workers WHERE name = %s AND %s"
_REMEMBER = f"""
    INSERT INTO personakit_personas ({PERSONA_COLUMNS})
    VALUES (%s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (provider, id) DO UPDATE SET
        name = excluded.name, description = excluded.description,
        style = excluded.style, source_job = excluded.source_job,
        source_track = excluded.source_track
"""  # noqa: S608
_PERSONAS = f"""
    SELECT {PERSONA_COLUMNS} FROM personakit_personas WHERE provider = %s
    ORDER BY number
"""  # noqa: S608
_FORGET = "DELETE FROM personakit_personas WHERE provider = %s AND id = %s"
_NOTE = "INSERT INTO personakit_durations (kind, length) VALUES (%s, %s)"
_DURATIONS = "SELECT kind, length FROM personakit_durations ORDER BY number"
_PRUNE_DURATIONS = """
    DELETE FROM personakit_durations
    WHERE number <= (SELECT max(number) FROM personakit_durations) - %s
"""
_ADD_SHARED = """
    INSERT INTO personakit_shared (name) VALUES (%s) ON CONFLICT DO NOTHING
"""
_READ_SHARED = """
    SELECT value, extract(epoch FROM clock_timestamp())::double precision
    FROM personakit_shared WHERE name = %s FOR UPDATE
"""
_WRITE_SHARED = "UPDATE personakit_shared SET value = %s WHERE name = %s"


class PostgresJournal:
    """Keeps everything in a PostgreSQL database; needs the extra ``postgres``.

    The tables are made where they are missing, in the first schema of the search path.
    Use one schema for one account of each service.

    Args:
        url: ``postgresql://user@host/name``, with all that libpq understands.
        lease: Seconds after which the jobs of a process that died are free for others.
        patience: Seconds for which a server that is away is waited for.
    """

    def __init__(
        self, url: str, *, lease: float = LEASE, patience: float = PATIENCE
    ) -> None:
        self._url, self._lease, self._patience = url, lease, patience
        self._worker = uuid.uuid4().hex
        self._listeners: set[Callable[[str], None]] = set()
        self._desks = PerLoop(self._open_desk, self._close_desk)

    def __repr__(self) -> str:
        place = urlsplit(self._url)
        return f"<PostgresJournal {place.hostname or 'local'}{place.path}>"

    @property
    def worker(self) -> str:
        """The name under which this journal holds jobs."""
        return self._worker

    async def record(self, entry: Entry) -> Entry:
        """Write an entry, and return when it is on the server's disk."""
        return await (await self._desks.here()).write(entry)

    async def find(self, key: str) -> Entry | None:
        """Return the entry of that key."""
        found = await self._do(partial(_find, me=self._worker, keys=[key]))
        return found.get(key)

    async def unfinished(self, provider: str) -> tuple[Entry, ...]:
        """Return what is not closed, oldest first."""
        names = {"provider": provider, "me": self._worker}
        rows = await self._fetch(_UNFINISHED, names)
        return tuple(to_entry(row, is_held=held) for *row, held in rows)

    async def claim(
        self,
        provider: str,
        *,
        keys: Collection[str] | None = None,
        limit: int | None = None,
    ) -> tuple[Entry, ...]:
        """Take over what is not closed and no other worker has that is alive."""
        names = {
            "provider": provider,
            "me": self._worker,
            "keys": None if keys is None else list(keys),
            "limit": limit,
        }
        rows = await self._fetch(_CLAIM, names)
        return tuple(to_entry(row) for *row, _ in sorted(rows, key=lambda row: row[-1]))

    async def known_jobs(
        self, provider: str, job_ids: Collection[str]
    ) -> frozenset[str]:
        """Return those of the job ids that belong to any entry."""
        rows = await self._fetch(_KNOWN, (provider, list(job_ids)))
        return frozenset(job_id for (job_id,) in rows)

    async def remember(self, persona: Persona) -> None:
        """Keep a persona."""
        await self._run(_REMEMBER, to_persona_row(persona))

    async def personas(self, provider: str) -> tuple[Persona, ...]:
        """Return the personas of a service, oldest first."""
        return tuple(map(to_persona, await self._fetch(_PERSONAS, (provider,))))

    async def forget(self, provider: str, persona_id: str) -> bool:
        """Forget a persona."""
        return await self._run(_FORGET, (provider, persona_id)) > 0

    async def note(self, durations: Sequence[Duration]) -> None:
        """Keep what jobs have taken."""

        async def write(connection: Connection) -> None:
            await connection.cursor().executemany(_NOTE, durations)

        await self._do(write)

    async def durations(self) -> tuple[Duration, ...]:
        """Return what jobs have taken, oldest first."""
        await self._run(_PRUNE_DURATIONS, (DURATIONS,))
        return tuple(await self._fetch(_DURATIONS, ()))

    async def announce(self, job_id: str) -> None:
        """Tell every process that a job has changed, this one as well."""
        await self._run("SELECT pg_notify(%s, %s)", (CHANNEL, job_id))

    def listen(self, hear: Callable[[str], None]) -> None:
        """Have `hear` called with the id of each job that is announced.

        That happens in any thread and loop in which the journal is used.
        """
        self._listeners.add(hear)

    async def change(
        self, name: str, change: Callable[[str | None, float], str]
    ) -> None:
        """Change a text that all processes share, one after the other.

        Args:
            name: Of the text.
            change: Is given the text, None at first, and the server's time in seconds;
                returns the new text. Where the connection breaks, it is called again.
        """

        async def work(connection: Connection) -> None:
            read = await connection.execute(_READ_SHARED, (name,))
            row = await read.fetchone()
            if row is None:
                await connection.execute(_ADD_SHARED, (name,))
                read = await connection.execute(_READ_SHARED, (name,))
                [row] = await read.fetchall()
            value, now = row
            await connection.execute(_WRITE_SHARED, (change(value, now), name))

        await self._do(work)

    async def aclose(self) -> None:
        """Close the connections of the running loop, and let go of what is held."""
        await self._desks.aclose()

    def _open_desk(self) -> Desk:
        database = Database(
            self._url,
            patience=self._patience,
            beat=self._lease / BEATS,
            prepare=self._prepare,
            attend=self._show,
            leave=self._leave,
            hear=self._hear,
        )
        return Desk(database, partial(_write, me=self._worker))

    async def _close_desk(self, desk: Desk) -> None:
        await desk.aclose()

    async def _prepare(self, connection: Connection) -> None:
        await _migrate(connection)
        await connection.execute(_PRUNE, (RETENTION,))
        await connection.execute(_PRUNE_WORKERS)
        await self._show(connection)

    async def _show(self, connection: Connection) -> None:
        """Show that this worker is alive."""
        await connection.execute(_SEEN, (self._worker, self._lease))

    async def _leave(self, connection: Connection) -> None:
        """Let go of all jobs when the last loop is done."""
        await connection.execute(_LEAVE, (self._worker, not self._desks))

    def _hear(self, job_id: str) -> None:
        for listener in self._listeners:
            listener(job_id)

    async def _do(self, work: Work[T]) -> T:
        return await (await self._desks.here()).database.do(work)

    async def _fetch(self, query: Any, values: Any) -> list[tuple[Any, ...]]:
        async def work(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(query, values)).fetchall()

        return await self._do(work)

    async def _run(self, query: Any, values: Any) -> int:
        async def work(connection: Connection) -> int:
            return (await connection.execute(query, values)).rowcount

        return await self._do(work)


async def _migrate(connection: Connection) -> None:
    """Bring the tables to the newest version; one process does it at a time."""
    await connection.execute(_LOCK, (["personakit migrations"],))
    await connection.execute(VERSIONS)
    read = await connection.execute("SELECT version FROM personakit_versions")
    known = {version for (version,) in await read.fetchall()}
    for version, script in enumerate(MIGRATIONS, start=1):
        if version not in known:
            await connection.execute(script.encode())
            await connection.execute(
                "INSERT INTO personakit_versions (version) VALUES (%s)", (version,)
            )


async def _find(
    connection: Connection, *, me: str, keys: Collection[str]
) -> dict[str, Entry]:
    read = await connection.execute(_FIND, {"me": me, "keys": list(keys)})
    return {row[0]: to_entry(row, is_held=held) for *row, held in await read.fetchall()}


async def _write(
    connection: Connection, entries: Sequence[Entry], *, me: str
) -> list[Entry]:
    """Write entries in their order, and return what stands after each."""
    keys = {entry.receipt.key for entry in entries}
    await connection.execute(_LOCK, (list(keys),))
    known = await _find(connection, me=me, keys=keys)
    stand: list[Entry] = []
    for entry in entries:
        key = entry.receipt.key
        stands = merge(known.get(key), entry)
        if entry.mark is Mark.SENDING and stands.sender == entry.sender:
            stands = attrs.evolve(stands, is_held=False)  # whoever sends has it
        known[key] = stands
        stand.append(stands)
    rows = [(*to_row(entry), _choose_worker(entry, me)) for entry in known.values()]
    await connection.cursor().executemany(_WRITE, rows)
    return stand


def _choose_worker(entry: Entry, me: str) -> str | None:
    """Return who has an entry from now on; None leaves it to whom it belongs."""
    return None if entry.is_held or entry.mark is Mark.CLOSED else me
