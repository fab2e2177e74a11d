"""Where entries gather until a database has time for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import attrs

from personakit.errors import JournalError
from personakit.journal.database import Connection, Database
from personakit.journal.entry import Entry

AT_ONCE = 200
"""Entries that are written in one transaction at the most."""


class Desk:
    """Writes the entries of one event loop, many at a time and in their order.

    Args:
        database: Of that loop.
        write: Writes entries, and returns what stands after each.
    """

    def __init__(
        self,
        database: Database,
        write: Callable[[Connection, Sequence[Entry]], Awaitable[list[Entry]]],
    ) -> None:
        self.database = database
        self._write = write
        self._waiting: list[tuple[Entry, asyncio.Future[Entry]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def write(self, entry: Entry) -> Entry:
        """Write an entry, together with whatever else has gathered.

        Raises:
            JournalError: that is impossible just now.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Entry] = loop.create_future()
        self._waiting.append((entry, done))
        if self._writing is None:
            self._writing = loop.create_task(self._write_all())
        return await done

    async def _write_all(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            outcomes = await self._try_to_write([entry for entry, _ in taken])
            for (_, done), outcome in zip(taken, outcomes, strict=True):
                if done.done():
                    continue  # who waited was cancelled
                if isinstance(outcome, Entry):
                    done.set_result(outcome)
                else:
                    done.set_exception(outcome)
        self._writing = None

    async def _try_to_write(
        self, entries: Sequence[Entry]
    ) -> Sequence[Entry | JournalError]:
        """Return what stands after each, or for each why it cannot be written."""
        try:
            return await self.database.do(lambda c: self._write(c, entries))
        except JournalError as error:
            return [attrs.evolve(error) for _ in entries]

    async def aclose(self) -> None:
        """Write what has gathered, and close the connections."""
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        await self.database.aclose()
