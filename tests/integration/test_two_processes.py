"""What two processes that share a journal may rely on."""

from __future__ import annotations

import asyncio
import signal

import pytest

from personakit.emulator import Fault
from personakit.polling.schedule import Pace
from personakit.ratelimit.limits import Limits
from tests.conftest import connect
from tests.processes import until, working
from tests.worker import LEASE, SONG

pytestmark = [pytest.mark.looptime(False), pytest.mark.timeout(30)]

QUICK = {"limits": Limits(), "pace": Pace(shortest=0.05, untold=0.2)}


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path):
    """Where the processes keep their common journal."""
    if request.param == "sqlite":
        return str(tmp_path / "jobs.db")
    return request.getfixturevalue("postgres").make_place()


async def bury(place: str) -> None:
    """Wait until a process that was killed is known to be dead.

    On one machine the system tells; in a database, only the end of the lease.
    """
    if place.startswith("postgresql:"):
        await asyncio.sleep(LEASE)


@pytest.mark.parametrize("delay", [0.0, 0.15])
async def test_key_from_two_processes_is_paid_once(service, place, delay):
    """M1: whoever comes second gets the job of the first, however close they come."""
    service.inject(Fault.slow(0.3), on="submit", times=None)
    async with working(service, place) as one, working(service, place) as two:
        for number in range(5):
            one.send("submit", key=f"order {number}")
            await asyncio.sleep(delay)
            two.send("submit", key=f"order {number}")
            first, second = await one.read(), await two.read()

            assert first == second == {"value": service.charges[number].job_id}
    assert len(service.charges) == 5


async def test_answer_under_way_is_waited_for(service, place):
    """M10: a key that is being sent right now is no lost answer to another process."""
    service.inject(Fault.slow(1.5), on="submit")
    async with working(service, place) as one, working(service, place) as two:
        one.send("submit", key="k")
        await until(lambda: service.count("submit"))
        second = await two.ask("submit", key="k")
        first = await one.read()

    assert first == second == {"value": service.charges[0].job_id}
    assert service.count("submit") == 1


async def test_crashes_in_a_row_pay_once_for_each_acceptance(service, place):
    """M2: an intent is sent once; after that each charge is agreed to.

    Five processes die in a row: after the intent, before the first byte, and three
    times right after the service has made the job.
    """
    refused = {"error": "InvalidRequest", "charged": "no"}
    async with working(service, place, dies=("Begin", "after")) as kit:
        assert await kit.ask("submit", key="k") is None
    await bury(place)
    async with working(service, place, dies=("Accept", "before")) as kit:
        assert await kit.ask("resubmit") is None
    await bury(place)
    assert len(service.charges) == 1
    for number in (2, 3):
        async with working(service, place, dies=("Accept", "before")) as kit:
            assert await kit.ask("resubmit") == refused
            assert await kit.ask("resubmit", accept=True) is None
        await bury(place)
        assert len(service.charges) == number
    async with working(service, place, dies=("Start", "after")) as kit:
        assert await kit.ask("resubmit", accept=True) is None
    await bury(place)
    assert len(service.charges) == 3
    async with working(service, place) as kit:
        assert await kit.ask("resubmit") == refused
        last = await kit.ask("resubmit", accept=True)
        again = await kit.ask("submit", key="k")

    assert last == again == {"value": service.charges[3].job_id}
    assert len(service.charges) == 4


async def test_lost_answer_after_a_crash_is_paid_once(service, place):
    """M2: an intent whose answer is lost when it is sent is not sent once more."""
    async with working(service, place, dies=("Begin", "after")) as kit:
        assert await kit.ask("submit") is None
    await bury(place)
    service.inject(Fault.drop(), on="submit")
    async with working(service, place) as kit:
        lost = await kit.ask("resubmit")
        again = await kit.ask("resubmit")

    assert lost == {"error": "OutcomeUnknown", "charged": "unknown"}
    assert again == {"error": "InvalidRequest", "charged": "no"}
    assert len(service.charges) == 1


async def test_process_that_dies_after_the_end_leaves_the_result(service, place):
    """M3: a result that was read, and not handed over, is resumed at once."""
    async with working(service, place, dies=("End", "after")) as kit:
        assert await kit.ask("generate") is None
        assert await kit.process.wait() == -signal.SIGKILL
    await bury(place)
    async with connect(service, journal=place, **QUICK) as kit:
        reads = service.count("read")
        [job] = [job async for job in kit.resume()]
        tracks = await job
        await asyncio.sleep(0.1)
        left = [job async for job in kit.resume()]

    assert {track.job_id for track in tracks} == {service.charges[0].job_id}
    assert service.count("read") == reads
    assert left == []


@pytest.mark.parametrize("days", [0, 40])
async def test_key_joins_the_first_job_for_good(service, tmp_path, days):
    """M7: no journal forgets a key, not even by one start with a wrong clock."""
    place = tmp_path / "jobs.db"
    async with connect(service, journal=place, **QUICK) as kit:
        await (job := await kit.submit(SONG, key="k"))
    async with working(service, place, days=days) as kit:
        later = await kit.ask("submit", key="k")
    async with connect(service, journal=place, **QUICK) as kit:
        again = await kit.submit(SONG, key="k")
        tracks = await again

    assert later == {"value": job.id}
    assert again.id == tracks[0].job_id == job.id
    assert len(service.charges) == 1


async def test_jobs_are_resumed_by_one_process_each(service, place):
    """Two living processes never work on the same job."""
    async with connect(service, journal=place, **QUICK) as kit:
        submitted = {(await kit.submit(SONG)).id for _ in range(6)}
    async with working(service, place) as one, working(service, place) as two:
        one.send("resume")
        two.send("resume")
        first, second = (await one.read())["value"], (await two.read())["value"]

    assert {*first, *second} == submitted
    assert len(first) + len(second) == 6


async def test_result_is_delivered_by_one_block(service, place):
    """Of two processes one has the block; the other learns that it was delivered."""
    async with working(service, place) as one, working(service, place) as two:
        async with connect(service, journal=place, **QUICK) as kit:
            job = await kit.submit(SONG)
        one.send("deliver", token=job.token, seconds=1.0)
        two.send("deliver", token=job.token, seconds=1.0)
        answers = [await one.read(), await two.read()]
        first = one if "inside" in answers[0] else two
        answers.append(await first.read())

    assert {"inside": job.id} in answers
    assert {"value": "delivered"} in answers
    assert {"error": "AlreadyDelivered", "job": job.id} in answers


async def test_process_that_dies_while_delivering_is_followed(service, place):
    """A result whose delivery was cut off is resumed, and delivered by another."""
    async with connect(service, journal=place, **QUICK) as kit:
        job = await kit.submit(SONG)
    async with working(service, place) as kit:
        kit.send("deliver", token=job.token, seconds=-1)
        assert await kit.read() == {"inside": job.id}
        assert await kit.read() is None
        assert await kit.process.wait() == -signal.SIGKILL
    await bury(place)
    async with connect(service, journal=place, **QUICK) as kit:
        reads = service.count("read")
        [again] = [job async for job in kit.resume()]
        async with again.deliver() as tracks:
            delivered = tracks[0].job_id
        left = [job async for job in kit.resume()]

    assert delivered == job.id
    assert service.count("read") == reads
    assert left == []
