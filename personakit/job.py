"""The handle of a submitted job."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from typing import Generic, TypeVar, cast

import attrs

from personakit.errors import JournalError, PersonaKitError
from personakit.models import Result, Snapshot
from personakit.readers import JobReader
from personakit.receipt import Receipt
from personakit.requests import JobRequest
from personakit.waits import follow, settle
from personakit.watch import Listener, Watch
from personakit.workflows import (
    Engine,
    conclude,
    deadline_in,
    explain,
    find_age,
    make_reader,
    recall_durations,
    time_out,
)

T = TypeVar("T")


class Job(Generic[T]):
    """A request that a service works on; ``await job`` gives its result.

    Any number of tasks may await one job, and handles made by `PersonaKit.attach` for
    the same job count as one: they share its readings.

    Args:
        receipt: With a job id.
        here: Gives the engine of the running loop.
        timeout: Seconds that `result` waits unless told otherwise.
        request: What was asked for, None where the job was found by its receipt.
        snapshot: The last known reading, None for none.
        key: The caller's own, None for none.
    """

    __slots__ = (
        "_here",
        "_is_closed",
        "_is_recalled",
        "_key",
        "_lost",
        "_receipt",
        "_request",
        "_snapshot",
        "_timeout",
    )

    def __init__(
        self,
        receipt: Receipt,
        *,
        here: Callable[[], Awaitable[Engine]],
        timeout: float,
        request: JobRequest[T] | None = None,
        snapshot: Snapshot[Result] | None = None,
        key: str | None = None,
    ) -> None:
        self._receipt = receipt
        self._key = key
        self._here = here
        self._timeout = timeout
        self._request = request
        self._snapshot = snapshot and self._complete(snapshot)
        self._lost: Exception | None = None
        self._is_recalled = False
        self._is_closed = False

    def __repr__(self) -> str:
        state = self._snapshot.state if self._snapshot else "not read yet"
        return f"<Job {self._receipt.kind} {self.id} {state}>"

    @property
    def id(self) -> str:
        """The service's id of the job."""
        return self._receipt.job_id or ""

    @property
    def key(self) -> str | None:
        """The caller's own key that it was submitted under, None for none.

        A job found by its receipt does not have it; one from `PersonaKit.resume` does.
        """
        return self._key

    @property
    def receipt(self) -> Receipt:
        """By which the job is found again."""
        return self._receipt

    @property
    def token(self) -> str:
        """The receipt as text for `PersonaKit.attach`, at most 256 bytes, no secret."""
        return self._receipt.token

    @property
    def snapshot(self) -> Snapshot[T] | None:
        """The last reading, None before the first of a job found by its receipt."""
        return cast("Snapshot[T] | None", self._snapshot)

    @property
    def is_settled(self) -> bool:
        """True once nothing is left to wait for: awaiting the job ends at once."""
        return self._lost is not None or (
            self._snapshot is not None and self._snapshot.is_settled
        )

    def __await__(self) -> Generator[object, None, T]:
        """Wait for the result, for as long as the client's timeout says."""
        return self.result_by(deadline_in(self._timeout)).__await__()

    async def result(self, *, timeout: float | None = None) -> T:
        """Wait for the result.

        Being cancelled only ends the waiting: the job runs on, and its receipt finds
        it again.

        Args:
            timeout: Seconds, ``math.inf`` for no limit, None for the client's own.

        Raises:
            JobFailed: the service ended the job without a result.
            WaitTimeout: the time is up.
            PersonaKitError: the job can no longer be read.
        """
        chosen = self._timeout if timeout is None else timeout
        return await self.result_by(deadline_in(chosen))

    async def result_by(self, deadline: float) -> T:
        """Wait for the result until `deadline`, a loop time; see `result`."""
        engine = await self._here()
        await self._recall(engine)
        latest = self._snapshot
        if not self.is_settled:
            try:
                latest = await settle(
                    engine.poller,
                    self.id,
                    self._reader(engine),
                    latest=_still_telling(latest),
                    age=find_age(self._receipt),
                    deadline=deadline,
                )
            except PersonaKitError as error:
                raise explain(error, self._receipt, engine.provider) from None
            self._snapshot = latest and self._complete(latest)
        if self._lost is not None:
            lost, self._lost = self._lost, None  # a later wait may do better
            if isinstance(lost, PersonaKitError):
                lost = explain(lost, self._receipt, engine.provider)
            raise lost
        final = self._snapshot
        if final is None or not final.is_settled:
            raise time_out(self._receipt, final)
        await self._close(engine, final)
        if final.failure is not None:
            raise attrs.evolve(final.failure)
        return cast("T", final.result)

    def attend(self, engine: Engine, listener: Listener) -> Watch:
        """Have the job read for as long as somebody listens."""
        return engine.poller.attend(
            self.id,
            self._reader(engine),
            listener,
            latest=_still_telling(self._snapshot),
            age=find_age(self._receipt),
        )

    def take(self, watch: Watch) -> None:
        """Take over what was read by the end of a wait."""
        self._lost = watch.error
        self._snapshot = watch.snapshot and self._complete(watch.snapshot)

    def _reader(self, engine: Engine) -> JobReader:
        model = getattr(self._request, "model", None)
        return make_reader(engine, self._receipt, model)

    async def updates(self, *, every: float = 0.0) -> AsyncGenerator[Snapshot[T], None]:
        """Yield the job's snapshot now and at each change, up to the final one.

        Be as slow as you like: the latest snapshot wins, and the final one always
        comes. Breaking out of the loop leaves the job running.

        Args:
            every: Least seconds between two snapshots.

        Raises:
            PersonaKitError: the job can no longer be read. That it failed is no
                error here, but a final snapshot with its ``failure``.
        """
        engine = await self._here()
        await self._recall(engine)
        latest = self._snapshot
        if latest is not None and latest.is_settled:
            await self._close(engine, latest)
            yield cast("Snapshot[T]", latest)
            return
        snapshots = follow(
            engine.poller,
            self.id,
            self._reader(engine),
            latest=_still_telling(latest),
            age=find_age(self._receipt),
            every=every,
        )
        try:
            async with aclosing(snapshots):
                async for snapshot in snapshots:
                    self._snapshot = now = self._complete(snapshot)
                    if now.is_settled:
                        await self._close(engine, now)
                    yield cast("Snapshot[T]", now)
        except PersonaKitError as error:
            raise explain(error, self._receipt, engine.provider) from None

    async def _recall(self, engine: Engine) -> None:
        """Ask the journal once for what a receipt does not tell."""
        await recall_durations(engine)
        if self._request is not None or self._is_recalled:
            return
        self._is_recalled = True
        try:
            entry = await engine.journal.find(self._receipt.key)
        except JournalError:
            return  # the service tells all that matters
        if entry is not None:
            self._request = cast("JobRequest[T] | None", entry.request)
        if self._snapshot is not None:
            self._snapshot = self._complete(self._snapshot)

    async def _close(self, engine: Engine, final: Snapshot[Result]) -> None:
        """Write down once that the end of the job has been seen."""
        if not self._is_closed:
            self._is_closed = True
            await conclude(engine, self._receipt, final)

    def _complete(self, snapshot: Snapshot[Result]) -> Snapshot[Result]:
        """Add to a reading what only the caller's side knows."""
        if snapshot.failure is not None:
            failure = attrs.evolve(snapshot.failure, receipt=self._receipt)
            return attrs.evolve(snapshot, failure=failure)
        if snapshot.result is None or self._request is None:
            return snapshot
        result = self._request.complete(cast("T", snapshot.result))
        return attrs.evolve(snapshot, result=cast("Result", result))


def _still_telling(latest: Snapshot[Result] | None) -> Snapshot[Result] | None:
    """Return a reading from which to go on.

    A line of a list tells of an end without what came of it: that is as good as none.
    """
    return None if latest is not None and latest.state.is_final else latest
