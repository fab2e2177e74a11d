"""Cancelling never tears a paid request, and leaves nothing open."""

from __future__ import annotations

import asyncio
import logging

import pytest

from personakit import MusicRequest, OutcomeUnknown, PersonaKitError
from personakit.emulator import Emulator, Fault
from personakit.jobs.engine import GRACE
from personakit.journal import SubmitState
from tests.conftest import connect
from tests.journals import open_states

IDEA = MusicRequest(idea="a rainy night")


def other_tasks(emulator: Emulator) -> set[asyncio.Task]:
    """Return the tasks that are neither the test's nor the emulator's."""
    mine = {asyncio.current_task(), *emulator._connections}
    return asyncio.all_tasks() - mine


@pytest.mark.parametrize("after", [None, 0, 0.001, 0.5, 5, 25, 30.01, 45, 50])
async def test_cancelled_call_leaves_a_receipt(emulator, after):
    """Wherever a call is cancelled, a job that was paid for is found again."""
    emulator.inject(Fault.slow(1), on="submit")
    async with connect(emulator) as kit:
        call = asyncio.create_task(kit.generate(idea="a rainy night"))
        if after is not None:
            await asyncio.sleep(after)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.sleep(2)
        jobs = [job async for job in kit.resume()]
        results = [await job for job in jobs]

        assert len(jobs) == len(emulator.charges)
        assert [len(result) for result in results] == [2] * len(jobs)
        assert [job async for job in kit.resume()] == []
    await asyncio.sleep(1)

    # A call that was cancelled before it handed its request over has nothing to find.
    assert len(emulator.charges) == (1 if after else 0)
    assert other_tasks(emulator) == set()
    assert emulator._connections == set()  # no socket of the client is open


async def test_cancelled_wait_stops_reading(kit, emulator):
    """When nobody waits any more, nothing is read and no task is left."""
    job = await kit.submit(IDEA)
    wait = asyncio.create_task(job.result())
    await asyncio.sleep(40)
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    reads = emulator.count("read")
    await asyncio.sleep(100)

    assert emulator.count("read") == reads
    assert other_tasks(emulator) == set()


async def test_breaking_out_of_updates_lets_the_job_run_on(kit, emulator):
    """Leaving the loop early stops the readings, not the job."""
    job = await kit.submit(IDEA)
    async for snapshot in job.updates():
        if snapshot.progress:
            break
    await asyncio.sleep(0.01)

    assert other_tasks(emulator) == set()
    assert len(await job) == 2


async def test_call_cancelled_between_two_attempts_pays_nothing(emulator, kit):
    """A call that waits for its next attempt is simply gone when cancelled."""
    emulator.inject(Fault.status(429, retry_after=60), on="submit")
    call = asyncio.create_task(kit.generate(idea="a rainy night"))
    await asyncio.sleep(30)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.sleep(100)

    assert emulator.count("submit") == 1
    assert emulator.charges == ()
    assert await open_states(kit) == ()


async def test_closing_waits_a_moment_for_a_paid_request(emulator):
    """A request under way when the client closes still learns its job id."""
    emulator.inject(Fault.slow(GRACE / 2), on="submit")
    kit = connect(emulator)
    call = asyncio.create_task(kit.submit(IDEA))
    await asyncio.sleep(0.1)
    call.cancel()
    await kit.aclose()

    [(receipt, mark)] = await open_states(kit)
    assert (receipt.job_id, mark) == (emulator.charges[0].job_id, SubmitState.ACCEPTED)


async def test_closing_does_not_wait_for_ever(emulator):
    """A request that hangs is given up after a moment; its outcome stays open."""
    emulator.inject(Fault.hang(), on="submit")
    kit = connect(emulator)
    call = asyncio.create_task(kit.submit(IDEA))
    await asyncio.sleep(0.1)
    await kit.aclose()
    with pytest.raises(OutcomeUnknown, match="client was closed") as caught:
        await call

    [(receipt, mark)] = await open_states(kit)
    assert (receipt.job_id, mark) == (None, SubmitState.UNKNOWN)
    assert caught.value.receipt == receipt
    assert asyncio.get_running_loop().time() == pytest.approx(GRACE + 0.1, abs=0.1)


async def test_closing_between_two_attempts_pays_nothing(emulator):
    """A call that waits for its next attempt when the client closes sends no more."""
    emulator.inject(Fault.status(429, retry_after=60), on="submit")
    kit = connect(emulator)
    call = asyncio.create_task(kit.submit(IDEA))
    await asyncio.sleep(30)
    await kit.aclose()
    with pytest.raises(PersonaKitError, match="client was closed before") as caught:
        await call

    assert caught.value.charged == "no"
    assert emulator.count("submit") == 1
    assert emulator.charges == ()


async def test_fate_of_an_orphaned_request_is_logged(kit, emulator, caplog):
    """When its caller is gone, a lost answer is told to the log with its receipt."""
    emulator.inject(Fault.hang(), on="submit")
    call = asyncio.create_task(kit.submit(IDEA))
    await asyncio.sleep(1)
    call.cancel()
    with caplog.at_level(logging.WARNING, "personakit"):
        await asyncio.sleep(200)

    [(receipt, mark)] = await open_states(kit)
    assert mark is SubmitState.UNKNOWN
    assert receipt.token in caplog.text
    assert [job async for job in kit.resume()] == []


async def test_closing_ends_waits(emulator):
    """Who still waits when the client closes gets an error with the receipt."""
    kit = connect(emulator)
    job = await kit.submit(IDEA)
    wait = asyncio.create_task(job.result())
    await asyncio.sleep(40)
    await kit.aclose()
    with pytest.raises(PersonaKitError, match="client was closed") as caught:
        await wait

    assert caught.value.receipt == job.receipt
    assert other_tasks(emulator) == set()
