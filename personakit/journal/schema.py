"""The tables of a journal in SQLite, and how older files get them."""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE submits (
        number INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        provider TEXT NOT NULL,
        kind TEXT NOT NULL,
        at INTEGER NOT NULL,
        job_id TEXT,
        mark TEXT NOT NULL,
        request TEXT,
        result TEXT,
        changed INTEGER NOT NULL
    );
    CREATE INDEX submits_open ON submits (provider, number) WHERE mark <> 'closed';
    CREATE INDEX submits_jobs ON submits (provider, job_id);
    """,
    """
    CREATE TABLE personas (
        number INTEGER PRIMARY KEY,
        provider TEXT NOT NULL,
        id TEXT NOT NULL,
        name TEXT,
        description TEXT,
        style TEXT,
        source_job TEXT,
        source_track TEXT,
        UNIQUE (provider, id)
    );
    """,
    """
    CREATE TABLE durations (
        number INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        length REAL NOT NULL
    );
    """,
    """
    ALTER TABLE submits ADD COLUMN sender TEXT;
    ALTER TABLE submits ADD COLUMN wish TEXT;
    """,
)
"""How a file of each version becomes one of the next."""
