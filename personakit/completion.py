"""Many jobs awaited by one task: each is handed over as soon as it has ended."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Iterable
from functools import partial
from typing import Generic, TypeVar

from personakit.checks import expect
from personakit.job import Job
from personakit.waits import LAST_POLL
from personakit.watch import Watch
from personakit.workflows import Engine, recall_durations, time_out

T = TypeVar("T")


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
    await recall_durations(engine, deadline)
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
        self.awaited: dict[Watch, tuple[Job[T], ...]] = {}
        self._engine = engine
        self._ended: asyncio.Queue[Watch] = asyncio.Queue()
        self._listener = partial(_note_end, self._ended)
        self._deadline: float | None = None
        self._last_poll: asyncio.TimerHandle | None = None
        if deadline < math.inf:
            self._deadline = deadline
            loop = asyncio.get_running_loop()
            self._last_poll = loop.call_at(deadline - LAST_POLL, self._poll_all)

    def add(self, job: Job[T]) -> None:
        """Wait for one more job."""
        watch = job.attend(self._engine, self._listener)
        self.awaited[watch] = (*self.awaited.get(watch, ()), job)

    def _poll_all(self) -> None:
        for watch in self.awaited:
            self._engine.poller.refresh(watch)

    async def find_next(self) -> list[Job[T]]:
        """Wait for the next end, and return the handles of all jobs that have ended."""
        ended = self._ended
        try:
            async with asyncio.timeout_at(self._deadline):
                watch = await ended.get()
        except TimeoutError:
            watch, (job, *_) = next(iter(self.awaited.items()))
            error = watch.last_error
            raise time_out(job.receipt, watch.snapshot, error) from error
        watches = [watch, *(ended.get_nowait() for _ in range(ended.qsize()))]
        over = [job for one in watches for job in self._take(one)]
        # Together, so that a journal writes many in one transaction.
        until = math.inf if self._deadline is None else self._deadline
        await asyncio.gather(*(job.end(self._engine, until) for job in over))
        return over

    def _take(self, watch: Watch) -> tuple[Job[T], ...]:
        jobs = self.awaited.pop(watch, ())
        for job in jobs:
            job.take(watch)
        return jobs

    def close(self) -> None:
        """Stop waiting for the others."""
        if self._last_poll is not None:
            self._last_poll.cancel()
        for watch in self.awaited:
            self._engine.poller.leave(watch, self._listener)


def _note_end(ended: asyncio.Queue[Watch], watch: Watch) -> None:
    if watch.is_over:
        ended.put_nowait(watch)
