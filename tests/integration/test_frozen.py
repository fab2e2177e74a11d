"""Clients whose process is stopped for longer than its lease, or forks."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from personakit import MusicRequest, OutcomeUnknown, PersonaKit
from personakit.emulator import Emulator, Fault
from personakit.journal import SqliteJournal, SubmitRecord, SubmitState
from tests.conftest import connect

pytestmark = [pytest.mark.looptime(False), pytest.mark.timeout(60)]

SONG = MusicRequest(idea="rain")
LEASE = 1.5
PROGRAM = """
import asyncio, os, signal, sys
from personakit import MusicRequest, OutcomeUnknown, PersonaKit, PersonaKitError
from personakit.journal import SqliteJournal
from personakit.journal.steps import Start

place, url, key, lease = sys.argv[1:5]

class Freezing(SqliteJournal):
    async def apply(self, account, step):
        verdict = await super().apply(account, step)
        if isinstance(step, Start) and not self.has_frozen:
            self.has_frozen = True
            self.freeze()
        return verdict

    def freeze(self, *_):
        with self._thread._using:  # not in a transaction, which would lock the file
            os.kill(os.getpid(), signal.SIGSTOP)

    has_frozen = FREEZES

def open_client():
    journal = Freezing(place, lease=float(lease))
    signal.signal(signal.SIGUSR1, journal.freeze)
    return PersonaKit("evolink", api_key=key, base_url=url, journal=journal)

async def submit(kit):
    job = await kit.submit(MusicRequest(idea="rain"), key="order 1", timeout=5)
    print(job.id, flush=True)

"""
FREEZE = """
async def main():
    async with open_client() as kit:
        print("ready", flush=True)
        try:
            await submit(kit)
        except PersonaKitError as error:
            print(type(error).__name__, error.charged, flush=True)

asyncio.run(main())
"""
FORK = """
import threading

async def main():
    async with open_client() as kit:
        await submit(kit)
        child = os.fork()
        if child == 0:
            thread = threading.Thread(target=asyncio.run, args=(work(kit),))
            thread.start()
            thread.join()
            os._exit(0)
        os.waitpid(child, 0)
        await submit(kit)

async def work(kit):
    await submit(kit)
    job = await kit.submit(MusicRequest(idea="snow"), key="order 2")
    print(job.id, flush=True)
    await kit.aclose()

asyncio.run(main())
"""


def start(
    service: Emulator, path: Path, program: str, *, freezes: bool = False
) -> subprocess.Popen[str]:
    text = PROGRAM.replace("FREEZES", str(not freezes)) + program
    words = [str(path), service.url("evolink"), service.api_key, str(LEASE)]
    return subprocess.Popen(
        [sys.executable, "-c", text, *words], stdout=subprocess.PIPE, text=True
    )


async def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).strip()


async def wait_for_pending(kit: PersonaKit) -> tuple[SubmitRecord, ...]:
    """Wait until the lease of the frozen process is over."""
    while True:
        if pending := await kit.pending():
            return pending
        await asyncio.sleep(0.05)


async def wait_for_submit(service: Emulator) -> None:
    """Wait until the paid request has reached the service."""
    while True:
        if service.count("submit"):
            return
        await asyncio.sleep(0.005)


async def test_process_frozen_before_its_first_byte_sends_nothing(service, tmp_path):
    """A lease that ran out meanwhile belongs to nobody: nothing is paid, none is lost.

    The other process says "unknown" and does not pay; the frozen one finds its lease
    over, and its own verdict, "not sent", settles the record.
    """
    path = tmp_path / "jobs.db"
    frozen = start(service, path, FREEZE, freezes=True)
    async with connect(service, journal=SqliteJournal(path)) as kit:
        assert await read_line(frozen) == "ready"
        pending = await wait_for_pending(kit)
        with pytest.raises(OutcomeUnknown):
            await kit.submit(SONG, key="order 1")
        charges = len(service.charges)
        frozen.send_signal(signal.SIGCONT)
        told = await read_line(frozen)
        await asyncio.to_thread(frozen.communicate)
        job = await kit.submit(SONG, key="order 1")

    assert [record.state for record in pending] == [SubmitState.UNKNOWN]
    assert charges == 0
    assert told in {job.id, "ServiceUnavailable no", "PersonaKitError no"}
    assert len(service.charges) == 1


async def test_process_frozen_with_its_request_under_way(service, tmp_path):
    """The answer that it reads late is kept, and nobody pays a second time."""
    path = tmp_path / "jobs.db"
    service.inject(Fault.slow(0.5), on="submit")
    sending = start(service, path, FREEZE)
    async with connect(service, journal=SqliteJournal(path)) as kit:
        assert await read_line(sending) == "ready"
        await wait_for_submit(service)
        sending.send_signal(signal.SIGUSR1)
        await wait_for_pending(kit)
        with pytest.raises(OutcomeUnknown):
            await kit.submit(SONG, key="order 1")
        sending.send_signal(signal.SIGCONT)
        told = await read_line(sending)
        await asyncio.to_thread(sending.communicate)
        job = await kit.submit(SONG, key="order 1")

    assert told == job.id == service.charges[0].job_id
    assert len(service.charges) == 1


async def test_client_works_in_a_fork(service, tmp_path):
    """J4: a child forked while the client is open has the same jobs and pays once."""
    program = start(service, tmp_path / "jobs.db", FORK)
    said, _ = await asyncio.to_thread(program.communicate)
    first, second = [charge.job_id for charge in service.charges]

    assert program.returncode == 0
    assert said.split() == [first, first, second, first]
