"""Waiting for the end of a job, or for each of its changes."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing

import pytest

from personakit.errors import AuthenticationError, ServiceUnavailable
from personakit.models import JobState, Persona, Snapshot
from personakit.polling.poller import Poller
from personakit.polling.schedule import Pace
from personakit.polling.waiting import stream, wait_final

DONE = Snapshot("j1", JobState.COMPLETED, "completed", result=Persona("p1", "evolink"))
QUEUED = Snapshot("j1", JobState.QUEUED, "pending")
STEADY = Pace(shortest=1.0, longest=1.0)


class Service:
    """Ends its job at some time, or with some error."""

    kind, expects_callback, at_once = "", False, 1

    def __init__(self, end: float, error: Exception | None = None):
        self.end, self.error, self.reads = end, error, 0

    async def poll(self, _) -> Snapshot[Persona]:
        self.reads += 1
        if asyncio.get_running_loop().time() < self.end:
            return QUEUED
        if self.error is not None:
            raise self.error
        return DONE


async def wait(poller, service, deadline=math.inf):
    polled = await wait_final(
        poller, "j1", service, latest=QUEUED, age=0.0, deadline=deadline
    )
    return polled.snapshot


async def test_end_is_awaited():
    """The final snapshot comes back, and then nothing is read."""
    poller, service = Poller(STEADY), Service(3)

    assert await wait(poller, service) == DONE
    assert service.reads == 3
    await poller.aclose()


async def test_deadline_gives_the_last_reading():
    """When time is up the last poll comes back, at that very time."""
    service = Service(99)

    assert await wait(Poller(STEADY), service, deadline=4.5) == QUEUED
    assert asyncio.get_running_loop().time() == pytest.approx(4.5)
    await asyncio.sleep(10)
    assert service.reads == 4


async def test_end_before_the_deadline_leaves_no_alarm():
    """The alarm is taken back."""
    assert await wait(Poller(STEADY), Service(2), deadline=50) == DONE
    assert asyncio.get_running_loop().time() < 3


async def test_error_is_raised():
    """What makes further polls pointless is raised."""
    with pytest.raises(AuthenticationError):
        await wait(Poller(STEADY), Service(2, AuthenticationError("wrong key")))


async def test_cancelled_wait_is_no_timeout():
    """Being cancelled remains that, and leaves a task that may wait again."""
    poller, service = Poller(STEADY), Service(5)

    async def insist():
        try:
            await wait(poller, service, deadline=100)
        except asyncio.CancelledError:
            return await wait(poller, service, deadline=3)

    task = asyncio.create_task(insist())
    await asyncio.sleep(1.5)
    task.cancel()

    assert await task == QUEUED
    assert asyncio.get_running_loop().time() == pytest.approx(3)


async def test_following_and_settling_share_readings():
    """However a job is awaited, it is read once at a time."""
    poller, service = Poller(STEADY), Service(3)

    async def see():
        snapshots = stream(poller, "j1", service, latest=QUEUED, age=0.0)
        async with aclosing(snapshots):
            return [one async for one in snapshots]

    seen, *ends = await asyncio.gather(
        see(), *(wait(poller, service) for _ in range(9))
    )

    assert seen == [QUEUED, DONE]
    assert ends == [DONE] * 9
    assert service.reads == 3


async def test_end_at_the_last_moment_counts():
    """A job that ends between the last poll and the deadline leaves no alarm behind."""
    service = Service(9.5)

    assert await wait(Poller(STEADY), service, deadline=10.5) == DONE
    assert asyncio.get_running_loop().time() == pytest.approx(10)
    await asyncio.sleep(10)


async def test_error_of_the_last_poll_is_told():
    """A wait that ends by its deadline tells why the last poll failed."""
    error = ServiceUnavailable("busy", retry_safe=True)
    polled = await wait_final(
        Poller(STEADY), "j1", Service(2, error), latest=QUEUED, age=0.0, deadline=5.0
    )

    assert polled.last_error is error
    assert polled.snapshot == QUEUED
