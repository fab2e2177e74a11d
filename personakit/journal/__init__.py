"""The record of every submit, from before it is sent until its job has ended."""

from __future__ import annotations

import os

from personakit.journal.entry import Entry, Journal, Mark
from personakit.journal.memory import MemoryJournal
from personakit.journal.sqlite import SqliteJournal

__all__ = ["Entry", "Journal", "Mark", "MemoryJournal", "SqliteJournal", "open_journal"]


def open_journal(journal: str | os.PathLike[str] | Journal | None) -> Journal:
    """Return the journal that a client was given.

    Args:
        journal: The path of an SQLite file, a journal, or None for one in memory.
    """
    if journal is None:
        return MemoryJournal()
    if isinstance(journal, str | os.PathLike):
        return SqliteJournal(journal)
    return journal
