"""The tables of a journal in PostgreSQL, and how a database gets them."""

from __future__ import annotations

from personakit.errors import JournalError
from personakit.journal.postgres.connection import Connection, bound

MIGRATIONS = (
    """
    CREATE TABLE personakit_submits (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        provider TEXT NOT NULL,
        address TEXT NOT NULL,
        account TEXT NOT NULL,
        caller_key TEXT,
        kind TEXT NOT NULL,
        request TEXT,
        fingerprint TEXT NOT NULL,
        state TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        open TEXT NOT NULL,
        worker TEXT,
        job_id TEXT,
        is_shared INTEGER NOT NULL,
        result TEXT,
        failure TEXT,
        extra_of TEXT,
        at DOUBLE PRECISION NOT NULL,
        made_at DOUBLE PRECISION NOT NULL,
        ended_at DOUBLE PRECISION,
        delivered_at DOUBLE PRECISION
    );
    CREATE UNIQUE INDEX personakit_submits_caller_keys
        ON personakit_submits (provider, address, account, caller_key)
        WHERE caller_key IS NOT NULL;
    CREATE UNIQUE INDEX personakit_submits_jobs
        ON personakit_submits (provider, address, account, job_id)
        WHERE job_id IS NOT NULL AND is_shared = 0;
    CREATE INDEX personakit_submits_job_ids
        ON personakit_submits (provider, address, account, job_id)
        WHERE job_id IS NOT NULL;
    CREATE INDEX personakit_submits_unsettled
        ON personakit_submits (provider, address, account, number)
        WHERE state NOT IN ('delivered', 'refused', 'abandoned');
    CREATE INDEX personakit_submits_open
        ON personakit_submits (provider, address, account, kind)
        WHERE open <> '[]';
    CREATE INDEX personakit_submits_refused ON personakit_submits (ended_at)
        WHERE state = 'refused';
    CREATE INDEX personakit_submits_kept
        ON personakit_submits (coalesce(delivered_at, ended_at))
        WHERE state IN ('delivered', 'abandoned')
        AND coalesce(request, result, failure) IS NOT NULL;
    CREATE TABLE personakit_workers (
        name TEXT PRIMARY KEY,
        seen TIMESTAMPTZ NOT NULL,
        lease INTERVAL NOT NULL
    );
    CREATE TABLE personakit_personas (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        provider TEXT NOT NULL,
        address TEXT NOT NULL,
        account TEXT NOT NULL,
        id TEXT NOT NULL,
        name TEXT,
        description TEXT,
        style TEXT,
        source_job TEXT,
        source_track TEXT,
        UNIQUE (provider, address, account, id)
    );
    CREATE TABLE personakit_durations (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        kind TEXT NOT NULL,
        length DOUBLE PRECISION NOT NULL
    );
    CREATE TABLE personakit_shared (
        name TEXT PRIMARY KEY,
        value TEXT
    );
    """,
)
"""How a database of each version becomes one of the next."""

MIGRATION = 300.0
"""Seconds that a migration may take, with the wait for another process's."""

_EXISTS = "SELECT to_regclass('personakit_versions') IS NOT NULL"
_VERSION = "SELECT coalesce(max(version), 0) FROM personakit_versions"
_ADD_VERSION = "INSERT INTO personakit_versions (version) VALUES (%s)"
# Under another isolation level the second of two first openings would not see the
# tables of the first one after it has waited for the lock.
_BEGIN = f"""
    BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
    SET LOCAL statement_timeout = '{MIGRATION:g}s';
    SET LOCAL lock_timeout = '{MIGRATION:g}s';
    SELECT pg_advisory_xact_lock(hashtextextended('personakit migrations', 0));
    CREATE TABLE IF NOT EXISTS personakit_versions (
        version INTEGER PRIMARY KEY,
        at TIMESTAMPTZ NOT NULL DEFAULT now()
    )
"""


async def is_current(connection: Connection) -> bool:
    """Return whether the tables exist in this version; it only reads.

    Raises:
        JournalError: they are of a newer version.
    """
    read = await connection.execute(_EXISTS)
    [[exists]] = await read.fetchall()
    version = await _find_version(connection) if exists else 0
    if version > len(MIGRATIONS):
        raise JournalError(
            "The journal's database is of a newer version of personakit. Use that "
            "version, or pass another journal."
        )
    return version == len(MIGRATIONS)


async def _find_version(connection: Connection) -> int:
    read = await connection.execute(_VERSION)
    [[version]] = await read.fetchall()
    return int(version)


async def migrate(connection: Connection) -> None:
    """Bring the tables to this version, if they are not; one process at a time."""
    if await is_current(connection):
        return
    with bound(connection, MIGRATION):
        await connection.execute(_BEGIN.encode())
        version = await _find_version(connection)
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            await connection.execute(script.encode())
            await connection.execute(_ADD_VERSION, (number,))
        await connection.execute("COMMIT")
