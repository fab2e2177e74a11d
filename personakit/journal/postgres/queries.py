"""What a PostgreSQL journal asks of its database, but for the steps."""

from __future__ import annotations

from personakit.journal.postgres.steps import (
    ALIVE,
    OF_ACCOUNT,
    SUBMIT_COLUMNS,
    UNSETTLED,
)
from personakit.journal.rows import PERSONA_COLUMNS

_PERSONA_COLUMNS = ", ".join(PERSONA_COLUMNS)
_SELECT_ALL = f"""
    SELECT {SUBMIT_COLUMNS}, EXISTS (
        SELECT FROM personakit_workers WHERE name = worker AND {ALIVE}
    ) FROM personakit_submits
"""  # noqa: S608 - made of constants, as all queries here
_SELECT = f"{_SELECT_ALL} WHERE {OF_ACCOUNT}"
FIND = f"{_SELECT} AND id = %(key)s"
FIND_CALLER_KEY = f"{_SELECT} AND caller_key = %(key)s"
FIND_UNSETTLED = f"{_SELECT} AND {UNSETTLED} ORDER BY number"
FIND_ALL_UNSETTLED = f"{_SELECT_ALL} WHERE {UNSETTLED} ORDER BY number"
KNOWN = f"""
    SELECT DISTINCT job_id FROM personakit_submits
    WHERE {OF_ACCOUNT} AND job_id = ANY(%(job_ids)s)
"""  # noqa: S608
COUNT = f"""
    SELECT account, count(*) FROM personakit_submits
    WHERE provider = %s AND address = %s AND {UNSETTLED} GROUP BY account
"""  # noqa: S608
RENAME = f"UPDATE personakit_submits SET account = %(name)s WHERE {OF_ACCOUNT}"  # noqa: S608
REPLACE_PERSONAS = f"""
    DELETE FROM personakit_personas
    WHERE provider = %(provider)s AND address = %(address)s AND account = %(name)s
    AND id IN (SELECT id FROM personakit_personas WHERE {OF_ACCOUNT})
"""  # noqa: S608
RENAME_PERSONAS = (
    f"UPDATE personakit_personas SET account = %(name)s WHERE {OF_ACCOUNT}"  # noqa: S608
)
REMEMBER = f"""
    INSERT INTO personakit_personas ({_PERSONA_COLUMNS})
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (provider, address, account, id) DO UPDATE SET
        name = excluded.name, description = excluded.description,
        style = excluded.style, source_job = excluded.source_job,
        source_track = excluded.source_track
"""  # noqa: S608
PERSONAS = f"""
    SELECT {_PERSONA_COLUMNS} FROM personakit_personas WHERE {OF_ACCOUNT}
    ORDER BY number
"""  # noqa: S608
FORGET = f"DELETE FROM personakit_personas WHERE {OF_ACCOUNT} AND id = %(id)s"  # noqa: S608
NOTE = "INSERT INTO personakit_durations (kind, length) VALUES (%s, %s)"
DURATIONS = "SELECT kind, length FROM personakit_durations ORDER BY number"
PRUNE_DURATIONS = """
    DELETE FROM personakit_durations
    WHERE number <= (SELECT max(number) FROM personakit_durations) - %s
"""
SHOW = """
    INSERT INTO personakit_workers (name, seen, lease)
    VALUES (%s, clock_timestamp(), make_interval(secs => %s))
    ON CONFLICT (name) DO UPDATE SET seen = clock_timestamp()
"""
LEAVE = "DELETE FROM personakit_workers WHERE name = %s"
ADD_SHARED = """
    INSERT INTO personakit_shared (name) VALUES (%s) ON CONFLICT DO NOTHING
"""
READ_SHARED = """
    SELECT value, extract(epoch FROM clock_timestamp())::float8
    FROM personakit_shared WHERE name = %s FOR UPDATE
"""
WRITE_SHARED = "UPDATE personakit_shared SET value = %s WHERE name = %s"
