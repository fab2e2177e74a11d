"""One scheduler reads every job until it ends, however many await it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from statistics import fmean

import pytest

from personakit.errors import (
    AuthenticationError,
    NotFound,
    PersonaKitError,
    RateLimited,
    ServiceUnavailable,
)
from personakit.history import History, Trace
from personakit.models import JobState, Persona, Snapshot
from personakit.pace import Pace, Sighting
from personakit.poller import EARLY_PATIENCE, PATIENCE, READINGS_AT_ONCE, Poller

PERSONA = Persona("p1", "evolink")
DONE = Snapshot("j1", JobState.COMPLETED, "completed", result=PERSONA)
QUEUED = Snapshot("j1", JobState.QUEUED, "pending")


class Rare(Pace):
    """Looks after every 50 seconds."""

    def pause(self, _: Sighting) -> float:
        return 50.0


STEADY = Pace(shortest=1.0, longest=1.0)
BUSY = ServiceUnavailable("busy", retry_safe=True)


def running(progress: float) -> Snapshot[Persona]:
    """Make a reading of a job under way."""
    return Snapshot("j1", JobState.RUNNING, "processing", progress=progress)


class Service:
    """Answers readings from a script, by the time or by the number of the reading."""

    def __init__(self, *steps: object, at: Callable[[float], object] | None = None):
        self.steps = list(steps)
        self.at = at
        self.times: list[float] = []

    async def read(self) -> Snapshot[Persona]:
        now = asyncio.get_running_loop().time()
        self.times.append(now)
        step = self.at(now) if self.at else self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, Snapshot)
        return step


async def wait(poller, service, *, latest=None, age=0.0, job_id="j1", every=0.0):
    """Follow a job to its end and return all that was yielded."""
    snapshots = poller.follow(job_id, service.read, latest=latest, age=age, every=every)
    async with aclosing(snapshots):
        return [snapshot async for snapshot in snapshots]


async def test_job_is_read_until_it_ends():
    """Every change is yielded, the final one last, and nothing is read after it."""
    service = Service(QUEUED, running(0.5), DONE)
    seen = await wait(Poller(STEADY), service)
    await asyncio.sleep(100)

    assert seen == [QUEUED, running(0.5), DONE]
    assert len(service.times) == 3


async def test_unknown_job_is_read_at_once_and_a_fresh_one_later():
    """A job found by its receipt is looked at now, a fresh one by the pace."""
    attached, fresh = Service(DONE), Service(DONE)
    await wait(Poller(Rare()), attached)
    await wait(Poller(Rare()), fresh, latest=QUEUED)

    assert attached.times == [0]
    assert fresh.times == [50]


async def test_same_snapshot_is_not_yielded_twice():
    """Only changes are yielded."""
    service = Service(running(0.1), running(0.1), running(0.2), running(0.2), DONE)
    seen = await wait(Poller(STEADY), service)

    assert seen == [running(0.1), running(0.2), DONE]


async def test_many_waiters_share_one_reading():
    """A hundred who await one job cost one reading at a time."""
    poller, service = Poller(STEADY), Service(QUEUED, running(0.5), DONE)
    results = await asyncio.gather(*(wait(poller, service) for _ in range(100)))

    assert {result[-1] for result in results} == {DONE}
    assert len(service.times) == 3


async def test_slow_consumer_gets_the_latest():
    """Who takes long misses what lies between, never the final snapshot."""
    service = Service(at=lambda now: DONE if now > 50 else running(round(now) / 100))
    seen = await wait(Poller(STEADY), service, every=20.4)

    assert seen == [running(0.0), running(0.2), running(0.4), DONE]


async def test_weather_only_delays():
    """Failed readings delay the result and do not lose it."""
    service = Service(QUEUED, BUSY, BUSY, BUSY, DONE)
    seen = await wait(Poller(STEADY), service)

    assert seen == [QUEUED, DONE]


async def test_outage_is_bounded_in_seconds():
    """Nothing but failures for as long as patience lasts ends the wait."""
    service = Service(at=lambda _: BUSY)
    with pytest.raises(ServiceUnavailable):
        await wait(Poller(STEADY), service)

    assert service.times[-1] == pytest.approx(PATIENCE, abs=1.1)


async def test_good_reading_renews_the_patience():
    """Patience counts from the first failure after a good reading."""

    def step(now: float) -> object:
        if now > 2.5 * PATIENCE:
            return DONE
        return running(now / 1000) if now % 100 < 1 else BUSY

    seen = await wait(Poller(STEADY), Service(at=step))

    assert seen[-1] == DONE


async def test_early_not_found_is_patient_but_less():
    """A missing job is doubted for a moment after a submit, then believed."""
    early = Service(NotFound("none"), NotFound("none"), DONE)
    seen = await wait(Poller(STEADY), early, latest=QUEUED)
    gone = Service(at=lambda _: NotFound("none"))
    with pytest.raises(NotFound):
        await wait(Poller(STEADY), gone, job_id="j2")

    assert seen == [QUEUED, DONE]
    assert gone.times[-1] - gone.times[0] == pytest.approx(EARLY_PATIENCE, abs=1.1)


async def test_not_found_after_an_outage_is_doubted_too():
    """Patience with a missing job begins with its first being missed."""

    def step(now: float) -> object:
        if now > 2 * EARLY_PATIENCE + 5:
            return DONE
        return NotFound("none") if now > 2 * EARLY_PATIENCE else BUSY

    assert await wait(Poller(STEADY), Service(at=step)) == [DONE]


async def test_service_decides_when_to_read_again():
    """A Retry-After puts off the next reading."""
    slow_down = RateLimited("slow down", retry_safe=True, retry_after=42.0)
    service = Service(slow_down, DONE)
    await wait(Poller(STEADY), service)

    assert service.times == [0, 42]


@pytest.mark.parametrize(
    "error", [AuthenticationError("wrong key"), ZeroDivisionError("a bug")]
)
async def test_final_error_reaches_every_waiter(error):
    """What no further reading can mend ends all waits at once, bugs included."""
    poller, service = Poller(STEADY), Service(error)
    waits = (wait(poller, service) for _ in range(3))
    ends = await asyncio.gather(*waits, return_exceptions=True)

    assert ends == [error] * 3
    assert service.times == [0]


async def test_after_an_error_a_new_wait_reads_anew():
    """An ended wait is no verdict on the job: the next one asks again."""
    poller, service = Poller(STEADY), Service(AuthenticationError("wrong key"), DONE)
    with pytest.raises(AuthenticationError):
        await wait(poller, service)

    assert await wait(poller, service) == [DONE]


async def test_state_never_steps_back():
    """A reading that steps back to queued keeps the running state."""
    back = Snapshot("j1", JobState.QUEUED, "pending", progress=0.6)
    service = Service(running(0.5), back, DONE)
    seen = await wait(Poller(STEADY), service)

    assert [snapshot.state for snapshot in seen] == ["running", "running", "completed"]
    assert seen[1].progress == 0.6


async def test_unknown_state_is_logged_once(caplog):
    """An unknown word of the service is logged once per word."""
    strange = Snapshot("j1", JobState.RUNNING, "dreaming", is_known_state=False)
    service = Service(strange, strange, QUEUED, strange, DONE)
    with caplog.at_level(logging.WARNING, "personakit"):
        await wait(Poller(STEADY), service)

    assert [record.getMessage() for record in caplog.records] == [
        "Unknown state 'dreaming' of a job: it counts as running"
    ]


async def test_without_waiters_nothing_is_read():
    """When the last waiter leaves, the readings stop, the one under way included."""
    poller = Poller(STEADY)
    started = asyncio.Event()
    ended: list[str] = []

    async def read() -> Snapshot[Persona]:
        started.set()
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("cancelled")
        return DONE

    task = asyncio.create_task(anext(poller.follow("j1", read, latest=None, age=0)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(1)

    assert ended == ["cancelled"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_waiter_that_leaves_takes_nothing_from_the_others():
    """One of two waiters leaving does not disturb the other."""
    poller, service = Poller(STEADY), Service(QUEUED, running(0.5), DONE)
    stays = asyncio.create_task(wait(poller, service))
    leaves = asyncio.create_task(wait(poller, service))
    await asyncio.sleep(1.5)
    leaves.cancel()

    assert (await stays)[-1] == DONE
    assert len(service.times) == 3


async def test_job_awaited_again_after_all_left_is_read_again():
    """A stale due time of an earlier wait starts no reading of its own."""
    poller, service = (
        Poller(STEADY),
        Service(at=lambda now: DONE if now > 9 else QUEUED),
    )
    first = asyncio.create_task(wait(poller, service, latest=QUEUED))
    await asyncio.sleep(0.5)
    first.cancel()
    await asyncio.sleep(0)
    await wait(poller, service, latest=QUEUED)

    gaps = [b - a for a, b in zip(service.times, service.times[1:], strict=False)]
    assert all(gap >= 0.99 for gap in gaps)


async def test_readings_at_once_are_bounded_and_nobody_starves():
    """No more readings run at the same time than allowed, and all jobs end."""
    poller, at_once, most = Poller(STEADY), 0, 0

    def service(job_id: str):
        async def read() -> Snapshot[Persona]:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.5)
            at_once -= 1
            return Snapshot(job_id, JobState.COMPLETED, "completed", result=PERSONA)

        return read

    async def end_of(job_id: str) -> Snapshot[Persona]:
        follow = poller.follow(job_id, service(job_id), latest=None, age=0)
        return [snapshot async for snapshot in follow][-1]

    jobs = [f"j{number}" for number in range(3 * READINGS_AT_ONCE)]
    ends = await asyncio.gather(*map(end_of, jobs))

    assert [end.job_id for end in ends] == jobs
    assert most == READINGS_AT_ONCE
    assert asyncio.get_running_loop().time() == pytest.approx(1.5, abs=0.1)


async def test_earlier_due_time_is_not_missed():
    """A job that is due sooner than those before it is read at its own time."""
    poller = Poller(Rare())
    late, soon = Service(DONE), Service(DONE)
    patient = Snapshot("j1", JobState.QUEUED, "pending", estimated_time=100.0)
    first = asyncio.create_task(wait(poller, late, latest=patient))
    await asyncio.sleep(1)
    await wait(poller, soon, job_id="j2")
    await first

    assert soon.times == [1]
    assert late.times == [50]


async def test_closing_ends_every_wait_and_leaves_nothing():
    """After closing all waits have ended, and no timer or task is left."""
    poller = Poller(STEADY)

    async def hang() -> Snapshot[Persona]:
        await asyncio.sleep(1000)
        return DONE

    reading = asyncio.create_task(anext(poller.follow("j1", hang, latest=None, age=0)))
    planned = poller.follow("j2", hang, latest=QUEUED, age=0)
    await anext(planned)
    waiting = asyncio.create_task(anext(planned))
    await asyncio.sleep(0.5)
    await poller.aclose()
    ends = await asyncio.gather(reading, waiting, return_exceptions=True)

    assert [type(end) for end in ends] == [PersonaKitError, PersonaKitError]
    assert "closed" in str(ends[0])
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closing_an_idle_poller_is_harmless():
    """A poller that never read anything closes."""
    assert await Poller(STEADY).aclose() is None


async def test_report_wakes_the_reading():
    """A report has the job read at once, not at its next due time."""
    service = Service(QUEUED, DONE)
    poller = Poller(Rare(shortest=1))
    loop = asyncio.get_running_loop()
    loop.call_later(10, poller.wake, "another job")
    loop.call_later(20, poller.wake, "j1")
    loop.call_later(20.2, poller.wake, "j1")
    seen = await wait(poller, service, latest=QUEUED)
    await poller.aclose()

    assert seen == [QUEUED, DONE]
    assert service.times == [20, 21]


async def test_report_during_a_reading_brings_another():
    """What a reading may have come too early for is read again soon."""
    service = Service(running(0.5), DONE)
    poller = Poller(Rare(shortest=1))
    asyncio.get_running_loop().call_later(51, poller.wake, "j1")

    async def read() -> Snapshot[Persona]:
        snapshot = await service.read()
        await asyncio.sleep(2)
        return snapshot

    async with aclosing(poller.follow("j1", read, latest=QUEUED, age=0)) as snapshots:
        seen = [one async for one in snapshots]
    await poller.aclose()

    assert seen[-1] == DONE
    assert service.times == [50, 53]


async def test_readings_gather_on_a_grid():
    """Jobs that come due at about the same time share one wake-up."""
    poller = Poller(Rare())
    services = [Service(DONE) for _ in range(20)]
    waits = []
    for number, service in enumerate(services):
        job_id = f"j{number}"
        waits.append(
            asyncio.create_task(wait(poller, service, job_id=job_id, latest=QUEUED))
        )
        await asyncio.sleep(0.004)
    await asyncio.gather(*waits)

    assert {round(service.times[0], 6) for service in services} == {50.0, 50.1}


@pytest.mark.parametrize("seconds", [10.0, 100.0])
async def test_durations_are_learned(seconds):
    """With experience the same job costs less, in reads and lag together."""
    history = History()
    costs: list[float] = []
    for number in range(40):
        poller = Poller(Pace(), history)
        began = asyncio.get_running_loop().time()
        end = began + seconds

        def answer(now: float, end: float = end) -> Snapshot[Persona]:
            return DONE if now >= end else running(0.05)

        service = Service(at=answer)
        snapshots = poller.follow(
            f"j{number}", service.read, latest=QUEUED, age=0, kind="music"
        )
        async with aclosing(snapshots):
            seen = [one async for one in snapshots]
        assert seen[-1] == DONE
        costs.append(service.times[-1] - end + 0.1 * len(service.times))

    assert fmean(costs[-10:]) < 0.7 * fmean(costs[:2])


async def test_job_taken_up_late_teaches_nothing():
    """An end that may lie anywhere in a long break is no experience."""
    history = History()
    poller = Poller(Pace(), history)
    snapshots = poller.follow("j1", Service(DONE).read, latest=None, age=9000, kind="k")
    async with aclosing(snapshots):
        assert [one async for one in snapshots] == [DONE]

    assert history.outlook("k", estimate=None, untold=30, trace=Trace()).median == (
        pytest.approx(30)
    )
