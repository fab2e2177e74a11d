"""How tasks await what a poller reads: change by change, or the end alone."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import suppress

from personakit.models import Result, Snapshot
from personakit.polling.polled_job import PolledJob, StatusSource
from personakit.polling.poller import Poller

LAST_POLL = 1.0
"""Seconds before a deadline at which a job is polled once more."""


async def stream(
    poller: Poller,
    job_id: str,
    source: StatusSource,
    *,
    latest: Snapshot[Result] | None,
    age: float,
    every: float = 0.0,
) -> AsyncGenerator[Snapshot[Result], None]:
    """Yield the job's snapshot now and at each change, up to the final one.

    Whoever is slow to take one misses those between, never the last.

    Args:
        poller: Of the running loop.
        job_id: The job.
        source: Reads it.
        latest: The last known poll; None looks at once.
        age: Seconds since it was submitted.
        every: Least seconds between two of the snapshots yielded.

    Raises:
        PersonaKitError: what makes any further poll pointless.
    """
    changed = asyncio.Event()

    def on_change(_: PolledJob) -> None:
        changed.set()

    job = poller.subscribe(job_id, source, on_change, latest=latest, age=age)
    seen: Snapshot[Result] | None = None
    try:
        while True:
            changed.clear()
            if job.error is not None:
                raise job.error
            if job.snapshot is seen or job.snapshot is None:
                await changed.wait()
                continue
            seen = job.snapshot
            yield seen
            if seen.state.is_final:
                return
            await asyncio.sleep(every)
    finally:
        poller.unsubscribe(job, on_change)


async def wait_final(
    poller: Poller,
    job_id: str,
    source: StatusSource,
    *,
    latest: Snapshot[Result] | None,
    age: float,
    deadline: float,
) -> PolledJob:
    """Wait for a job's final snapshot, or for the deadline.

    Shortly before the deadline the job is polled once more.

    Args:
        poller: Of the running loop.
        job_id: The job.
        source: Reads it.
        latest: The last known poll; None looks at once.
        age: Seconds since it was submitted.
        deadline: Loop time; may be infinite.

    Returns:
        What is known of the job: ``snapshot``, which is final if the job ended in time,
        or else the last poll, None if there was none; ``streak`` if the last poll
        failed.

    Raises:
        PersonaKitError: what makes any further poll pointless. `NotFound` means
            that the service does not have the job any more.
    """
    loop = asyncio.get_running_loop()
    end: asyncio.Future[None] = loop.create_future()
    job = poller.subscribe(job_id, source, end, latest=latest, age=age)
    alarm = None
    if deadline < math.inf:
        at = deadline - LAST_POLL
        alarm = loop.call_at(at, _poll_last, poller, job, end, deadline)
    try:
        await end
    finally:
        poller.unsubscribe(job, end)
        if alarm is not None:
            alarm.cancel()
    if job.error is not None:
        raise job.error
    return job


def _poll_last(
    poller: Poller, job: PolledJob, end: asyncio.Future[None], deadline: float
) -> None:
    """Have a job polled shortly before a deadline, then end the wait in time."""
    poller.refresh(job)
    alarm = end.get_loop().call_at(deadline, _expire, end)
    end.add_done_callback(lambda _: alarm.cancel())


def _expire(end: asyncio.Future[None]) -> None:
    with suppress(asyncio.InvalidStateError):  # the end came in the same moment
        end.set_result(None)
