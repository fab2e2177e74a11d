"""The key is in the header of requests to the service, and nowhere else."""

from __future__ import annotations

import asyncio
import copy
import faulthandler
import json
import logging
import pickle
import tempfile
import traceback
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from personakit import MusicRequest, PersonaKitError
from personakit.cli.main import cli
from personakit.emulator import Emulator, Fault
from personakit.polling.schedule import Pace
from tests.conftest import connect
from tests.contract.worlds import connect as connect_to
from tests.contract.worlds import seed

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


def read(path: Path) -> str:
    return path.read_bytes().decode("latin-1")


SECRET = "callback-canary-0123456789"
SERVICE_SECRET = "service-canary-0123456789"


@pytest.mark.looptime(False)
@pytest.mark.timeout(30)
async def test_secrets_are_in_nothing_that_a_full_run_leaves(tmp_path, caplog, capfd):
    """Key and secrets stand in none of the places where a whole run leaves traces."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    sinks: dict[str, str] = {}
    path = tmp_path / "jobs.db"
    options = {"journal": path, "pace": Pace(shortest=0.05, untold=0.2)}
    async with (
        Emulator(api_key=KEY, speed=200) as emulator,
        connect_to(emulator, "musicmint", **options) as kit,
    ):
        callbacks = kit.callbacks(
            public_url="https://app.example/hooks",
            secret=SECRET,
            service_secret=SERVICE_SECRET,
        )
        emulator.inject(Fault.drop(), on="submit")
        with pytest.raises(PersonaKitError) as caught:
            await kit.submit(IDEA)
        lost = caught.value
        song = await kit.sing(
            IDEA, voice_of=seed(emulator, "musicmint"), name="n", description="d"
        )
        file = await kit.download(song.tracks[0], tmp_path / "out")
        job = await kit.submit(IDEA)
        engine = await kit._here()
        address = callbacks.address(job.receipt, 1)
        status = await callbacks.receive("POST", address, [], b'{"task_id": "x"}')
        frames = traceback.TracebackException.from_exception(lost, capture_locals=True)
        sinks |= {
            "str of an error": str(lost),
            "repr of an error": repr(lost),
            "members of an error": json.dumps(lost.__dict__, default=str),
            "pickle of an error": pickle.dumps(lost).decode("latin-1"),
            "copy of an error": repr(copy.deepcopy(lost).__dict__),
            "traceback with locals": "".join(frames.format()),
            "chain": repr((lost.__cause__, lost.__context__)),
            "notes": repr(getattr(lost, "__notes__", ())),
            "receipt": repr(lost.receipt) + lost.receipt.token,
            "client": repr(kit) + str(kit),
            "engine": repr(engine) + repr(engine.transport) + repr(engine.poller),
            "dialect": repr(engine.provider) + str(attrs.asdict(engine.provider)),
            "journal": repr(engine.journal),
            "callbacks": repr(callbacks) + str(callbacks),
            "callback address": address,
            "answer to a report": repr(status),
            "job": repr(job) + job.token + repr(job.snapshot),
            "pending": repr(await kit.pending()),
            "personas": repr(await kit.personas.list()),
            "result": repr(song) + str(attrs.asdict(song)),
            "file name": str(file),
            "request": repr(kit._provider.build_submit(IDEA, callback_url=address)),
            "tasks": repr(asyncio.all_tasks()),
            "bodies on the wire": repr([one.body for one in emulator.exchanges]),
            "paths on the wire": repr([one.path for one in emulator.exchanges]),
            **{file.name: read(file) for file in sorted(tmp_path.glob("jobs.db*"))},
        }
        with tempfile.TemporaryFile() as dump:
            faulthandler.dump_traceback(dump)
            dump.seek(0)
            sinks["crash dump"] = dump.read().decode()
    shown = capfd.readouterr()
    command = ["pending", str(path), "--json"]
    listing = await asyncio.to_thread(CliRunner().invoke, cli, command)
    sinks |= {
        "log": caplog.text,
        "output": shown.out + shown.err,
        "command line": listing.output,
        "closed journal": read(path),
    }
    canaries = (KEY, SECRET, SERVICE_SECRET)

    assert len(sinks) >= 25
    assert {"jobs.db", "jobs.db-wal", "jobs.db-shm"} <= sinks.keys()
    assert [n for n, text in sinks.items() if any(c in text for c in canaries)] == []
    assert all(one.key_seen == (one.action != "download") for one in emulator.exchanges)
