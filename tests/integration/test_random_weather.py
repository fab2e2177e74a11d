"""Many jobs at once through random faults and cancellations: the books balance."""

from __future__ import annotations

import asyncio
import random

import pytest

from personakit import OutcomeUnknown, PersonaKitError
from personakit.emulator import Fault
from personakit.journal import SubmitState
from tests.journals import open_states

JOBS = 25

SUBMIT_FAULTS = (
    *(
        make(processed=processed)
        for make in (Fault.drop, Fault.reset, Fault.hang, Fault.cut, Fault.garbage)
        for processed in (True, False)
    ),
    Fault.html(),
    Fault.slow(20),
    Fault.status(429, retry_after=3),
    Fault.status(429),
    Fault.status(425),
    Fault.status(402),
    Fault.status(500, processed=True),
    Fault.status(503),
    Fault.patch({}, remove=("id",)),
    Fault.fails("service_error"),
)
READ_FAULTS = (
    Fault.drop(),
    Fault.reset(),
    Fault.hang(),
    Fault.cut(),
    Fault.html(502),
    Fault.status(404),
    Fault.status(429, retry_after=5),
    Fault.status(503),
    Fault.patch({"status": "dreaming"}),
    Fault.patch({"status": "completed"}, remove=("result_data",)),
)


async def live(kit, dice: random.Random) -> object:
    """Ask for one song, perhaps lose interest in the middle, and tell what came."""
    await asyncio.sleep(dice.uniform(0, 120))
    call = asyncio.create_task(kit.generate(idea="a rainy night", timeout=600))
    if dice.random() < 0.3:
        await asyncio.wait({call}, timeout=dice.uniform(0, 60))
        call.cancel()
    [end] = await asyncio.gather(call, return_exceptions=True)
    return end


@pytest.mark.parametrize("seed", range(12))
async def test_books_balance(kit, emulator, seed):
    """Every charge is a result, a known failure, or a receipt; none is made twice."""
    dice = random.Random(seed)
    for _ in range(JOBS):
        emulator.inject(dice.choice(SUBMIT_FAULTS), on="submit")
        emulator.inject(dice.choice(READ_FAULTS), on="read", times=dice.randint(1, 4))
    ends = await asyncio.gather(*(live(kit, dice) for _ in range(JOBS)))
    await asyncio.sleep(300)

    assert all(
        isinstance(end, tuple | PersonaKitError | asyncio.CancelledError)
        for end in ends
    )
    finished = {end[0].job_id for end in ends if isinstance(end, tuple)}
    ended = {
        end.receipt.job_id
        for end in ends
        if isinstance(end, PersonaKitError) and end.receipt and end.receipt.job_id
    }
    unfinished = await open_states(kit)
    found = {
        receipt.job_id for receipt, mark in unfinished if mark is SubmitState.ACCEPTED
    }
    unknown = [receipt for receipt, mark in unfinished if mark is SubmitState.UNKNOWN]
    charged = {charge.job_id for charge in emulator.charges}
    raised = [end.receipt for end in ends if isinstance(end, OutcomeUnknown)]

    assert len(charged) == len(emulator.charges) <= JOBS
    assert len(charged - finished - ended - found) <= len(unknown)
    assert {receipt.key for receipt in raised} <= {one.key for one in unknown}
    assert {mark for _, mark in unfinished} <= {
        SubmitState.ACCEPTED,
        SubmitState.UNKNOWN,
    }


async def test_resumed_jobs_all_end(kit, emulator):
    """After the weather every job with an id is resumed to its end."""
    dice = random.Random(99)
    for _ in range(JOBS):
        emulator.inject(dice.choice(READ_FAULTS), on="read", times=2)
    calls = [asyncio.create_task(live(kit, dice)) for _ in range(JOBS)]
    await asyncio.sleep(60)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await asyncio.sleep(100)
    jobs = [job async for job in kit.resume()]
    results = await asyncio.gather(*jobs)

    assert jobs
    assert [len(result) for result in results] == [2] * len(jobs)
    assert await open_states(kit) == ()
