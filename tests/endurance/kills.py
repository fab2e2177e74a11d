"""SIGKILL at every point between the intent and the delivery, then a new process.

Each run starts an emulator, has a process submit, wait and download, kills that process
at a named point, and starts another one on the same journal, which recovers what it
finds. Then the ledger, the journal, the delivery log and the folder are compared: each
charge must have been delivered.

    python -m tests.endurance.kills [REPETITIONS]
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
import time
import wave
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from personakit import Job, MusicRequest, PersonaKit, Receipt
from personakit.emulator import Emulator, Fault
from personakit.journal import SubmitState
from personakit.polling.schedule import Pace
from tests.endurance.verdict import tell
from tests.endurance.victims import (
    END_STEPS,
    FILES,
    REQUESTS,
    SUBMIT_STEPS,
    Forks,
    Trap,
    arm,
    serve_forks,
    sides,
    start_forks,
)

SPEED = 200
REPETITIONS = 4
AT_ONCE = 8
PATIENCE = 1.5
"""Seconds in which every song of the emulator ends at this speed; lists tell what was
asked for of finished songs only."""
POINTS = (
    *sides(*SUBMIT_STEPS, *END_STEPS),
    *REQUESTS,
    *FILES,
    "in the block",
    "end of the block",
)
KINDS = ("list", "neither")
SONG = MusicRequest(lyrics="[Verse]\nBlue hour", style="jazz", title="Blue hour")
SENT_UNHEARD = ("after start", "connecting", "in flight", "after the answer")
"""Points at which a dead process leaves the attempt without an outcome. What is written
before the answer counts says the same of "before accept"."""


# The processes that work and die.


def service(kind: str) -> str:
    """Return the name of a service with a list of jobs, or of one without."""
    return "sunoapi" if kind == "neither" else "evolink"


@asynccontextmanager
async def client(kind: str, url: str, folder: str) -> AsyncIterator[PersonaKit]:
    """Open a client on the journal of this run."""
    pace = Pace(shortest=0.05, untold=0.3)
    async with PersonaKit(
        service(kind),
        api_key="emulator-key",
        base_url=url,
        journal=Path(folder, "jobs.db"),
        timeout=30,
        pace=pace,
    ) as kit:
        yield kit


async def deliver(kit: PersonaKit, job: Job[Any], folder: str, trap: Trap) -> None:
    """Save the files of a job, and log that they were delivered."""
    async with job.deliver() as tracks:
        trap.reach("in the block")
        for track in tracks:
            await kit.download(track, Path(folder, "out"))
        log(folder, job.id)
        trap.reach("end of the block")


def log(folder: str, job_id: str) -> None:
    """Note that a result was delivered."""
    with Path(folder, "delivered").open("a", encoding="ascii") as file:
        print(job_id, file=file)


async def work(kind: str, url: str, folder: str, trap: Trap) -> None:
    """Do the whole job once."""
    arm(trap)
    async with client(kind, url, folder) as kit:
        await deliver(kit, await kit.submit(SONG), folder, trap)


async def recover(kind: str, url: str, folder: str) -> dict[str, Any]:
    """Recover what the journal has, and report what came of it."""
    async with client(kind, url, folder) as kit:
        for record in await kit.pending():
            if record.state is SubmitState.INTENT:
                await kit.resubmit(record.receipt)
            else:
                await find(kit, record.receipt)
        async for job in kit.resume():
            await deliver(kit, job, folder, Trap(""))
        left = [job.id async for job in kit.resume()]
        return {"pending": len(await kit.pending()), "left": left}


async def find(kit: PersonaKit, receipt: Receipt) -> None:
    """Look for a job for as long as the list may come to tell of it."""
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE
    job = await kit.reconcile(receipt)
    while job is None and loop.time() < until:
        await asyncio.sleep(0.25)
        job = await kit.reconcile(receipt)


async def run(task: dict[str, Any]) -> dict[str, Any] | None:
    """Do the task of a fork."""
    place = (task["kind"], task["url"], task["folder"])
    if not task["point"]:
        return await recover(*place)
    await work(*place, Trap(task["point"]))
    return None


# The process that counts.


async def kill_once(forks: Forks, kind: str, point: str, count: Counter[str]) -> None:
    """Run one job until its process is killed, and a second process after it."""
    with tempfile.TemporaryDirectory() as folder:
        async with Emulator(speed=SPEED) as emulator:
            url = emulator.url(service(kind))
            if point == "in flight":
                emulator.inject(Fault.slow(0.3), on="submit")
            place = {"kind": kind, "url": url, "folder": folder}
            code, _ = await forks.run(**place, point=point)
            emulator.clear_faults()
            count["killed"] += code == -signal.SIGKILL
            count["not killed"] += code != -signal.SIGKILL
            code, report = await forks.run(**place, point="")
            assert code == 0, (kind, point, code)
            before = sum(count[name] for name in BAD)
            judge(kind, point, emulator, report, Path(folder), count)
            if sum(count[name] for name in BAD) > before:
                print("BAD", kind, point, emulator.charges, report)


def judge(
    kind: str,
    point: str,
    emulator: Emulator,
    report: dict[str, Any],
    folder: Path,
    count: Counter[str],
) -> None:
    """Compare the ledger, the journal, the delivery log and the folder."""
    paid = [charge.job_id for charge in emulator.charges]
    lines = folder / "delivered"
    delivered = lines.read_text().split() if lines.exists() else []
    out = folder / "out"
    visible = [path for path in out.glob("*") if not path.name.startswith(".")]
    # Where the service has no list, a lost answer stays lost, and is reported.
    is_unheard = point in SENT_UNHEARD or point == "before accept"
    may_be_unknown = is_unheard and (kind == "neither" or not paid)
    is_known = set(delivered) >= set(paid)
    is_again = len(delivered) > len(set(delivered))
    count["runs"] += 1
    count["charged"] += len(paid)
    count["delivered"] += len(set(delivered))
    count["again, killed in the block"] += is_again
    count["unknown, reported"] += report["pending"]
    count["paid twice"] += len(paid) > 1
    count["lost"] += not is_known and not (may_be_unknown and report["pending"] == 1)
    count["unknown though known"] += report["pending"] > may_be_unknown
    count["swapped"] += len(set(delivered) - set(paid))
    count["left open"] += len(report["left"])
    in_block = ("end of the block", "before deliver")
    count["delivered twice"] += is_again and point not in in_block
    count["half files"] += sum(not is_whole(path) for path in visible)
    count["files missing"] += 2 * len(set(delivered)) - len(visible)


BAD = (
    "not killed",
    "paid twice",
    "lost",
    "unknown though known",
    "swapped",
    "left open",
    "delivered twice",
    "half files",
    "files missing",
)


def is_whole(path: Path) -> bool:
    """Return whether an audio file has all that its header says."""
    with wave.open(str(path)) as audio:
        size = audio.getnframes() * audio.getnchannels() * audio.getsampwidth()
        return len(audio.readframes(audio.getnframes())) == size > 0


async def main(repetitions: int) -> int:
    """Kill at every point, for every kind, so often; return how much went wrong."""
    count: Counter[str] = Counter()
    began = time.perf_counter()
    runs = [(k, p) for _ in range(repetitions) for k in KINDS for p in POINTS]

    async def take_runs() -> None:
        async with start_forks("tests.endurance.kills") as forks:
            while runs:
                await kill_once(forks, *runs.pop(), count)

    await asyncio.gather(*(take_runs() for _ in range(AT_ONCE)))
    took = time.perf_counter() - began
    print(f"\nKills: {len(POINTS)} points, {len(KINDS)} kinds of service, {took:.0f} s")
    print(json.dumps({name: n for name, n in count.items() if name not in BAD}))
    return tell({name: count[name] for name in BAD})


if __name__ == "__main__":
    if "--forks" in sys.argv:
        serve_forks(run)
    else:
        given = int(sys.argv[1]) if len(sys.argv) > 1 else REPETITIONS
        sys.exit(min(asyncio.run(main(given)), 1))
