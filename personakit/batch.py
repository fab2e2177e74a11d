"""Many requests at once: bounded, in the order of their ends, and begun only once.

With a name, each request of a batch has the same key in every run. What the journal
knows under it is not submitted again: a batch that was interrupted anywhere goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Coroutine,
    Iterable,
)
from contextlib import aclosing
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

import attrs

from personakit.archive import make_fingerprint
from personakit.checks import (
    check_timeout,
    expect,
    expect_count,
    expect_one_of,
)
from personakit.completion import as_completed
from personakit.errors import JobFailed, PersonaKitError, refuse
from personakit.job import Job
from personakit.journal.record import INTERNAL
from personakit.journal.steps import Deliver
from personakit.keyed import Keyed, check_key
from personakit.receipt import Receipt
from personakit.requests import JobRequest

T = TypeVar("T")
R = TypeVar("R")

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
            job = await self._submit(request, deadline, caller_key)
            receipt = job.receipt
            result = await job.wait_for_end(await self._here(), deadline)
        except PersonaKitError as error:
            receipt = error.receipt or receipt
            has_ended = isinstance(error, JobFailed) and receipt is not None
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
        raise refuse("requests", f"must be {rule}, not text", remedy)


def _check(number: int, request: object) -> None:
    if not isinstance(request, JobRequest):
        raise refuse(
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
