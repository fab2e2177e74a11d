"""The tables of a journal in PostgreSQL, and how older databases get them."""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE personakit_submits (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        provider TEXT NOT NULL,
        kind TEXT NOT NULL,
        at BIGINT NOT NULL,
        job_id TEXT,
        mark TEXT NOT NULL,
        request TEXT,
        result TEXT,
        wish TEXT,
        sender TEXT,
        worker TEXT,
        changed TIMESTAMPTZ NOT NULL DEFAULT now()
    );
    CREATE INDEX personakit_submits_open ON personakit_submits (provider, number)
        WHERE mark <> 'closed';
    CREATE INDEX personakit_submits_jobs ON personakit_submits (provider, job_id);
    CREATE TABLE personakit_workers (
        name TEXT PRIMARY KEY,
        seen TIMESTAMPTZ NOT NULL,
        lease INTERVAL NOT NULL
    );
    CREATE TABLE personakit_personas (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        provider TEXT NOT NULL,
        id TEXT NOT NULL,
        name TEXT,
        description TEXT,
        style TEXT,
        source_job TEXT,
        source_track TEXT,
        UNIQUE (provider, id)
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

VERSIONS = """
    CREATE TABLE IF NOT EXISTS personakit_versions (
        version INTEGER PRIMARY KEY,
        at TIMESTAMPTZ NOT NULL DEFAULT now()
    )
"""
"""Tells which of them were run."""
