"""The handle of a submitted job."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Generic, NoReturn, TypeVar, cast

import attrs

from personakit.errors import JournalError, NotFound, PersonaKitError
from personakit.jobs.delivery import deliver
from personakit.jobs.engine import (
    RECALL_TIME,
    Engine,
    as_job_error,
    close_job,
    deadline_in,
    find_age,
    in_time,
    load_durations,
    make_fetcher,
    wait_timeout,
)
from personakit.jobs.fetch import StatusFetcher
from personakit.models import JobState, Result, Snapshot
from personakit.polling.polled_job import PolledJob, Subscriber
from personakit.polling.waiting import stream, wait_final
from personakit.receipt import Receipt
from personakit.requests import JobRequest
from personakit.validation import expect_seconds

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
        sent_at: Loop time of the paid request, None if another process sent it.
    """

    __slots__ = (
        "_here",
        "_is_ended",
        "_is_recalled",
        "_key",
        "_lost",
        "_receipt",
        "_request",
        "_sent_at",
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
        sent_at: float | None = None,
    ) -> None:
        self._receipt = receipt
        self._key = key
        self._sent_at = sent_at
        self._here = here
        self._timeout = timeout
        self._request = request
        self._snapshot = snapshot and self._complete(snapshot)
        self._lost: Exception | None = None
        self._is_recalled = False
        self._is_ended = False

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

        Being cancelled only ends the waiting: the job runs on, and `PersonaKit.resume`
        yields it again. The result counts as delivered once the caller goes on with it.

        Args:
            timeout: Seconds, ``math.inf`` for no limit, None for the client's own.

        Raises:
            JobFailed: the service ended the job without a result.
            WaitTimeout: the time is up.
            NotFound: the service no longer knows the job.
            PersonaKitError: the job can no longer be read.
        """
        chosen = self._timeout if timeout is None else timeout
        return await self.result_by(deadline_in(chosen))

    async def result_by(self, deadline: float) -> T:
        """Wait for the result until `deadline`, a loop time; see `result`."""
        engine = await self._here()
        try:
            final = await self.wait_for_end(engine, deadline)
        except PersonaKitError:
            await self._deliver_soon(engine)
            raise
        await self._deliver_soon(engine)
        return final

    async def _deliver_soon(self, engine: Engine) -> None:
        """Have written down that the caller got the end, once it has gone on with it.

        A cancellation that was requested before takes effect here: the end was read,
        but the caller does not get it.
        """
        await asyncio.sleep(0)
        if self._is_ended:
            engine.deliver_soon(self._receipt.key)

    @asynccontextmanager
    async def deliver(self, *, timeout: float | None = None) -> AsyncGenerator[T]:
        """Deliver the result: ``async with job.deliver() as tracks: await send(...)``.

        Only one block at a time gets the result, among all processes that share the
        journal. If the block ends without an exception, the result is delivered for
        good. If it raises or is cancelled, or its process dies, `PersonaKit.resume`
        yields the job again. So each result is delivered at least once, and twice only
        if a block sent it and then raised, or if its process died or froze for longer
        than its lease (a blocked event loop counts with PostgreSQL).

        Args:
            timeout: Seconds to wait for the end of the job and for a block elsewhere,
                None for the client's own.

        Raises:
            AlreadyDelivered: another block, or a caller of ``await job``, has
                delivered it. The error has the result.
            JobFailed: the service ended the job without a result; that counts as
                delivered.
            WaitTimeout: the time is up.
        """
        deadline = deadline_in(self._timeout if timeout is None else timeout)
        engine = await self._here()
        try:
            result = await self.wait_for_end(engine, deadline)
        except PersonaKitError:
            await self._deliver_soon(engine)
            raise
        async with deliver(engine, self._receipt, result, deadline):
            yield result

    async def wait_for_end(self, engine: Engine, deadline: float) -> T:
        """Wait for the result, and write down the end; it is not delivered yet.

        Args:
            engine: Of the running loop.
            deadline: Loop time.
        """
        await self._recall(engine, deadline)
        error: PersonaKitError | None = None
        if not self.is_settled:
            try:
                polled = await wait_final(
                    engine.poller,
                    self.id,
                    self._source(engine),
                    latest=_still_telling(self._snapshot),
                    age=self._find_age(),
                    deadline=deadline,
                )
            except PersonaKitError as end:
                self._lost = end
            else:
                self._snapshot = polled.snapshot and self._complete(polled.snapshot)
                error = polled.last_error
        if self._lost is not None:
            await self._raise_lost(engine, self._lost, deadline)
        final = self._snapshot
        if final is None or not final.is_settled:
            raise wait_timeout(self._receipt, final, error) from error
        await self.end(engine, deadline)
        if final.failure is not None:
            raise attrs.evolve(final.failure)
        return cast("T", final.result)

    async def _raise_lost(
        self, engine: Engine, lost: Exception, deadline: float
    ) -> NoReturn:
        """Raise why the job can no longer be read; a later wait may do better."""
        self._lost = None
        if isinstance(lost, PersonaKitError):
            lost = as_job_error(lost, self._receipt, engine.provider)
        # A gateway's 404 has no code of the service. The service's own ends the job, or
        # it would be awaited again after each restart.
        if isinstance(lost, NotFound) and lost.code is not None:
            gone = Snapshot[Result](self.id, JobState.FAILED, "gone", failure=lost)
            await self._conclude(engine, gone, deadline)
        raise lost

    async def end(self, engine: Engine, deadline: float = math.inf) -> None:
        """Write down once how the job ended, durably if the journal answers in time."""
        final = self._snapshot
        if self._is_ended or final is None or not final.is_settled:
            return
        await self._conclude(engine, final, deadline)

    async def _conclude(
        self, engine: Engine, final: Snapshot[Result], deadline: float
    ) -> None:
        with suppress(JournalError):  # it is kept and written later
            await in_time(close_job(engine, self._receipt, final), deadline)
        self._is_ended = True

    def _find_age(self) -> float:
        """Return the seconds since the paid request was sent."""
        if self._sent_at is not None:
            age = asyncio.get_running_loop().time() - self._sent_at
            if age >= 0.0:
                return age
        return find_age(self._receipt)

    def subscribe(self, engine: Engine, subscriber: Subscriber) -> PolledJob:
        """Have the job read for as long as somebody listens."""
        return engine.poller.subscribe(
            self.id,
            self._source(engine),
            subscriber,
            latest=_still_telling(self._snapshot),
            age=self._find_age(),
        )

    def apply(self, polled: PolledJob) -> None:
        """Keep what was read by the end of a wait; `end` writes it down."""
        self._lost = polled.error
        self._snapshot = polled.snapshot and self._complete(polled.snapshot)

    def _source(self, engine: Engine) -> StatusFetcher:
        model = getattr(self._request, "model", None)
        return make_fetcher(engine, self._receipt, model)

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
        expect_seconds("every", every)
        engine = await self._here()
        await self._recall(engine, math.inf)
        latest = self._snapshot
        if latest is not None and latest.is_settled:
            await self.end(engine)
            yield cast("Snapshot[T]", latest)
            return
        snapshots = stream(
            engine.poller,
            self.id,
            self._source(engine),
            latest=_still_telling(latest),
            age=self._find_age(),
            every=every,
        )
        try:
            async with aclosing(snapshots):
                async for snapshot in snapshots:
                    self._snapshot = now = self._complete(snapshot)
                    if now.is_settled:
                        await self.end(engine)
                    yield cast("Snapshot[T]", now)
        except PersonaKitError as error:
            raise as_job_error(error, self._receipt, engine.provider) from None

    async def _recall(self, engine: Engine, deadline: float) -> None:
        """Ask the journal once for what a receipt does not tell."""
        await load_durations(engine, deadline)
        if self._request is not None or self._is_recalled:
            return
        self._is_recalled = True
        until = min(deadline, asyncio.get_running_loop().time() + RECALL_TIME)
        finding = engine.journal.find(engine.account, self._receipt.key)
        try:
            record = await in_time(finding, until)
        except JournalError:
            return  # the service tells all that matters
        if record is None:
            return
        self._request = cast("JobRequest[T] | None", record.request)
        kept = record.snapshot
        if self._snapshot is None and not (kept and isinstance(kept.failure, NotFound)):
            self._snapshot = kept  # what was gone may be known again by now
        if self._snapshot is not None:
            self._snapshot = self._complete(self._snapshot)

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
