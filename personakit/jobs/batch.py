"""Many requests at once: bounded, in the order of their ends, and begun only once.

With a name, each request of a batch has the same key in every run. What the journal
knows under it is not submitted again: a batch that was interrupted anywhere goes on.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Coroutine,
    Iterable,
)
from contextlib import aclosing
from functools import partial
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

import attrs

from personakit.errors import JobFailed, NotFound, PersonaKitError, invalid
from personakit.jobs.engine import Engine, load_durations, wait_timeout
from personakit.jobs.idempotency import Keyed, check_key
from personakit.jobs.job import Job
from personakit.journal.record import INTERNAL
from personakit.journal.steps import Deliver
from personakit.polling.polled_job import PolledJob
from personakit.polling.waiting import LAST_POLL
from personakit.receipt import Receipt
from personakit.requests import JobRequest
from personakit.serialization import make_fingerprint
from personakit.validation import (
    check_timeout,
    expect,
    expect_count,
    expect_one_of,
)

T = TypeVar("T")
R = TypeVar("R")


async def as_completed(
    engine: Engine, jobs: Iterable[Job[T]], *, deadline: float
) -> AsyncGenerator[Job[T]]:
    """Yield jobs in the order in which they end.

    Args:
        engine: Of the running loop.
        jobs: May be one and the same job several times.
        deadline: Loop time; may be infinite.

    Raises:
        WaitTimeout: time is up; its receipt is that of the first job still awaited.
    """
    await load_durations(engine, deadline)
    race = _Race[T](engine, deadline)
    try:
        for job in jobs:
            expect("jobs", job, "jobs", Job, remedy="Pass what submit gave")
            if job.is_settled:
                yield job
            else:
                race.add(job)
        while race.awaited:
            for job in await race.find_next():
                yield job
    finally:
        race.close()


class _Race(Generic[T]):
    """Jobs under way, and the queue of those that have ended.

    Args:
        engine: Of the running loop.
        deadline: Loop time; may be infinite. Shortly before it all jobs are polled.
    """

    def __init__(self, engine: Engine, deadline: float) -> None:
        self.awaited: dict[PolledJob, tuple[Job[T], ...]] = {}
        self._engine = engine
        self._ended: asyncio.Queue[PolledJob] = asyncio.Queue()
        self._subscriber = partial(_note_end, self._ended)
        self._deadline: float | None = None
        self._last_poll: asyncio.TimerHandle | None = None
        if deadline < math.inf:
            self._deadline = deadline
            loop = asyncio.get_running_loop()
            self._last_poll = loop.call_at(deadline - LAST_POLL, self._poll_all)

    def add(self, job: Job[T]) -> None:
        """Wait for one more job."""
        polled = job.subscribe(self._engine, self._subscriber)
        self.awaited[polled] = (*self.awaited.get(polled, ()), job)

    def _poll_all(self) -> None:
        for polled in self.awaited:
            self._engine.poller.refresh(polled)

    async def find_next(self) -> list[Job[T]]:
        """Wait for the next end, and return the handles of all jobs that have ended."""
        ended = self._ended
        try:
            async with asyncio.timeout_at(self._deadline):
                polled = await ended.get()
        except TimeoutError:
            polled, (job, *_) = next(iter(self.awaited.items()))
            error = polled.last_error
            raise wait_timeout(job.receipt, polled.snapshot, error) from error
        polled_jobs = [polled, *(ended.get_nowait() for _ in range(ended.qsize()))]
        over = [job for one in polled_jobs for job in self._apply(one)]
        # Together, so that a journal writes many in one transaction.
        until = math.inf if self._deadline is None else self._deadline
        await asyncio.gather(*(job.end(self._engine, until) for job in over))
        return over

    def _apply(self, polled: PolledJob) -> tuple[Job[T], ...]:
        jobs = self.awaited.pop(polled, ())
        for job in jobs:
            job.apply(polled)
        return jobs

    def close(self) -> None:
        """Stop waiting for the others."""
        if self._last_poll is not None:
            self._last_poll.cancel()
        for polled in self.awaited:
            self._engine.poller.unsubscribe(polled, self._subscriber)


def _note_end(ended: asyncio.Queue[PolledJob], polled: PolledJob) -> None:
    if polled.is_over:
        ended.put_nowait(polled)


Requests: TypeAlias = Iterable[JobRequest[T]] | AsyncIterable[JobRequest[T]]
OnError: TypeAlias = Literal["yield", "raise"]
CONCURRENCY = 100
"""Requests of a batch that are worked on at the same time."""


@attrs.frozen
class Outcome(Generic[T]):
    """What became of one request of a batch.

    Attributes:
        number: Its place in the batch, from 0.
        request: As it was given.
        result: What it made, None where it made nothing.
        error: Why it made nothing, None where it did; with its ``receipt``.
        receipt: By which its job is found again, None where nothing was submitted.
    """

    number: int
    request: JobRequest[T]
    result: T | None = None
    error: PersonaKitError | None = None
    receipt: Receipt | None = None


class Batches(Keyed):
    """What `PersonaKit` offers for many requests, and for many jobs."""

    async def as_completed(
        self, jobs: Iterable[Job[T]], *, timeout: float | None = None
    ) -> AsyncGenerator[Job[T]]:
        """Yield jobs in the order in which they end; awaiting one then ends at once.

        One task is enough for any number of jobs, which cost a few hundred bytes each.
        Leaving the loop leaves them running.

        Args:
            jobs: From `submit`, `attach` or `resume`.
            timeout: Seconds for all of them, None for the client's own.

        Raises:
            WaitTimeout: time is up; the receipt is that of a job still awaited.
        """
        expect("jobs", jobs, "jobs", Iterable, remedy="Pass a list of them")
        engine, deadline = await self._here(), self.deadline_in(timeout)
        async with aclosing(as_completed(engine, jobs, deadline=deadline)) as ended:
            async for job in ended:
                yield job

    async def batch(
        self,
        requests: Requests[T],
        *,
        name: str | None = None,
        concurrency: int = CONCURRENCY,
        on_error: OnError = "yield",
        timeout: float | None = None,
    ) -> AsyncGenerator[Outcome[T]]:
        """Submit many requests and yield each one's outcome as soon as it is known.

        Requests are taken one by one as there is room for them, so that a long file
        never lies in memory. Leaving the loop stops submitting; jobs under way run on.
        An outcome counts as delivered once the loop asks for the next one.

        Args:
            requests: Any iterable, also an asynchronous one.
            name: Of the batch, for going on with it: run again with the same name, the
                same requests in the same order and the same journal, only what was
                never submitted is submitted. None to submit everything.
            concurrency: How many are worked on at the same time.
            on_error: ``"yield"`` makes an error the outcome of its request alone,
                ``"raise"`` ends the batch with the first one.
            timeout: Seconds for each request, None for the client's own.

        Raises:
            InvalidRequest: an argument breaks a rule.
            PersonaKitError: the first error, with ``on_error="raise"``.
        """
        _check_requests(requests)
        if name is not None:
            check_key(name, "name")
        expect_count("concurrency", concurrency)
        expect_one_of("on_error", on_error, ("yield", "raise"))
        if timeout is not None:
            check_timeout(timeout)
        engine, numbered = await self._here(), _number(requests)
        ended: asyncio.Queue[asyncio.Task[Any]] = asyncio.Queue()
        working: set[asyncio.Task[tuple[Outcome[T], str | None]]] = set()
        fetching: asyncio.Task[tuple[int, JobRequest[T]] | None] | None = None
        is_over = False
        try:
            while not is_over or working:
                if fetching is None and not is_over and len(working) < concurrency:
                    fetching = _begin(_take(numbered), ended)
                done = await ended.get()
                if fetching is not None and done is fetching:
                    taken, fetching = fetching.result(), None
                    if taken is None:
                        is_over = True
                    else:
                        work = self._settle(*taken, name=name, timeout=timeout)
                        working.add(_begin(work, ended))
                    continue
                working.discard(done)
                outcome, key = cast("tuple[Outcome[T], str | None]", done.result())
                if outcome.error is not None and on_error == "raise":
                    raise outcome.error
                yield outcome
                if key is not None:
                    engine.writer.put(Deliver(key))
        finally:
            await _cancel_all(fetching, *working)
            await numbered.aclose()

    async def _settle(
        self,
        number: int,
        request: JobRequest[T],
        *,
        name: str | None,
        timeout: float | None,
    ) -> tuple[Outcome[T], str | None]:
        """Bring one request to its end, whatever that is.

        Returns:
            The outcome, and the key of the record that is delivered with it, None if
            the job has not ended.
        """
        receipt: Receipt | None = None
        try:
            _check(number, request)
            deadline = self.deadline_in(timeout)
            caller_key = None if name is None else _make_key(name, number, request)
            job = await self._submit_once(request, deadline, caller_key)
            receipt = job.receipt
            result = await job.wait_for_end(await self._here(), deadline)
        except PersonaKitError as error:
            receipt = error.receipt or receipt
            has_ended = isinstance(error, JobFailed | NotFound)
            key = receipt.key if has_ended and receipt is not None else None
            return Outcome(number, request, error=error, receipt=receipt), key
        outcome = Outcome(number, request, result=result, receipt=receipt)
        return outcome, receipt.key


def _make_key(name: str, number: int, request: JobRequest[Any]) -> str:
    """Return the key of a request in every run of its batch."""
    return INTERNAL.join(("batch", name, str(number), make_fingerprint(request)))


def _begin(
    work: Coroutine[Any, Any, R], ended: asyncio.Queue[asyncio.Task[Any]]
) -> asyncio.Task[R]:
    """Start a task that reports its own end."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(ended.put_nowait)
    return task


async def _cancel_all(*tasks: asyncio.Task[Any] | None) -> None:
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def _check_requests(requests: object) -> None:
    rule = "an iterable of requests"
    remedy = "Pass a list of them"
    expect("requests", requests, rule, Iterable, AsyncIterable, remedy=remedy)
    if isinstance(requests, str | bytes):
        raise invalid("requests", f"must be {rule}, not text", remedy)


def _check(number: int, request: object) -> None:
    if not isinstance(request, JobRequest):
        raise invalid(
            f"requests[{number}]",
            "must be a request, for example a MusicRequest",
            "Change it",
        )


async def _number(
    requests: Requests[T],
) -> AsyncGenerator[tuple[int, JobRequest[T]]]:
    """Count the requests as they are taken."""
    number = 0
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield number, request
            number += 1
        return
    for request in requests:
        yield number, request
        number += 1


async def _take(
    numbered: AsyncIterator[tuple[int, JobRequest[T]]],
) -> tuple[int, JobRequest[T]] | None:
    """Return the next request, None when there is none."""
    return await anext(numbered, None)
