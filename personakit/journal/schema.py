"""The tables of a journal in SQLite, and how older files get them."""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE submits (
        number INTEGER PRIMARY KEY,
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
        at REAL NOT NULL,
        made_at REAL NOT NULL,
        ended_at REAL,
        delivered_at REAL
    );
    CREATE UNIQUE INDEX submits_caller_keys
        ON submits (provider, address, account, caller_key)
        WHERE caller_key IS NOT NULL;
    CREATE UNIQUE INDEX submits_jobs ON submits (provider, address, account, job_id)
        WHERE job_id IS NOT NULL AND NOT is_shared;
    CREATE INDEX submits_job_ids ON submits (provider, address, account, job_id)
        WHERE job_id IS NOT NULL;
    CREATE INDEX submits_unsettled ON submits (provider, address, account, number)
        WHERE state NOT IN ('delivered', 'refused', 'abandoned');
    CREATE INDEX submits_open ON submits (provider, address, account, kind)
        WHERE open <> '[]';
    CREATE INDEX submits_refused ON submits (ended_at) WHERE state = 'refused';
    CREATE INDEX submits_kept ON submits (coalesce(delivered_at, ended_at))
        WHERE state IN ('delivered', 'abandoned')
        AND coalesce(request, result, failure) IS NOT NULL;
    CREATE TABLE workers (
        name TEXT PRIMARY KEY,
        seen REAL NOT NULL,
        lease REAL NOT NULL,
        boot TEXT NOT NULL,
        process TEXT NOT NULL
    );
    CREATE TABLE personas (
        number INTEGER PRIMARY KEY,
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
    CREATE TABLE durations (
        number INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        length REAL NOT NULL
    );
    """,
)
"""How a file of each version becomes one of the next."""
