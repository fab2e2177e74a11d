"""Many jobs awaited by one task, in the order of their ends."""

from __future__ import annotations

import asyncio
import math

import pytest

from personakit import (
    JobFailed,
    MusicRequest,
    PersonaKitError,
    ServiceUnavailable,
    WaitTimeout,
)
from personakit.emulator import Emulator, Fault
from personakit.journal import SubmitState
from personakit.polling.schedule import Pace
from tests.conftest import connect
from tests.journals import open_states

IDEA = MusicRequest(idea="a rainy night")


async def collect(kit, jobs, **more):
    return [job async for job in kit.as_completed(jobs, **more)]


async def test_jobs_come_as_they_end(kit):
    """The one that ends first comes first, and its result is there at once."""
    first = await kit.submit(IDEA)
    await asyncio.sleep(20)
    second = await kit.submit(IDEA)
    done = await collect(kit, [second, first])
    now = asyncio.get_running_loop().time()

    assert done == [first, second]
    assert all(job.is_settled for job in done)
    assert len(await first) == len(await second) == 2
    assert asyncio.get_running_loop().time() == now


async def test_one_job_many_times(kit):
    """Handles of the same job all come, and cost one reading at a time."""
    job = await kit.submit(IDEA)
    twin = kit.attach(job.token)
    done = await collect(kit, [job, twin, job])

    assert done == [job, twin, job]
    assert await twin == await job


async def test_settled_jobs_come_at_once(kit, emulator):
    """What has ended before is not read again."""
    job = await kit.submit(IDEA)
    await job
    reads = emulator.count("read")

    assert await collect(kit, [job]) == [job]
    assert emulator.count("read") == reads


async def test_no_jobs(kit):
    """Nothing to await is no error."""
    assert await collect(kit, []) == []
    assert await collect(kit, [], timeout=math.inf) == []


async def test_failed_job_raises_when_awaited(kit, emulator):
    """A job that failed comes like the others; its error is its own."""
    emulator.inject(Fault.fails("service_error"), on="submit", times=1)
    failing = await kit.submit(IDEA)
    (job,) = await collect(kit, [failing])
    with pytest.raises(JobFailed):
        await job


async def test_lost_job_raises_when_awaited_and_may_be_awaited_again():
    """When readings end for good the error comes once; later the job is read again."""
    async with Emulator() as emulator, connect(emulator) as kit:
        job = await kit.submit(IDEA)
        emulator.inject(Fault.status(401), on="read", times=1)
        (same,) = await collect(kit, [job])
        with pytest.raises(PersonaKitError) as caught:
            await same

        assert caught.value.receipt == job.receipt
        assert caught.value.charged == "yes"
        assert len(await job) == 2


async def test_time_is_up(kit):
    """At the deadline the first of those still awaited is named; they run on."""
    jobs = [await kit.submit(IDEA) for _ in range(3)]
    with pytest.raises(WaitTimeout) as caught:
        await collect(kit, jobs, timeout=1.5)

    assert caught.value.receipt == jobs[0].receipt
    assert len(await collect(kit, jobs)) == 3


async def test_leaving_stops_the_readings(kit, emulator):
    """Who leaves the loop early leaves nothing behind."""
    jobs = [await kit.submit(IDEA) for _ in range(3)]
    async for job in kit.as_completed(jobs):
        assert job.is_settled
        break
    await asyncio.sleep(1)
    reads = emulator.count("read")
    await asyncio.sleep(1000)

    assert emulator.count("read") == reads


async def test_bug_of_a_reader_is_told_to_who_awaits(kit, monkeypatch):
    """What is no error of ours comes as it is, instead of a wait without end."""
    job = await kit.submit(IDEA)

    async def fail(*_):
        raise ZeroDivisionError

    with monkeypatch.context() as bad:
        bad.setattr("personakit.jobs.fetch.StatusFetcher.poll", fail)
        (same,) = await collect(kit, [job])
        with pytest.raises(ZeroDivisionError):
            await same
    assert len(await job) == 2


async def test_lost_job_tells_who_follows_it():
    """Who looks at the changes is told what makes further readings pointless."""
    async with Emulator() as emulator, connect(emulator) as kit:
        job = await kit.submit(IDEA)
        emulator.inject(Fault.status(401), on="read", times=1)
        with pytest.raises(PersonaKitError) as caught:
            async for _ in job.updates():
                pass

    assert caught.value.receipt == job.receipt


async def test_ends_are_written_down(kit):
    """A job that was seen to end is not open any more; awaiting it delivers it."""
    jobs = [await kit.submit(IDEA) for _ in range(20)]
    await collect(kit, jobs)
    states = {state for _, state in await open_states(kit)}
    await asyncio.gather(*jobs)

    assert states == {SubmitState.ENDED}
    assert [job async for job in kit.resume()] == []


async def test_deadline_brings_a_last_poll(emulator):
    """A job that ended just before the deadline comes, however rare the polls are."""
    async with connect(emulator, pace=Pace(shortest=900, longest=900)) as kit:
        job = await kit.submit(IDEA)
        done = await collect(kit, [job], timeout=300)

    assert done == [job]
    assert asyncio.get_running_loop().time() < 300


async def test_time_out_tells_why_the_last_poll_failed(kit, emulator):
    """The error of the last poll is part of the message, and the cause."""
    job = await kit.submit(IDEA)
    emulator.inject(Fault.status(503), on="read", times=None)
    with pytest.raises(WaitTimeout, match="The last poll failed") as batch:
        await collect(kit, [job], timeout=20)
    with pytest.raises(WaitTimeout, match="The last poll failed") as single:
        await job.result(timeout=20)

    assert isinstance(batch.value.__cause__, ServiceUnavailable)
    assert isinstance(single.value.__cause__, ServiceUnavailable)
