"""How tasks await what a poller reads: change by change, or the end alone."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import suppress

from personakit.models import Result, Snapshot
from personakit.poller import Poller
from personakit.watch import Reader, Watch

LAST_POLL = 1.0
"""Seconds before a deadline at which a job is polled once more."""


async def follow(
    poller: Poller,
    job_id: str,
    reader: Reader,
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
        reader: Reads it.
        latest: The last known reading; None looks at once.
        age: Seconds since it was submitted.
        every: Least seconds between two of the snapshots yielded.

    Raises:
        PersonaKitError: what makes any further reading pointless.
    """
    changed = asyncio.Event()

    def hear(_: Watch) -> None:
        changed.set()

    watch = poller.attend(job_id, reader, hear, latest=latest, age=age)
    seen: Snapshot[Result] | None = None
    try:
        while True:
            changed.clear()
            if watch.error is not None:
                raise watch.error
            if watch.snapshot is seen or watch.snapshot is None:
                await changed.wait()
                continue
            seen = watch.snapshot
            yield seen
            if seen.state.is_final:
                return
            await asyncio.sleep(every)
    finally:
        poller.leave(watch, hear)


async def settle(
    poller: Poller,
    job_id: str,
    reader: Reader,
    *,
    latest: Snapshot[Result] | None,
    age: float,
    deadline: float,
) -> Watch:
    """Wait for a job's final snapshot, or for the deadline.

    Shortly before the deadline the job is polled once more.

    Args:
        poller: Of the running loop.
        job_id: The job.
        reader: Reads it.
        latest: The last known reading; None looks at once.
        age: Seconds since it was submitted.
        deadline: Loop time; may be infinite.

    Returns:
        What is known of the job: ``snapshot``, which is final if the job ended in time,
        or else the last reading, None if there was none; ``trouble`` if the last poll
        failed.

    Raises:
        PersonaKitError: what makes any further reading pointless. `NotFound` means
            that the service does not have the job any more.
    """
    loop = asyncio.get_running_loop()
    end: asyncio.Future[None] = loop.create_future()
    watch = poller.attend(job_id, reader, end, latest=latest, age=age)
    alarm = None
    if deadline < math.inf:
        at = deadline - LAST_POLL
        alarm = loop.call_at(at, _poll_last, poller, watch, end, deadline)
    try:
        await end
    finally:
        poller.leave(watch, end)
        if alarm is not None:
            alarm.cancel()
    if watch.error is not None:
        raise watch.error
    return watch


def _poll_last(
    poller: Poller, watch: Watch, end: asyncio.Future[None], deadline: float
) -> None:
    """Have a job polled shortly before a deadline, then end the wait in time."""
    poller.refresh(watch)
    alarm = end.get_loop().call_at(deadline, _expire, end)
    end.add_done_callback(lambda _: alarm.cancel())


def _expire(end: asyncio.Future[None]) -> None:
    with suppress(asyncio.InvalidStateError):  # the end came in the same moment
        end.set_result(None)
