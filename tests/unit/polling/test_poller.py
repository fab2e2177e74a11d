"""One scheduler reads every job until it ends, however many await it."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable
from contextlib import aclosing
from contextvars import ContextVar
from statistics import fmean

import attrs
import pytest

from personakit.errors import (
    AuthenticationError,
    InsufficientCredits,
    InvalidRequest,
    NotFound,
    PersonaKitError,
    RateLimited,
    ServiceUnavailable,
)
from personakit.models import JobState, Persona, Snapshot
from personakit.polling.durations import DurationStats, ProgressTrace
from personakit.polling.polled_job import EARLY_PATIENCE, KEPT, KEPT_FOR, PATIENCE
from personakit.polling.poller import Poller
from personakit.polling.schedule import Pace, PollContext
from personakit.polling.waiting import stream, wait_final
from personakit.ratelimit.limiter import IN_FLIGHT, LocalRateLimiter
from personakit.ratelimit.limits import Limit

PERSONA = Persona("p1", "evolink")
DONE = Snapshot("j1", JobState.COMPLETED, "completed", result=PERSONA)
QUEUED = Snapshot("j1", JobState.QUEUED, "pending")


class Rare(Pace):
    """Looks after every 50 seconds."""

    def pause(self, _: PollContext) -> float:
        return 50.0


STEADY = Pace(shortest=1.0, longest=1.0)
BUSY = ServiceUnavailable("busy", retry_safe=True)


def running(progress: float) -> Snapshot[Persona]:
    """Make a poll of a job under way."""
    return Snapshot("j1", JobState.RUNNING, "processing", progress=progress)


class Reads:
    """A reader of single jobs, by a function."""

    expects_callback = False

    def __init__(self, read, *, kind: str = "", at_once: int = 1):
        self.poll = read
        self.kind = kind
        self.at_once = at_once


class Service:
    """Answers polls from a script, by the time or by the number of the poll."""

    kind = ""
    expects_callback = False
    at_once = 1

    def __init__(self, *steps: object, at: Callable[[float], object] | None = None):
        self.steps = list(steps)
        self.at = at
        self.times: list[float] = []

    async def poll(self, _) -> Snapshot[Persona]:
        now = asyncio.get_running_loop().time()
        self.times.append(now)
        step = self.at(now) if self.at else self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, Snapshot)
        return step


async def wait(poller, service, *, latest=None, age=0.0, job_id="j1", every=0.0):
    """Follow a job to its end and return all that was yielded."""
    snapshots = stream(poller, job_id, service, latest=latest, age=age, every=every)
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
    """A hundred who await one job cost one poll at a time."""
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
    """Failed polls delay the result and do not lose it."""
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
    """Patience counts from the first failure after a good poll."""

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
    """A Retry-After puts off the next poll."""
    slow_down = RateLimited("slow down", retry_safe=True, retry_after=42.0)
    service = Service(slow_down, DONE)
    await wait(Poller(STEADY), service)

    assert service.times == [0, 42]


@pytest.mark.parametrize(
    "error", [AuthenticationError("wrong key"), ZeroDivisionError("a bug")]
)
async def test_final_error_reaches_every_waiter(error):
    """What no further poll can mend ends all waits at once, bugs included."""
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
    """A poll that steps back to queued keeps the running state."""
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
    """When the last waiter leaves, no further poll is started."""
    poller, service = Poller(STEADY), Service(at=lambda _: QUEUED)
    waiting = asyncio.create_task(wait(poller, service))
    await asyncio.sleep(2.5)
    waiting.cancel()
    await asyncio.sleep(1000)

    assert service.times == [0, 1, 2]
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
    """A stale due time of an earlier wait starts no poll of its own."""
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
    """No more polls run at the same time than allowed, and all jobs end."""
    poller, at_once, most = Poller(STEADY), 0, 0

    def service(job_id: str):
        async def read(_) -> Snapshot[Persona]:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.5)
            at_once -= 1
            return Snapshot(job_id, JobState.COMPLETED, "completed", result=PERSONA)

        return read

    async def end_of(job_id: str) -> Snapshot[Persona]:
        snapshots = stream(poller, job_id, Reads(service(job_id)), latest=None, age=0)
        return [snapshot async for snapshot in snapshots][-1]

    jobs = [f"j{number}" for number in range(3 * IN_FLIGHT)]
    ends = await asyncio.gather(*map(end_of, jobs))

    assert [end.job_id for end in ends] == jobs
    assert most == IN_FLIGHT
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

    async def hang(_) -> Snapshot[Persona]:
        await asyncio.sleep(1000)
        return DONE

    poll = asyncio.create_task(
        anext(stream(poller, "j1", Reads(hang), latest=None, age=0))
    )
    planned = stream(poller, "j2", Reads(hang), latest=QUEUED, age=0)
    await anext(planned)
    waiting = asyncio.create_task(anext(planned))
    await asyncio.sleep(0.5)
    await poller.aclose()
    ends = await asyncio.gather(poll, waiting, return_exceptions=True)

    assert [type(end) for end in ends] == [PersonaKitError, PersonaKitError]
    assert "closed" in str(ends[0])
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closing_an_idle_poller_is_harmless():
    """A poller that never read anything closes."""
    assert await Poller(STEADY).aclose() is None


async def test_report_wakes_the_reading():
    """A callback has the job read at once, not at its next due time."""
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
    """What a poll may have come too early for is read again soon."""
    service = Service(running(0.5), DONE)
    poller = Poller(Rare(shortest=1))
    asyncio.get_running_loop().call_later(51, poller.wake, "j1")

    async def read(_) -> Snapshot[Persona]:
        snapshot = await service.poll("")
        await asyncio.sleep(2)
        return snapshot

    async with aclosing(
        stream(poller, "j1", Reads(read), latest=QUEUED, age=0)
    ) as snapshots:
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
    duration_stats = DurationStats()
    costs: list[float] = []
    for number in range(40):
        poller = Poller(Pace(), duration_stats)
        began = asyncio.get_running_loop().time()
        end = began + seconds

        def answer(now: float, end: float = end) -> Snapshot[Persona]:
            return DONE if now >= end else running(0.05)

        service = Service(at=answer)
        snapshots = stream(
            poller,
            f"j{number}",
            Reads(service.poll, kind="music"),
            latest=QUEUED,
            age=0,
        )
        async with aclosing(snapshots):
            seen = [one async for one in snapshots]
        assert seen[-1] == DONE
        costs.append(service.times[-1] - end + 0.1 * len(service.times))

    assert fmean(costs[-10:]) < 0.7 * fmean(costs[:2])


async def test_job_taken_up_late_teaches_nothing():
    """An end that may lie anywhere in a long break is no experience."""
    duration_stats = DurationStats()
    poller = Poller(Pace(), duration_stats)
    snapshots = stream(poller, "j1", Service(DONE), latest=None, age=9000)
    async with aclosing(snapshots):
        assert [one async for one in snapshots] == [DONE]

    assert duration_stats.estimate(
        "", estimate=None, untold=30, trace=ProgressTrace()
    ).median == (pytest.approx(30))


class Fleet:
    """Jobs that end at times of their own, read singly or together."""

    kind, expects_callback = "", False

    def __init__(
        self, ends: dict[str, float], *, at_once: int = 1, missing=(), bare=()
    ):
        self.ends, self.at_once = ends, at_once
        self.missing, self.bare = set(missing), set(bare)
        self.down = (math.inf, math.inf)
        self.singly: list[tuple[float, str]] = []
        self.batch_support: list[tuple[float, list[str]]] = []

    def notify(self, job_id: str) -> Snapshot[Persona]:
        now = asyncio.get_running_loop().time()
        if self.down[0] <= now < self.down[1]:
            raise BUSY
        is_done = now >= self.ends[job_id]
        state = JobState.COMPLETED if is_done else JobState.RUNNING
        return Snapshot(job_id, state, state, result=PERSONA if is_done else None)

    async def poll(self, polled) -> Snapshot[Persona]:
        self.singly.append((asyncio.get_running_loop().time(), polled.job_id))
        return self.notify(polled.job_id)

    async def poll_many(self, job_ids):
        self.batch_support.append((asyncio.get_running_loop().time(), list(job_ids)))
        told = {job_id: self.notify(job_id) for job_id in job_ids}
        for job_id in self.bare & told.keys():
            told[job_id] = attrs.evolve(told[job_id], result=None)
        return {
            job_id: one for job_id, one in told.items() if job_id not in self.missing
        }

    async def end_all(self, poller) -> list[Snapshot[Persona] | None]:
        waits = (
            wait_final(
                poller,
                job_id,
                self,
                latest=Snapshot(job_id, JobState.QUEUED, "pending"),
                age=0.0,
                deadline=math.inf,
            )
            for job_id in self.ends
        )
        return [polled.snapshot for polled in await asyncio.gather(*waits)]


async def test_due_jobs_are_read_together():
    """Those due at one tick share requests of the size that the service takes."""
    fleet = Fleet({f"j{n}": 1.5 for n in range(120)}, at_once=50)
    ends = await fleet.end_all(Poller(STEADY))

    assert {end.result for end in ends} == {PERSONA}
    assert [(at, len(ids)) for at, ids in fleet.batch_support] == [
        (at, size) for at in (1, 2) for size in (50, 50, 20)
    ]
    assert fleet.singly == []


async def test_what_a_joint_reading_lacks_is_read_by_itself():
    """Missing jobs, and ends without a result, are read singly, at once."""
    fleet = Fleet({"a": 1.5, "b": 1.5, "c": 1.5}, at_once=50, missing=["a"], bare=["b"])
    ends = await fleet.end_all(Poller(STEADY))

    assert {end.result for end in ends} == {PERSONA}
    assert sorted((round(at), name) for at, name in fleet.singly) == [
        (1, "a"), (2, "a"), (2, "b"),
    ]  # fmt: skip


async def test_joint_reading_goes_on_after_weather():
    """After a failure one job is read singly and the rest together again."""
    fleet = Fleet({f"j{n}": 9.5 for n in range(10)}, at_once=50)
    fleet.down = (0.5, 1.5)
    await fleet.end_all(Poller(STEADY))

    assert [name for _, name in fleet.singly] == ["j0"]
    assert [len(ids) for _, ids in fleet.batch_support] == [10, 9] + [10] * 8


async def test_outage_brings_no_more_requests():
    """A minute without any answer: hardly more requests than without, and all end."""
    chance = random.Random(1)
    ends = {f"j{n}": 60 * chance.lognormvariate(0, 0.45) for n in range(1000)}
    healthy, ill = Fleet(ends), Fleet({name: 300 + end for name, end in ends.items()})
    await healthy.end_all(Poller(Pace()))
    began = asyncio.get_running_loop().time()
    ill.ends = {name: began + end for name, end in ends.items()}
    ill.down = (began + 20, began + 80)
    settled = await ill.end_all(Poller(Pace()))

    assert {end.result for end in settled} == {PERSONA}
    rates = [
        sum(20 <= at - start < 80 for at, _ in fleet.singly)
        for fleet, start in ((healthy, 0), (ill, began))
    ]
    assert 0 < rates[1] <= 1.1 * rates[0]


async def test_scarce_reads_go_to_those_likely_done():
    """With few reads to be had each gets dearer: two reads a job, not a dozen."""
    chance = random.Random(1)
    limiter = LocalRateLimiter(Limit(10, 10))
    fleet = Fleet({f"j{n}": 60 * chance.lognormvariate(0, 0.45) for n in range(300)})
    await fleet.end_all(Poller(Pace(), limiter=limiter))

    assert len(fleet.singly) < 1.6 * len(fleet.ends)
    assert asyncio.get_running_loop().time() < 1.6 * len(fleet.ends)


async def test_scarcity_is_soon_forgotten():
    """A few minutes after a rush a single job is read as if there had been none."""
    poller = Poller(Pace(), limiter=LocalRateLimiter(Limit(10, 10)))
    rush = Fleet({f"j{n}": 60.0 for n in range(300)})
    await rush.end_all(poller)
    await asyncio.sleep(200)
    end = asyncio.get_running_loop().time() + 60
    single = Fleet({"alone": end})
    await single.end_all(poller)

    assert asyncio.get_running_loop().time() < end + 5
    assert len(single.singly) > 3


async def test_who_comes_back_while_another_reading_ends_is_not_forgotten():
    """The poll of a wait that was left does not end the wait that came after."""
    poller, fleet = Poller(STEADY), Fleet({"a": 5.5, "b": 2.5}, at_once=50)
    gate = asyncio.Event()
    poll_many = fleet.poll_many

    async def slow(job_ids):
        told = await poll_many(job_ids)
        await gate.wait()
        return told

    fleet.poll_many = slow
    first = asyncio.create_task(fleet.end_all(poller))
    await asyncio.sleep(3.5)
    first.cancel()
    await asyncio.sleep(0)
    second = asyncio.create_task(fleet.end_all(poller))
    await asyncio.sleep(0)
    gate.set()

    assert [end.result for end in await second] == [PERSONA, PERSONA]


async def test_closing_leaves_no_place_taken():
    """A poller that waits for its turn in the rate limiter closes with the client."""
    limiter = LocalRateLimiter(Limit(1, 1000))
    poller = Poller(STEADY, limiter=limiter)
    fleet = Fleet({"a": 2000, "b": 2000, "c": 2000})
    waiting = asyncio.create_task(fleet.end_all(poller))
    await asyncio.sleep(5)
    await limiter.aclose()
    await poller.aclose()
    with pytest.raises(PersonaKitError, match="closed"):
        await waiting

    assert len(fleet.singly) == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_turn_that_nobody_needs_is_given_back():
    """When all leave while the rate limiter is full, its next place stays free."""
    limiter = LocalRateLimiter(Limit(1, 10))
    poller = Poller(STEADY, limiter=limiter)
    waiting = asyncio.create_task(Fleet({"a": 99, "b": 99}).end_all(poller))
    await asyncio.sleep(2)
    waiting.cancel()
    await asyncio.sleep(20)

    assert limiter.try_acquire()


async def wait_briefly(poller, service, seconds, *, job_id="j1", latest=QUEUED, age=0):
    """Wait for a job again and again; return when its end was noticed."""
    loop = asyncio.get_running_loop()
    while True:
        deadline = loop.time() + seconds
        polled = await wait_final(
            poller,
            job_id,
            service,
            latest=latest,
            age=age + loop.time(),
            deadline=deadline,
        )
        if polled.snapshot is not None and polled.snapshot.state.is_final:
            return loop.time()
        assert loop.time() <= deadline + 0.001


@pytest.mark.parametrize("timeout", [0.05, 0.3, 2.0])
async def test_short_waits_continue_one_plan(timeout):
    """Waits of two seconds, one after another, see the end as soon as a long one."""
    service = Service(at=lambda now: DONE if now >= 5 else QUEUED)
    noticed = await wait_briefly(Poller(Pace()), service, timeout)

    assert 5 <= noticed <= 7
    assert len(service.times) <= 4


async def test_plan_is_not_used_up_while_nobody_waits():
    """Between two waits nothing is read; a poll that came due is made up for."""
    service = Service(at=lambda now: DONE if now >= 40 else QUEUED)
    poller, loop = Poller(Rare()), asyncio.get_running_loop()
    waiting = asyncio.create_task(wait(poller, service, latest=QUEUED))
    await asyncio.sleep(1)
    waiting.cancel()
    await asyncio.sleep(99)
    read_meanwhile = service.times.copy()

    assert await wait(poller, service, latest=QUEUED) == [QUEUED, DONE]
    assert read_meanwhile == []
    assert service.times == [pytest.approx(100, abs=0.11)]
    assert loop.time() < 100.2


async def test_poll_that_outlasts_its_wait_serves_the_next():
    """Where answers take longer than each wait, the end is noticed all the same."""
    polls = 0

    async def read(_) -> Snapshot[Persona]:
        nonlocal polls
        polls += 1
        await asyncio.sleep(3)
        return DONE

    noticed = await wait_briefly(Poller(STEADY), Reads(read), 0.5, latest=None)

    assert noticed <= 3.6
    assert polls == 1


async def test_report_between_two_waits_is_kept():
    """A job that was reported while nobody waited is read by the next wait at once."""
    poller, service = Poller(Rare()), Service(DONE)
    waiting = asyncio.create_task(wait(poller, service, latest=QUEUED))
    await asyncio.sleep(1)
    waiting.cancel()
    await asyncio.sleep(1)
    poller.wake("j1")
    await asyncio.sleep(1)
    await wait(poller, service, latest=QUEUED)

    assert service.times == [pytest.approx(3, abs=0.11)]


async def test_plans_of_old_waits_are_few():
    """However many jobs are left, few plans are kept, and none for long."""
    poller, service = Poller(Rare()), Service()

    def leave(number: int) -> None:
        job_id = f"j{number}"
        end = asyncio.get_running_loop().create_future()
        polled = poller.subscribe(job_id, service, end, latest=QUEUED, age=0)
        poller.unsubscribe(polled, end)

    for number in range(KEPT + 500):
        leave(number)
    many = len(poller._kept._jobs)
    await asyncio.sleep(KEPT_FOR)
    leave(-1)

    assert many == KEPT
    assert len(poller._kept._jobs) == 1


async def test_error_while_nobody_waits_is_no_news():
    """A poll that failed for good after the last waiter left is made again."""
    fails = [AuthenticationError("wrong key")]

    async def read(_) -> Snapshot[Persona]:
        await asyncio.sleep(1)
        if fails:
            raise fails.pop()
        return DONE

    poller, reads = Poller(STEADY), Reads(read)
    waiting = asyncio.create_task(wait(poller, reads))
    await asyncio.sleep(0.5)
    waiting.cancel()
    await asyncio.sleep(5)
    poller.wake("j1")

    assert await wait(poller, reads) == [DONE]


async def test_break_between_waits_is_no_outage():
    """One failure before and one after a long break do not end the wait."""
    service = Service(BUSY, BUSY, DONE)
    poller = Poller(STEADY)
    waiting = asyncio.create_task(wait(poller, service))
    await asyncio.sleep(0.5)
    waiting.cancel()
    await asyncio.sleep(500)

    assert await wait(poller, service) == [DONE]


async def test_absurd_estimate_blinds_nobody():
    """An estimate in milliseconds costs less than a minute."""
    service = Service(at=lambda now: DONE if now >= 20 else QUEUED)
    told = attrs.evolve(QUEUED, estimated_time=60_000.0)
    await wait(Poller(Pace()), service, latest=told)

    assert asyncio.get_running_loop().time() <= 60
    assert len(service.times) <= 3


@pytest.mark.parametrize(("timeout", "reads"), [(12.0, 1), (2.0, 0), (0.5, 0)])
async def test_last_poll_before_the_deadline(timeout, reads):
    """A job is polled shortly before the deadline unless it is known well enough."""
    service = Service(at=lambda now: DONE if now >= 10 else QUEUED)
    polled = await wait_final(
        Poller(Rare()), "j1", service, latest=QUEUED, age=0.0, deadline=timeout
    )

    assert len(service.times) == reads
    assert polled.snapshot == (DONE if reads else QUEUED)
    assert polled.last_error is None


async def test_last_poll_respects_a_retry_after():
    """A service that asked for a pause gets it, and the wait knows why it failed."""
    refused = ServiceUnavailable("busy", retry_safe=True, retry_after=50.0)
    service = Service(at=lambda _: refused)
    polled = await wait_final(
        Poller(STEADY), "j1", service, latest=None, age=0.0, deadline=20.0
    )

    assert service.times == [0]
    assert polled.last_error is refused


async def test_last_poll_after_a_failure():
    """A failed poll of long ago is repeated before the deadline."""
    service = Service(BUSY, DONE)
    polled = await wait_final(
        Poller(Rare(longest=60)), "j1", service, latest=None, age=0.0, deadline=20.0
    )

    assert service.times == [0, 19]
    assert polled.snapshot == DONE


async def test_cancelled_reading_strands_nobody():
    """A poll that somebody cancels from outside is made again."""
    started = asyncio.Event()
    polls = 0

    async def read(_) -> Snapshot[Persona]:
        nonlocal polls
        polls += 1
        started.set()
        await asyncio.sleep(1)
        return DONE

    waiting = asyncio.create_task(wait(Poller(STEADY), Reads(read)))
    await started.wait()
    for task in asyncio.all_tasks() - {waiting, asyncio.current_task()}:
        task.cancel()

    assert await waiting == [DONE]
    assert polls == 2


async def test_bug_in_a_listener_strands_nobody_else():
    """A listener that raises ends the wait with its error; the poller goes on."""
    poller, fleet = Poller(STEADY), Fleet({"a": 1.5, "b": 2.5}, at_once=50)
    calls = 0

    def fail(_) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ZeroDivisionError

    polled = poller.subscribe("a", fleet, fail, latest=QUEUED, age=0.0)
    other = await wait_final(
        poller, "b", fleet, latest=QUEUED, age=0.0, deadline=math.inf
    )

    assert isinstance(polled.error, ZeroDivisionError)
    assert other.snapshot.result == PERSONA


@pytest.mark.parametrize("latest", [QUEUED, None], ids=["reported", "unknown"])
async def test_reported_and_unknown_jobs_are_read_first(latest):
    """Among 400 due jobs a reported one, or one never read, does not wait its turn."""
    loop = asyncio.get_running_loop()
    poller = Poller(STEADY, limiter=LocalRateLimiter(Limit(2, 0.1)))
    crowd = Fleet({f"j{n}": 1e9 for n in range(400)})
    waiting = asyncio.create_task(crowd.end_all(poller))
    await asyncio.sleep(30)
    service = Service(at=lambda _: DONE)
    single = asyncio.create_task(wait(poller, service, job_id="single", latest=latest))
    if latest is not None:
        await asyncio.sleep(5)
    began = loop.time()
    poller.wake("single" if latest else "another")
    await single
    waiting.cancel()

    assert loop.time() - began <= 0.31


async def test_report_about_an_ended_or_unknown_job_is_harmless():
    """A late report, or one about a job of others, starts nothing."""
    poller, service = Poller(STEADY), Service(DONE)

    async def read(_) -> Snapshot[Persona]:
        await asyncio.sleep(1)
        return await service.poll("")

    waiting = asyncio.create_task(wait(poller, Reads(read)))
    await asyncio.sleep(0.5)
    waiting.cancel()
    await asyncio.sleep(1)
    poller.wake("j1")
    await asyncio.sleep(5)

    assert len(service.times) == 1


async def test_forgotten_job_is_gone_within_half_a_minute():
    """A job that the service does not know ends its wait in time, as NotFound."""
    service = Service(at=lambda _: NotFound("none", status=404))
    with pytest.raises(NotFound):
        await wait(Poller(Pace()), service, age=5000.0)

    assert asyncio.get_running_loop().time() == pytest.approx(EARLY_PATIENCE, abs=0.2)
    assert len(service.times) >= 4


async def test_forgotten_job_is_gone_even_for_short_waits():
    """Patience with a missing job goes on from wait to wait."""
    service = Service(at=lambda _: NotFound("none", status=404))
    with pytest.raises(NotFound):
        await wait_briefly(Poller(Pace()), service, 2.0, latest=None, age=5000.0)

    assert asyncio.get_running_loop().time() == pytest.approx(EARLY_PATIENCE, abs=0.2)


async def test_readings_do_not_run_in_a_caller_s_context():
    """A poll sees no context variable of whoever came first."""
    user = ContextVar("user", default="nobody")
    seen: list[str] = []

    async def read(_) -> Snapshot[Persona]:
        seen.append(user.get())
        return DONE

    user.set("Alice")
    await wait(Poller(STEADY), Reads(read))
    await wait(Poller(STEADY), Reads(read), latest=QUEUED)

    assert seen == ["nobody", "nobody"]


async def test_refusals_by_the_limit_are_no_outage():
    """A job whose polls are refused for long, while others succeed, is waited for."""
    refused = RateLimited("slow down", retry_safe=True, status=429)
    service = Service(at=lambda now: DONE if now > 3 * PATIENCE else refused)

    assert await wait(Poller(STEADY, limiter=LocalRateLimiter(Limit())), service) == [
        DONE
    ]


async def test_own_queue_is_no_outage():
    """Time that a poll waits for the account's limit does not count as failing."""
    limiter = LocalRateLimiter(Limit(1, 2 * PATIENCE))
    service = Service(BUSY, BUSY, DONE)

    assert await wait(Poller(STEADY, limiter=limiter), service) == [DONE]


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("bad", status=400, code="new"),
        InsufficientCredits("no credits", status=402),
        InvalidRequest("gone", status=410, code="new"),
        InvalidRequest("odd", status=422, code="new"),
        InvalidRequest("law", status=451, code="new"),
        ServiceUnavailable("bad certificate"),
    ],
    ids=lambda error: str(error.status),
)
async def test_odd_refusal_of_a_read_is_no_end(error):
    """What does not say that the job is gone is a failure like any other."""
    assert await wait(Poller(STEADY), Service(error, error, DONE)) == [DONE]
    service = Service(at=lambda _: error)
    began = asyncio.get_running_loop().time()
    with pytest.raises(type(error)):
        await wait(Poller(STEADY), service, job_id="j2")

    waited = asyncio.get_running_loop().time() - began
    assert waited == pytest.approx(PATIENCE, abs=11)


