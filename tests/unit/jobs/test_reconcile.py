"""The job of a lost answer is found in the service's list, or left alone."""

from __future__ import annotations

import asyncio

import pytest

from personakit import MusicRequest, OutcomeUnknown
from personakit.emulator import Fault
from personakit.receipt import Receipt
from tests.conftest import connect

SONG = MusicRequest(lyrics="[Verse]\nBlue", style="jazz", title="Blue hour")
END = 200.0
"""Seconds after which every job has ended, so that the service tells its texts."""


async def lose(kit, emulator, *, processed: bool = True) -> Receipt:
    """Submit, and lose the answer, or the request already."""
    emulator.inject(Fault.drop(processed=processed), on="submit")
    with pytest.raises(OutcomeUnknown) as caught:
        await kit.submit(SONG)
    return caught.value.receipt


@pytest.mark.parametrize("is_abandoned", [False, True])
async def test_rival_keeps_a_job_from_being_bound(kit, emulator, is_abandoned):
    """A job that another open submit may have become is nobody's, even if it is alone.

    Also if the other one was abandoned: it may have been charged all the same.
    """
    charged = await lose(kit, emulator)
    never_sent = await lose(kit, emulator, processed=False)
    if is_abandoned:
        await kit.abandon(charged)
    await asyncio.sleep(END)

    assert await kit.reconcile(never_sent) is None
    assert await kit.reconcile(never_sent, by_time_alone=True) is None
    assert len(emulator.charges) == 1


async def test_job_of_another_record_is_no_candidate(kit, emulator):
    """A job that the journal knows, with the same texts, does not stand in the way."""
    known = await kit.submit(SONG)
    receipt = await lose(kit, emulator)
    await asyncio.sleep(END)
    job = await kit.reconcile(receipt)

    assert job is not None
    assert job.id == emulator.charges[1].job_id != known.id


async def test_list_is_read_to_its_end(kit, emulator, monkeypatch):
    """A match on the first page proves nothing while there are others."""
    monkeypatch.setattr("personakit.providers.evolink._PAGE", 1)
    receipt = await lose(kit, emulator)
    async with connect(emulator) as other:
        await other.submit(SONG)
    await asyncio.sleep(END)

    assert await kit.reconcile(receipt) is None
