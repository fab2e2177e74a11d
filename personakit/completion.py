"""Many jobs awaited by one task: each is handed over as soon as it has ended."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Iterable
from typing import TypeVar

from personakit.job import Job
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
    ended: asyncio.Queue[Watch] = asyncio.Queue()
    awaited: dict[Watch, tuple[Job[T], ...]] = {}
    at = None if deadline == math.inf else deadline

    def hear(watch: Watch) -> None:
        if watch.is_over:
            ended.put_nowait(watch)

    await recall_durations(engine)
    try:
        for job in jobs:
            if job.is_settled:
                yield job
            else:
                watch = job.attend(engine, hear)
                awaited[watch] = (*awaited.get(watch, ()), job)
        while awaited:
            try:
                async with asyncio.timeout_at(at):
                    watch = await ended.get()
            except TimeoutError:
                first, *_ = next(iter(awaited.values()))
                raise time_out(first.receipt, first.snapshot) from None
            for job in awaited.pop(watch, ()):
                job.take(watch)
                yield job
    finally:
        for watch in awaited:
            engine.poller.leave(watch, hear)
