"""What a PostgreSQL journal keeps no longer, dropped a slice at a time."""

from __future__ import annotations

from personakit.journal.postgres.connection import Connection

SLICE = 500
"""Rows that are dropped in one transaction at most."""
SEND_WINDOW = 3600.0
"""Seconds for which a submit with open attempts keeps what was asked for, at least:
twice the longest time that a paid request may take, and the difference of clocks."""

# Rows that somebody works on are left for the next time: nobody waits for this.
_DROP_REFUSED = """
    DELETE FROM personakit_submits WHERE number IN (
        SELECT number FROM personakit_submits
        WHERE state = 'refused'
        AND ended_at < extract(epoch FROM now())::float8 - %(retention)s
        LIMIT %(slice)s FOR UPDATE SKIP LOCKED
    )
"""
_EMPTY = """
    UPDATE personakit_submits SET request = NULL, result = NULL, failure = NULL
    WHERE number IN (
        SELECT number FROM personakit_submits
        WHERE state IN ('delivered', 'abandoned')
        AND coalesce(request, result, failure) IS NOT NULL
        AND coalesce(delivered_at, ended_at)
            < extract(epoch FROM now())::float8 - %(retention)s
        AND (open = '[]' OR coalesce(delivered_at, ended_at)
            < extract(epoch FROM now())::float8 - %(window)s)
        LIMIT %(slice)s FOR UPDATE SKIP LOCKED
    )
"""
_DROP_WORKERS = """
    DELETE FROM personakit_workers WHERE name IN (
        SELECT name FROM personakit_workers
        WHERE greatest(seen, pg_postmaster_start_time()) + lease
            < now() - interval '1 hour'
        LIMIT %(slice)s FOR UPDATE SKIP LOCKED
    )
"""


async def tidy(connection: Connection, *, retention: float) -> bool:
    """Drop a slice of what is kept no longer, and return whether that was all.

    Args:
        connection: In a transaction.
        retention: Seconds for which a request and its result are kept after delivery.
    """
    names = {"retention": retention, "window": SEND_WINDOW, "slice": SLICE}
    counts = [
        (await connection.execute(query, names)).rowcount
        for query in (_DROP_REFUSED, _EMPTY, _DROP_WORKERS)
    ]
    return SLICE not in counts
