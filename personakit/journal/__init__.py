"""The record of every submit, from before it is sent until its result is delivered."""

from __future__ import annotations

import os
from importlib.util import find_spec

from personakit.errors import invalid
from personakit.journal.base import Journal
from personakit.journal.memory import MemoryJournal
from personakit.journal.record import Account, Attempt, SubmitRecord, SubmitState
from personakit.journal.sqlite import SqliteJournal

__all__ = [
    "Account",
    "Attempt",
    "Journal",
    "MemoryJournal",
    "SqliteJournal",
    "SubmitRecord",
    "SubmitState",
    "open_journal",
]

_URLS = ("postgresql:", "postgres:")


def open_journal(journal: str | os.PathLike[str] | Journal | None) -> Journal:
    """Return the journal that a client was given.

    Args:
        journal: The path of an SQLite file, the ``postgresql://`` URL of a database, a
            journal, or None for one in memory.

    Raises:
        InvalidRequest: the file's folder does not exist, or a URL was given and the
            extra ``postgres`` is not installed.
    """
    if journal is None:
        return MemoryJournal()
    if isinstance(journal, str) and journal.startswith(_URLS):
        return _open_postgres(journal)
    if isinstance(journal, str | os.PathLike):
        return SqliteJournal(journal)
    return journal


def _open_postgres(url: str) -> Journal:
    if find_spec("psycopg") is None:
        raise invalid(
            "journal",
            "needs the extra postgres for a database",
            'Run: pip install "personakit-sdk[postgres]"',
        )
    from personakit.journal.postgres import PostgresJournal  # noqa: PLC0415 - an extra

    return PostgresJournal(url)
