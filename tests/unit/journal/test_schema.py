"""The tables of an SQLite journal, and whether its queries find an index."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from personakit.journal import sqlite_file
from personakit.journal.rows import COLUMNS, PERSONA_COLUMNS
from personakit.journal.schema import MIGRATIONS


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """Make the tables in memory."""
    opened = sqlite3.connect(":memory:")
    for script in MIGRATIONS:
        opened.executescript(script)
    yield opened
    opened.close()


def test_tables_have_the_columns_of_rows(connection):
    """What is written has a column, and every column is written."""
    columns = {
        table: {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        for (table,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table'"
        )
    }

    assert columns == {
        "submits": {"number", *COLUMNS},
        "personas": {"number", *PERSONA_COLUMNS},
        "workers": {"name", "seen", "lease", "boot", "process"},
        "durations": {"number", "kind", "length"},
    }


def test_records_are_claimed_by_their_key(connection):
    """A few are not looked for among all that is unsettled."""
    query = f"EXPLAIN QUERY PLAN {sqlite_file._FIND_CLAIMED}"
    steps = [step for *_, step in connection.execute(query, ("[]", "", "", ""))]

    assert any("(id=?)" in step for step in steps), steps


@pytest.mark.parametrize(
    "name",
    [
        "_FIND",
        "_FIND_CALLER_KEY",
        "_FIND_UNSETTLED",
        "_FIND_CLAIMED",
        "_FIND_OPEN",
        "_HOLDER",
        "_COUNT",
        "_CHANGE",
        "_FILL",
        "_DROP_REFUSED",
        "_EMPTY",
    ],
)
def test_queries_use_an_index(connection, name):
    """J7: no query reads the whole table, however many submits it has."""
    query = getattr(sqlite_file, name)
    values = ("1",) * query.count("?")
    plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
    steps = [step for *_, step in plan]

    assert [step for step in steps if step.startswith("SCAN submits")] == []
    assert any("INDEX" in step or "PRIMARY KEY" in step for step in steps)
