"""Where the steps of one event loop gather until the database has time for them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

import attrs
import psycopg

from personakit.errors import JournalError
from personakit.journal.postgres.connection import (
    CommitUnclearError,
    Connection,
    Connections,
    Work,
    closed,
    explain,
    transact,
)
from personakit.journal.postgres.steps import Group, fetch
from personakit.journal.record import Account
from personakit.journal.steps import Bind, Step, Verdict

AT_ONCE = 500
"""Steps in one transaction at most."""
TRIES = 10
"""Times that a step is decided again because another process wrote first."""

_STATUS = "SELECT txid_status(%s), pg_postmaster_start_time()::text"


@attrs.define(eq=False)
class PendingStep:
    """A step that somebody waits for.

    Attributes:
        account: Whose record it changes.
        step: The step.
        done: What came of it.
        until: When to give up, by the loop's clock.
    """

    account: Account
    step: Step
    done: asyncio.Future[Verdict]
    until: float


class WriteBatcher:
    """Takes the steps of one event loop in their order, many at a time.

    Args:
        connections: Of that loop.
        me: Name of this process.
        show: Is called before each transaction; shows that this process is alive if
            that was not done for some time.
    """

    def __init__(self, connections: Connections, me: str, show: Work[None]) -> None:
        self.connections = connections
        self._me, self._show = me, show
        self._waiting: deque[PendingStep] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def apply(self, account: Account, step: Step) -> Verdict:
        """Take a step, together with what else has gathered.

        A caller that is cancelled returns at once; a step not yet begun is dropped.

        Raises:
            JournalError: it could not be written.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Verdict] = loop.create_future()
        until = loop.time() + self.connections.patience
        self._waiting.append(PendingStep(account, step, done, until))
        if self._writing is None:
            self._writing = self.connections.serve(self._write_all())
        return await done

    async def _write_all(self) -> None:
        group: list[PendingStep] = []
        try:
            while group := self._gather():
                await self._write(group)
        finally:
            self._writing = None
            _fail((*group, *self._waiting), closed())  # only if this is cancelled

    def _gather(self) -> list[PendingStep]:
        """Return what goes into the next transaction."""
        group: list[PendingStep] = []
        while self._waiting and len(group) < AT_ONCE:
            is_alone = isinstance(self._waiting[0].step, Bind)
            if is_alone and group:
                break
            pending = self._waiting.popleft()
            if not pending.done.done():
                group.append(pending)
                if is_alone:
                    break
        return group

    async def _write(self, pending_steps: Sequence[PendingStep]) -> None:
        """Write some steps; if they are refused, write each half, to fail alone."""
        attempt = _Attempt(self.connections, self._me, self._show, pending_steps)
        try:
            verdicts = await self._persist(attempt)
        except JournalError as error:  # the database is away
            now = asyncio.get_running_loop().time()
            late = [pending for pending in self._waiting if pending.until < now]
            _fail([*pending_steps, *late], error)
        except Exception as error:
            if len(pending_steps) > 1:
                half = len(pending_steps) // 2
                await self._write(pending_steps[:half])
                await self._write(pending_steps[half:])
            else:
                _fail(pending_steps, explain(error))
        else:
            for pending, verdict in zip(attempt.pending_steps, verdicts, strict=True):
                if not pending.done.done():
                    pending.done.set_result(verdict)

    async def _persist(self, attempt: _Attempt) -> list[Verdict]:
        until, tries = attempt.pending_steps[0].until, TRIES
        while True:
            tries -= 1
            try:
                return await self.connections.persist(
                    attempt.run, until, attempt.is_wanted
                )
            except psycopg.errors.UniqueViolation:  # another process was first
                if len(attempt.pending_steps) > 1 or not tries:
                    raise

    async def aclose(self) -> None:
        """Write what has gathered, for a moment, and close the connections."""
        await self.connections.aclose()


@attrs.define(eq=False)
class _Attempt:
    """Attempts to write some steps, until one is known to be committed.

    Attributes:
        pending_steps: Those that somebody still waits for.
        unclear: What may have been committed by the last attempt.
    """

    _connections: Connections
    _me: str
    _show: Work[None]
    pending_steps: Sequence[PendingStep]
    unclear: Group | None = attrs.field(default=None, init=False)

    def is_wanted(self) -> bool:
        """Return whether anybody still waits."""
        return any(not pending.done.done() for pending in self.pending_steps)

    async def run(self) -> list[Verdict]:
        """Write the steps, unless the last attempt did."""
        async with self._connections.connection() as connection:
            group = self.unclear
            if group is not None and await _is_committed(connection, group):
                return group.verdicts
            self.unclear = None
            self.pending_steps = [
                pending for pending in self.pending_steps if not pending.done.done()
            ]
            if not self.pending_steps:
                return []
            await self._show(connection)
            group = Group(
                self._me, [(one.account, one.step) for one in self.pending_steps]
            )
            try:
                await transact(connection, group.run)
            except CommitUnclearError:
                self.unclear = group
                raise
            return group.verdicts


async def _is_committed(connection: Connection, group: Group) -> bool:
    """Return whether steps were written whose commit got no answer."""
    [[status, server]] = await fetch(connection, _STATUS, (group.number,))
    if status == "in progress":
        raise psycopg.OperationalError("a transaction has not ended yet")
    if status != "committed":
        return False
    # A server that crashed may give the number of a lost transaction to another.
    return server == group.server or await group.is_written(connection)


def _fail(pending_steps: Iterable[PendingStep], error: JournalError) -> None:
    """Give each of those who wait an error of its own."""
    for pending in pending_steps:
        if not pending.done.done():
            pending.done.set_exception(attrs.evolve(error))
