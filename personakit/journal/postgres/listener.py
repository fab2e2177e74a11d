"""The connection on which a process listens, and shows that it is alive."""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import Callable
from contextlib import suppress

import psycopg

from personakit.errors import JournalError
from personakit.journal.postgres.connection import Connection, Connections, Work, bound

PROBE = 5.0
"""Seconds in which a notification must arrive for the connection not to be deaf."""
TIDY_EVERY = 600.0
"""Seconds between two looks for what is kept no longer."""
_PROBE = "probe "
_PAUSE = 0.5  # seconds between two attempts while the server is away
_SLICES = 0.2  # seconds between two slices of what is dropped

CHANNEL = """
    SELECT 'personakit_' || md5(current_database() || '.' || nspname)
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = to_regclass('personakit_submits')
"""
"""Finds the channel of the schema that holds the tables: schemas share nothing."""
NOTIFY = f"SELECT pg_notify(({CHANNEL}), %s)"

_log = logging.getLogger("personakit")


class NotificationListener:
    """Hears what other processes announce, for as long as a database is open.

    Args:
        beat: Seconds between two calls of `show`.
        show: Shows that this process is alive.
        tidy: Drops some of what is kept no longer; returns whether that was all.
        on_notify: Is called with what other processes announce.
    """

    def __init__(
        self,
        *,
        beat: float,
        show: Work[None],
        tidy: Work[bool],
        on_notify: Callable[[str], None],
    ) -> None:
        self._beat, self._show, self._tidy, self._on_notify = (
            beat,
            show,
            tidy,
            on_notify,
        )
        self._probe_word: str | None = None
        self._probe_until = math.inf
        self._is_deaf = False

    async def run(self, connections: Connections) -> None:
        """Listen until this is cancelled; connect again after each failure."""
        connections.spawn(self._keep_tidy(connections))
        while True:
            try:
                connection = await connections.connect()
                try:
                    with connections.watch(connection):
                        await self._listen(connections, connection)
                finally:
                    await connection.close()
            except (psycopg.Error, OSError) as error:
                _log.info("The journal's database is away: %s", error)
            await asyncio.sleep(_PAUSE)

    async def _listen(self, connections: Connections, connection: Connection) -> None:
        with bound(connection):
            read = await connection.execute(CHANNEL)
            rows = await read.fetchall()
            if not rows:
                raise psycopg.OperationalError("the tables are gone")
            [[channel]] = rows
            if not self._is_deaf:
                await connection.execute(f"LISTEN {channel}".encode())
                connections.spawn(self._probe(connections))
        while True:
            with bound(connection):
                await self._show(connection)
            async for word in connection.notifies(timeout=self._beat):
                if not word.payload.startswith(_PROBE):
                    self._on_notify(word.payload)
                elif word.payload == self._probe_word:
                    self._probe_word, self._probe_until = None, math.inf
            self._check()

    async def _probe(self, connections: Connections) -> None:
        """Send a notification to this process."""
        self._probe_until = math.inf
        self._probe_word = word = _PROBE + uuid.uuid4().hex
        with suppress(JournalError):
            await connections.run(lambda c: c.execute(NOTIFY, (word,)))
            if self._probe_word == word:  # not there yet
                self._probe_until = asyncio.get_running_loop().time() + PROBE

    def _check(self) -> None:
        """Warn once if the notification did not arrive.

        PgBouncer in transaction mode accepts LISTEN and never delivers anything. It
        also closes the server's connection, so there is no more LISTEN after this.
        """
        if asyncio.get_running_loop().time() > self._probe_until and not self._is_deaf:
            self._is_deaf = True
            _log.warning(
                "Notifications of the journal's database do not arrive, so a job that "
                "another process reports is noticed later, by polling. Behind "
                "PgBouncer, connect in session mode or directly."
            )

    async def _keep_tidy(self, connections: Connections) -> None:
        """Drop what is kept no longer, in slices, so that nobody waits for it."""
        pause = self._beat
        while True:
            await asyncio.sleep(pause)
            try:
                is_done = await connections.run(self._tidy)
            except JournalError as error:
                _log.warning("What is kept no longer cannot be dropped: %s", error)
                is_done = True
            pause = TIDY_EVERY if is_done else _SLICES