@pytest.mark.parametrize(
    "error", [InvalidRequest("job_id is of another form"), PersonaKitError("closed")]
)
async def test_poll_that_cannot_be_sent_ends_the_wait(error):
    """What this client refuses to send is not tried again."""
    service = Service(error)
    with pytest.raises(PersonaKitError) as caught:
        await wait(Poller(STEADY), service)

    assert caught.value is error
    assert service.times == [0]


async def test_one_long_retry_after_hides_nothing():
    """An hour of Retry-After on one read costs a minute, for this job and others."""
    hour = {"retry_safe": True, "retry_after": 3600.0}
    poller = Poller(STEADY, limiter=LocalRateLimiter(Limit()))
    services = [
        Service(ServiceUnavailable("maintenance", status=503, **hour), DONE),
        Service(RateLimited("slow down", status=429, **hour), DONE),
    ]
    waits = (wait(poller, s, job_id=f"j{n}") for n, s in enumerate(services))
    await asyncio.gather(*waits)

    assert asyncio.get_running_loop().time() <= 61


async def test_closing_twice_is_harmless_even_if_interrupted():
    """A close that was cancelled is finished by the next one."""
    poller, ended = Poller(STEADY), asyncio.Event()

    async def hang(_) -> Snapshot[Persona]:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(2)
            ended.set()
        return DONE

    waiting = asyncio.create_task(wait(poller, Reads(hang)))
    left = asyncio.create_task(wait(poller, Reads(hang), job_id="j2"))
    await asyncio.sleep(0.5)
    left.cancel()
    await asyncio.sleep(0)
    closing = asyncio.create_task(poller.aclose())
    await asyncio.sleep(1)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await poller.aclose()
    with pytest.raises(PersonaKitError, match="closed"):
        await waiting

    assert ended.is_set()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_end_seen_while_nobody_waited_comes_at_once():
    """The end that a late answer brought is there for the next wait, without a poll."""
    polls = 0

    async def read(_) -> Snapshot[Persona]:
        nonlocal polls
        polls += 1
        await asyncio.sleep(3)
        return DONE

    poller, reads = Poller(STEADY), Reads(read)
    for deadline in (1.0, 10.0):
        polled = await wait_final(
            poller, "j1", reads, latest=None, age=0.0, deadline=deadline
        )
        await asyncio.sleep(5)

    assert polled.snapshot == DONE
    assert polls == 1


async def test_jobs_of_two_kinds_are_not_read_together():
    """One request tells of jobs of one kind; the others keep their order."""
    poller = Poller(STEADY)
    one = Fleet({f"a{n}": 1.5 for n in range(3)}, at_once=50)
    two = Fleet({f"b{n}": 1.5 for n in range(3)}, at_once=50)
    waits = [
        wait_final(poller, name, fleet, latest=QUEUED, age=0.0, deadline=math.inf)
        for pair in zip(one.ends, two.ends, strict=True)
        for name, fleet in zip(pair, (one, two), strict=True)
    ]
    await asyncio.gather(*waits)

    assert [ids for _, ids in one.batch_support] == [["a0", "a1", "a2"]] * 2
    assert [ids for _, ids in two.batch_support] == [["b0", "b1", "b2"]] * 2
