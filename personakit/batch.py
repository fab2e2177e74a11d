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
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import attrs

from personakit.archive import dump
from personakit.completion import as_completed
from personakit.errors import PersonaKitError, refuse
from personakit.job import Job
from personakit.keyed import Keyed
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
            InvalidRequest: `concurrency` is below 1.
            PersonaKitError: the first error, with ``on_error="raise"``.
        """
        if concurrency < 1:
            raise refuse("concurrency", "must be at least 1", "Change it")
        numbered = _number(requests)
        ended: asyncio.Queue[asyncio.Task[Any]] = asyncio.Queue()
        working: set[asyncio.Task[Outcome[T]]] = set()
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
                outcome: Outcome[T] = done.result()
                if outcome.error is not None and on_error == "raise":
                    raise outcome.error
                yield outcome
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
    ) -> Outcome[T]:
        """Bring one request to its end, whatever that is."""
        receipt: Receipt | None = None
        try:
            _check(number, request)
            deadline = self.deadline_in(timeout)
            job = await self._begin(number, request, name, deadline)
            receipt = job.receipt
            result = await job.result_by(deadline)
        except PersonaKitError as error:
            return Outcome(
                number, request, error=error, receipt=error.receipt or receipt
            )
        return Outcome(number, request, result=result, receipt=receipt)

    async def _begin(
        self, number: int, request: JobRequest[Any], name: str | None, deadline: float
    ) -> Job[Any]:
        """Submit a request, or take up what an earlier run has submitted."""
        if name is None:
            return await self._submit(request, deadline)
        text = dump(request) or repr(request)
        key = "\0".join((name, str(number), text))
        return await self._submit_once(request, key, deadline=deadline)


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
