"""The key is in the header of requests to the service, and nowhere else."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import traceback

import pytest

from personakit import MusicRequest, PersonaKitError
from personakit.emulator import Emulator, Fault
from tests.conftest import connect

KEY = "sk-canary-0123456789"
IDEA = MusicRequest(idea="a rainy night")

FAULTS = {
    "drop": Fault.drop(),
    "garbage": Fault.garbage(),
    "cut": Fault.cut(),
    "echo": Fault.text(f'{{"error": {{"message": "{KEY}"}}}}'.encode(), 401),
    "echo as code": Fault.text(f'{{"error": {{"code": "{KEY}"}}}}'.encode(), 400),
    "html": Fault.html(),
    "redirect": Fault.status(302, location=f"https://x.example/?key={KEY}"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_key_is_in_no_trace_of_an_error(fault, caplog):
    """Neither texts nor pickles, tracebacks, logs or tokens hold the key."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    async with Emulator(api_key=KEY) as emulator, connect(emulator) as kit:
        emulator.inject(fault, on="submit")
        with pytest.raises(PersonaKitError) as caught:
            await kit.submit(IDEA)
        error = caught.value
        seen = [
            str(error),
            repr(error),
            repr(error.args),
            json.dumps(error.__dict__, default=str),
            pickle.dumps(error).decode("latin-1"),
            "".join(traceback.format_exception(error)),
            repr(kit),
            repr(await kit._engines.here()),
            caplog.text,
            error.receipt.token if error.receipt else "",
        ]
        chain = error
        while (chain := chain.__cause__ or chain.__context__) is not None:
            seen.append(repr(chain) + str(chain))

    assert [place for place in seen if KEY in place] == []


async def test_key_is_in_no_trace_of_a_job(caplog):
    """Jobs, snapshots, tracks, receipts and logs hold no key either."""
    caplog.set_level(logging.DEBUG)
    async with Emulator(api_key=KEY) as emulator, connect(emulator) as kit:
        job = await kit.submit(IDEA)
        tracks = await job
        balance = await kit.credits()
        seen = repr((job, job.snapshot, tracks, balance, kit)) + job.token

    assert KEY not in seen + caplog.text


async def test_key_is_in_no_file_name_or_link(emulator, kit):
    """The media host is asked without a key, and the service is given it."""
    await kit.credits()

    assert [one.key_seen for one in emulator.exchanges] == [True]
