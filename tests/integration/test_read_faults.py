"""The read matrix: whatever happens to a reading, the wait ends as it should."""

from __future__ import annotations

import asyncio
import logging

import pytest

from personakit import (
    AuthenticationError,
    MalformedAnswer,
    MusicRequest,
    NotFound,
    ServiceUnavailable,
    WaitTimeout,
)
from personakit.emulator import Fault
from personakit.polling.polled_job import EARLY_PATIENCE, PATIENCE

IDEA = MusicRequest(idea="a rainy night")

WEATHER = {
    "drop": Fault.drop(),
    "reset": Fault.reset(),
    "hang": Fault.hang(),
    "slow": Fault.slow(20),
    "cut body": Fault.cut(),
    "garbage": Fault.garbage(),
    "html": Fault.html(),
    "html 403": Fault.html(403),
    "html 502": Fault.html(502),
    "no json": Fault.text(b'{"id": "task-uni'),
    "empty": Fault.text(b""),
    "deep": Fault.text(b"[" * 100_000),
    "no status": Fault.patch({}, remove=("status",)),
    "status of wrong type": Fault.patch({"status": 7}),
    "another job": Fault.patch({"id": "task-unified-1-other"}),
    "unknown status": Fault.patch({"status": "dreaming"}),
    "completed without result": Fault.patch(
        {"status": "completed"}, remove=("result_data",)
    ),
    "completed with a wrong result": Fault.patch(
        {"status": "completed", "result_data": {"songs": [{"result_id": 7}]}}
    ),
    "progress of wrong type": Fault.patch({"progress": "half"}),
    "404 just after submit": Fault.status(404),
    **{
        str(status): Fault.status(status)
        for status in (408, 409, 425, 429, 500, 502, 503, 504, 520)
    },
    **{
        str(status): Fault.status(status, location="/elsewhere")
        for status in (301, 302, 303, 307, 308)
    },
    "429 with Retry-After": Fault.status(429, retry_after=30),
}


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, id=name) for name, fault in WEATHER.items()]
)
async def test_weather_never_ends_a_wait(kit, emulator, fault):
    """Three bad readings in a row delay the result, and are not fatal."""
    emulator.inject(fault, on="read", times=3)
    tracks = await kit.generate(idea="a rainy night")

    assert len(tracks) == 2
    assert emulator.count("submit") == 1


@pytest.mark.parametrize(
    "fault", [Fault.drop(), Fault.status(503), Fault.html(502)], ids=lambda f: f.name
)
async def test_outage_is_survived(kit, emulator, fault):
    """Thirty seconds without one good reading are survived."""
    job = await kit.submit(IDEA)
    await asyncio.sleep(25)
    emulator.inject(fault, on="read", seconds=30)
    tracks = await job

    assert len(tracks) == 2
    assert asyncio.get_running_loop().time() < 25 + 60 + 30


async def test_service_that_is_gone_ends_the_wait_after_patience(kit, emulator):
    """An outage without end is reported with the receipt, not waited for ever."""
    job = await kit.submit(IDEA)
    emulator.inject(Fault.status(503), on="read", times=None)
    with pytest.raises(ServiceUnavailable) as caught:
        await job

    waited = asyncio.get_running_loop().time()
    assert PATIENCE <= waited <= PATIENCE + 60
    assert (caught.value.charged, caught.value.retry_safe) == ("yes", False)
    assert caught.value.receipt == job.receipt


async def test_job_that_is_gone_is_believed_soon(kit, emulator):
    """A job that stays unknown is reported so."""
    job = await kit.submit(IDEA)
    emulator.inject(Fault.status(404), on="read", times=None)
    with pytest.raises(NotFound) as caught:
        await job

    assert asyncio.get_running_loop().time() <= 30 + EARLY_PATIENCE + 15
    assert caught.value.receipt == job.receipt


async def test_result_that_stays_malformed_names_its_place(kit, emulator):
    """A changed service is a clear error with the path, and the job can be found."""
    job = await kit.submit(IDEA)
    changed = {"status": "completed", "result_data": {"songs": [{"result_id": 7}]}}
    emulator.inject(Fault.patch(changed), on="read", times=None)
    with pytest.raises(MalformedAnswer) as caught:
        await job

    assert caught.value.path == "$.result_data.songs[0].result_id"
    assert caught.value.receipt == job.receipt


async def test_key_revoked_during_the_wait_ends_it_at_once(kit, emulator):
    """What patience cannot mend is raised, with the receipt for a better key."""
    job = await kit.submit(IDEA)
    emulator.inject(Fault.status(401), on="read")
    with pytest.raises(AuthenticationError) as caught:
        await job

    assert caught.value.charged == "yes"
    assert caught.value.receipt == job.receipt
    assert len(await job) == 2


async def test_unknown_state_is_named_when_time_is_up(kit, emulator, caplog):
    """A job stuck in an unknown state tells the word, in the log and in the error."""
    emulator.inject(Fault.patch({"status": "dreaming"}), on="read", times=None)
    with caplog.at_level(logging.WARNING, "personakit"):
        with pytest.raises(WaitTimeout, match="unknown state dreaming") as caught:
            await kit.generate(idea="a rainy night", timeout=200)

    assert caught.value.unknown_state == "dreaming"
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "fault",
    [Fault.drop(), Fault.status(500), Fault.html(), Fault.status(429, retry_after=3)],
    ids=lambda fault: fault.name,
)
async def test_balance_is_read_through_weather(kit, emulator, fault):
    """Reading the balance repeats too."""
    emulator.inject(fault, on="credits", times=2)
    balance = await kit.credits()

    assert balance.spendable == 1000


async def test_balance_without_answer_ends_in_time(kit, emulator):
    """Reading the balance ends at its deadline and names the service."""
    emulator.inject(Fault.status(503), on="credits", times=None)
    with pytest.raises(ServiceUnavailable) as caught:
        await kit.credits(timeout=20)

    assert asyncio.get_running_loop().time() <= 20.1
    assert caught.value.provider == "evolink"
    assert caught.value.receipt is None
