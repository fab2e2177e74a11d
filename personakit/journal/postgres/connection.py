"""Connections to a PostgreSQL database, as one event loop uses them.

A server may stop answering without closing its connections. Therefore every wait here
is bounded, and a caller never waits for a connection itself: the work runs in a task of
its own, and the caller awaits a future, so that cancelling the caller always works.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeAlias, TypeVar

import attrs
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from personakit.errors import JournalError

T = TypeVar("T")

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]
Work: TypeAlias = Callable[[Connection], Awaitable[T]]

CONNECTIONS = 4
"""Connections of one event loop at most, besides the one that listens."""
ATTEMPT = 10.0
"""Seconds after which a connection that does not answer is given up."""
LEAVING = 1.2
"""Seconds for each of the steps of closing: finish, stop, connect, leave."""
_ASKED = {TransactionStatus.ACTIVE, TransactionStatus.INTRANS}
_PAUSES = (0.05, 0.5)  # seconds before the second attempt, and before each later one

_DEFAULTS: dict[str, str | int] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": int(ATTEMPT * 1000),
    "application_name": "personakit",
}
# Set in each transaction and not once per connection: behind PgBouncer the next
# transaction may have another connection. One round trip for all of it.
_BEGIN = """
    BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
    SET LOCAL lock_timeout = '6s';
    SET LOCAL statement_timeout = '8s';
    SET LOCAL idle_in_transaction_session_timeout = '10s';
    SELECT set_config('synchronous_commit', 'on', true)
    WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')
