"""The journal in a PostgreSQL database."""

from personakit.journal.postgres.journal import PostgresJournal, create_tables

__all__ = ["PostgresJournal", "create_tables"]
