"""The tables of an SQLite journal, version by version."""

from __future__ import annotations

import sqlite3

from personakit.journal.schema import MIGRATIONS


def test_each_version_adds_its_tables():
    """The scripts run one after the other on an empty file."""
    connection = sqlite3.connect(":memory:")
    tables = []
    for script in MIGRATIONS:
        connection.executescript(script)
        rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        tables.append({name for (name,) in rows})
    connection.close()

    assert tables == [
        {"submits"},
        {"submits", "personas"},
        {"submits", "personas", "durations"},
        {"submits", "personas", "durations"},  # a column more
    ]