"""


class CommitUnclearError(psycopg.OperationalError):
    """A transaction was being committed, and its outcome is not known."""


def explain(error: Exception) -> JournalError:
    """Return an error that says what to do."""
    if isinstance(error, JournalError):
        return attrs.evolve(error)
    reason = " ".join(str(error).split()) or f"no answer within {ATTEMPT:g} s"
    if isinstance(error, OSError | psycopg.OperationalError):
        remedy = "Check that the server runs, can be reached and is not locked"
    elif isinstance(error, psycopg.errors.InsufficientPrivilege):
        remedy = (
            "Let the role SELECT, INSERT, UPDATE and DELETE in the tables "
            "personakit_*; as their owner, run: personakit journal migrate"
        )
    elif isinstance(error, psycopg.DataError | psycopg.IntegrityError | UnicodeError):
        remedy = "What was to be written cannot be kept: change it"
    elif isinstance(error, ValueError):
        reason = f"this version cannot read a record: {reason}"
        remedy = "Use the version that wrote it"
    else:
        remedy = "Check the database, or pass another journal"
    return JournalError(f"The journal's database cannot be used ({reason}). {remedy}.")


def closed() -> JournalError:
    """Make the error for what was not done before the journal was closed."""
    return JournalError("The journal was closed while it was in use.")


def cut(connection: Connection) -> None:
    """Shut a connection down, so that whatever waits for it fails at once.

    Cancelling the waiting task does not help: psycopg then asks the server to end the
    query, and waits for the answer.
    """
    with suppress(OSError, psycopg.Error):
        endpoint = socket.socket(fileno=connection.fileno())
        try:
            endpoint.shutdown(socket.SHUT_RDWR)
        finally:
            endpoint.detach()


@contextmanager
def bound(connection: Connection, seconds: float | None = None) -> Generator[None]:
    """Cut a connection off unless the block ends in time: within `ATTEMPT` by default.

    Raises:
        TimeoutError: it did not.
    """
    loop = asyncio.get_running_loop()
    seconds = ATTEMPT if seconds is None else seconds
    timer = loop.call_later(seconds, cut, connection)
    try:
        yield
    except CommitUnclearError:
        raise
    except psycopg.OperationalError:
        if loop.time() < timer.when():
            raise
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    finally:
        timer.cancel()


async def connect(url: str) -> Connection:
    """Make a connection, with time limits where the URL sets none.

    Raises:
        psycopg.Error, TimeoutError: the server refuses or does not answer.
    """
    try:
        told = conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # whose text holds the password
        raise psycopg.ProgrammingError("its URL is not valid") from None
    missing = {name: _DEFAULTS[name] for name in _DEFAULTS.keys() - told.keys()}
    async with asyncio.timeout(ATTEMPT):
        return await psycopg.AsyncConnection.connect(
            make_conninfo(url, **missing),
            autocommit=True,
            prepare_threshold=None,  # behind PgBouncer each may go to another server
        )


async def transact(connection: Connection, work: Work[T]) -> T:
    """Do some work in one transaction.

    Raises:
        CommitUnclearError: nobody knows whether it was committed.
    """
    await connection.execute(_BEGIN)
    outcome = await work(connection)
    try:
        await connection.execute("COMMIT")
    except (psycopg.OperationalError, psycopg.InternalError) as error:
        raise CommitUnclearError(str(error)) from error
    return outcome


class Connections:
    """Connections that are made when they are first needed.

    Args:
        url: Of the database, ``postgresql://user@host/name``.
        patience: Seconds for which a lost server is waited for.
        prepare: Is called with the first connection, before anything else.
        heartbeat: Runs in a task from then on, until the database is closed.
        release: Is called before the last connection is closed, if the server answers.
    """

    def __init__(
        self,
        url: str,
        *,
        patience: float,
        prepare: Work[None],
        heartbeat: Callable[[Connections], Coroutine[Any, Any, None]],
        release: Work[None],
    ) -> None:
        self.patience = patience
        self._url, self._prepare = url, prepare
        self._heartbeat, self._release = heartbeat, release
        self._places = asyncio.Semaphore(CONNECTIONS - 1)  # one is for the writer
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._serving: set[asyncio.Task[Any]] = set()
        self._others: set[asyncio.Task[Any]] = set()
        self._opening: asyncio.Task[None] | None = None
        self._is_closed = False

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run something in a task that is cancelled when this is closed."""
        _keep(self._others, coroutine)

    def serve(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something in a task for which `aclose` waits a moment."""
        return _keep(self._serving, coroutine)

    async def run(self, work: Work[T]) -> T:
        """Do some work in a transaction, once more if the connection breaks.

        A caller that is cancelled returns at once.

        Raises:
            JournalError: the database cannot be used, or did not come back.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.serve(self._serve(work, done))
        try:
            async with asyncio.timeout(self.patience + ATTEMPT):
                return await done
        except TimeoutError as error:
            raise explain(error) from None

    async def _serve(self, work: Work[T], done: asyncio.Future[T]) -> None:
        until = asyncio.get_running_loop().time() + self.patience

        async def attempt() -> T:
            async with self._places:
                if done.done():
                    raise TimeoutError
                async with self.connection() as connection:
                    return await transact(connection, work)

        try:
            outcome = await self.persist(attempt, until, lambda: not done.done())
        except Exception as error:  # whoever waits must get it, whatever it is
            if not done.done():
                is_ours = isinstance(error, JournalError | psycopg.Error | UnicodeError)
                done.set_exception(explain(error) if is_ours else error)
        else:
            if not done.done():
                done.set_result(outcome)
        finally:
            if not done.done():  # cancelled because this is closed
                done.set_exception(closed())

    async def persist(
        self,
        attempt: Callable[[], Awaitable[T]],
        until: float,
        is_wanted: Callable[[], bool],
    ) -> T:
        """Attempt something until it works, is refused, or nobody wants it any more.

        Args:
            attempt: Raises what says why it did not work.
            until: When to give up, by the loop's clock.
            is_wanted: Returns whether to go on.

        Raises:
            JournalError: the database was away or did not answer.
            psycopg.Error: the database refused it.
        """
        loop = asyncio.get_running_loop()
        pauses = iter(_PAUSES)
        pause = next(pauses)
        while True:
            try:
                return await attempt()
            except (psycopg.OperationalError, OSError) as error:
                is_passing = self._is_open and not self._is_closed and is_wanted()
                if not is_passing or loop.time() + pause > until:
                    raise explain(error) from None
            await asyncio.sleep(pause)
            pause = next(pauses, pause)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """Lend a connection for at most `ATTEMPT` seconds."""
        await self._open()
        if self._is_closed:
            raise closed()
        connection = self._idle.pop() if self._idle else await self.connect()
        with self.watch(connection):
            try:
                with bound(connection):
                    try:
                        yield connection
                    except Exception:
                        await self._roll_back(connection)
                        raise
            finally:
                await self._put_back(connection)

    @contextmanager
    def watch(self, connection: Connection) -> Generator[None]:
        """Cut a connection off when this is closed during the block."""
        self._busy.add(connection)
        try:
            yield
        finally:
            self._busy.discard(connection)

    async def _roll_back(self, connection: Connection) -> None:
        if connection.closed:
            while self._idle:  # the others are as old
                await self._idle.pop().close()
        else:
            with suppress(psycopg.Error):
                await connection.execute("ROLLBACK")

    async def _put_back(self, connection: Connection) -> None:
        status = connection.info.transaction_status
        if status is TransactionStatus.IDLE and not self._is_closed:
            self._idle.append(connection)
        else:
            await connection.close()

    async def connect(self) -> Connection:
        """Make a connection, which the caller closes."""
        return await connect(self._url)

    @property
    def _is_open(self) -> bool:
        opening = self._opening
        is_done = opening is not None and opening.done() and not opening.cancelled()
        return is_done and opening is not None and opening.exception() is None

    async def _open(self) -> None:
        """Prepare the database once; if that fails, the next one who asks tries."""
        if self._is_open:
            return
        if self._opening is None or self._opening.done():
            self._opening = self.serve(self._open_first())
        await asyncio.shield(self._opening)

    async def _open_first(self) -> None:
        connection = await self.connect()
        with self.watch(connection):
            try:
                with bound(connection):
                    await self._prepare(connection)
            finally:
                await self._put_back(connection)
        self.spawn(self._heartbeat(self))

    async def aclose(self) -> None:
        """Close the connections, within five seconds whatever the server does.

        It goes on in a task if the caller is cancelled.
        """
        await asyncio.shield(asyncio.get_running_loop().create_task(self._close()))

    async def _close(self) -> None:
        try:
            await self._stop()
            if self._is_open:
                await self._say_goodbye()
        finally:
            self._is_closed = True
            for connection in (*self._idle, *self._busy):
                await connection.close()
            self._idle.clear()

    async def _stop(self) -> None:
        """End all tasks; they get a moment to finish."""
        await _wait(self._serving, LEAVING)
        self._is_closed = True
        asked = [one for one in self._busy if one.info.transaction_status in _ASKED]
        if asked:
            for connection in asked:
                cut(connection)
            await _wait(self._serving | self._others, 0.1)
        for task in self._serving | self._others:
            task.cancel()
        await _wait(self._serving | self._others, LEAVING)

    async def _say_goodbye(self) -> None:
        with suppress(psycopg.Error, OSError):
            if not self._idle:
                async with asyncio.timeout(LEAVING):
                    self._idle.append(await self.connect())
            with bound(self._idle[-1], LEAVING):
                await self._release(self._idle[-1])


def _keep(
    tasks: set[asyncio.Task[Any]], coroutine: Coroutine[Any, Any, T]
) -> asyncio.Task[T]:
    task = asyncio.get_running_loop().create_task(coroutine)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


async def _wait(tasks: set[asyncio.Task[Any]], seconds: float) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
