"""A PostgreSQL database as one event loop uses it: through restarts of the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool

from personakit.errors import JournalError

T = TypeVar("T")

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]
Work: TypeAlias = Callable[[Connection], Awaitable[T]]

CONNECTIONS = 4
"""Connections of one event loop at the most, besides the one that listens."""
CHANNEL = "personakit"
"""On which processes tell each other of jobs."""
_PAUSE = 0.5  # seconds between two attempts while the server is away
_CONNECT = 10  # seconds for the first connection
_TURN = 1.0  # seconds in which one of the others should be free

_log = logging.getLogger("personakit")


class Database:
    """Connections to a database, made when they are first needed.

    Args:
        url: Of the database, ``postgresql://user@host/name``.
        patience: Seconds for which a lost server is waited for.
        beat: Seconds between two calls of `attend`.
        prepare: Is called with the first connection, before anything else.
        attend: Is called every few seconds, as long as this is open.
        leave: Is called before it is closed, if the server is there.
        hear: Is called with what other processes tell on the channel.
    """

    def __init__(
        self,
        url: str,
        *,
        patience: float,
        beat: float,
        prepare: Work[None],
        attend: Work[None],
        leave: Work[None],
        hear: Callable[[str], None],
    ) -> None:
        self._url, self._patience, self._beat = url, patience, beat
        self._prepare, self._attend, self._leave = prepare, attend, leave
        self._hear = hear
        self._opening = asyncio.Lock()
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._living: asyncio.Task[None] | None = None

    async def do(self, work: Work[T]) -> T:
        """Run some work in a transaction, once more where the connection breaks.

        Raises:
            JournalError: the database cannot be used, or did not come back.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        while True:
            try:
                pool = await self._open()
                async with pool.connection(timeout=_TURN) as connection:
                    return await work(connection)
            except psycopg.Error as error:
                is_open = self._pool is not None and not self._pool.closed
                is_passing = is_open and isinstance(error, psycopg.OperationalError)
                if not is_passing or loop.time() + _PAUSE > until:
                    raise JournalError(
                        f"The journal's database cannot be used ({error}). Mend it, "
                        "or pass another journal."
                    ) from None
            await asyncio.sleep(_PAUSE)

    async def _open(self) -> AsyncConnectionPool[Connection]:
        async with self._opening:
            if self._pool is None:
                # An address that is wrong is told at once, and not waited for.
                async with await self._connect() as connection:
                    await self._prepare(connection)
                pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
                    self._url,
                    min_size=1,
                    max_size=CONNECTIONS,
                    open=False,
                    reconnect_timeout=_PAUSE,  # `do` has patience enough
                )
                await pool.open()
                self._pool = pool
                self._living = asyncio.create_task(self._live(pool))
            return self._pool

    async def _connect(self) -> Connection:
        return await psycopg.AsyncConnection.connect(
            self._url, connect_timeout=_CONNECT
        )

    async def _live(self, pool: AsyncConnectionPool[Connection]) -> None:
        """Listen to the end, and close the connections then.

        A loop that ends cancels its tasks before anything else: the pool's own workers
        may miss that, and keep the loop, until the pool is closed.
        """
        try:
            await self._listen()
        finally:
            with suppress(psycopg.Error):
                async with pool.connection(timeout=_PAUSE) as connection:
                    await self._leave(connection)
            await pool.close()

    async def _listen(self) -> None:
        """Hear what others tell, and show that this process is alive."""
        while True:
            try:
                async with await self._connect() as connection:
                    await connection.set_autocommit(True)
                    await connection.execute(f"LISTEN {CHANNEL}")
                    while True:
                        await self._attend(connection)
                        async for word in connection.notifies(timeout=self._beat):
                            self._hear(word.payload)
            except psycopg.Error as error:
                _log.info("The journal's database is away: %s", error)
            await asyncio.sleep(_PAUSE)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._living is not None:
            self._living.cancel()
            await asyncio.gather(self._living, return_exceptions=True)
