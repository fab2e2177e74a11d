"""A batch of paid jobs, faults all the while, and three SIGKILLs at random moments.

python -m tests.endurance.batches [JOBS]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from personakit import MusicRequest, OutcomeUnknown, PersonaKit
from personakit.emulator import Emulator, Fault
from personakit.polling.schedule import Pace
from personakit.ratelimit.limits import Limits
from tests.endurance.verdict import tell

JOBS = 400
KILLS = 3
SPEED = 100
GROWTH = 8
"""MB that a batch may grow by from its first quarter to its end."""


def songs(count: int) -> Iterator[MusicRequest]:
    """Yield the requests of the batch."""
    for number in range(count):
        yield MusicRequest(lyrics="[Verse]\nLa", style="pop", title=f"Song {number}")


def measure_memory() -> int:
    """Return the KB that this process takes just now."""
    # Not the peak: a child begins with that of its parent.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0])


async def run(url: str, journal: str, count: int) -> None:
    """Run the batch to its end, and print what became of it."""
    told: dict[str, list[str]] = {"jobs": [], "unknown": [], "errors": []}
    memory: list[int] = []
    async with PersonaKit(
        "sunoapi",
        api_key="emulator-key",
        base_url=url,
        journal=journal,
        pace=Pace(shortest=0.05, untold=0.3),
        limits=Limits(),
    ) as kit:
        async for outcome in kit.batch(songs(count), name="songs", concurrency=50):
            if outcome.result is not None:
                told["jobs"].append(outcome.result[0].job_id)
            elif isinstance(outcome.error, OutcomeUnknown):
                told["unknown"].append(outcome.request.title or "")
            else:
                told["errors"].append(str(outcome.error))
            if sum(map(len, told.values())) in {count // 4, count}:
                memory.append(measure_memory())
    print(json.dumps({**told, "memory": memory}))


async def spoil(emulator: Emulator, chance: random.Random) -> None:
    """Lose an answer now and then: of about one submit in twenty."""
    while True:
        await asyncio.sleep(chance.uniform(0.05, 0.3))
        emulator.clear_faults()
        fault = chance.choice((Fault.drop(), Fault.reset(), Fault.status(503)))
        emulator.inject(fault, on=chance.choice(("submit", "read")))


def read_journal(path: Path) -> tuple[set[str], int]:
    """Return the job ids in a journal, and how many of them were not delivered."""
    with contextlib.closing(sqlite3.connect(path)) as file:
        rows = file.execute(
            "SELECT job_id, state FROM submits WHERE job_id IS NOT NULL"
        ).fetchall()
    return {job for job, _ in rows}, sum(state != "delivered" for _, state in rows)


async def main(count: int) -> int:
    """Kill the batch so often, run it to its end, and return how much was wrong."""
    chance, began = random.Random(8), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        async with Emulator(speed=SPEED, credits=1e9) as emulator:
            spoiling = asyncio.create_task(spoil(emulator, chance))
            kills, output = 0, b""
            while True:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.endurance.batches", "--run"),
                    *(
                        emulator.url("sunoapi"),
                        str(Path(folder, "jobs.db")),
                        str(count),
                    ),
                    stdout=asyncio.subprocess.PIPE,
                )
                if kills < KILLS:
                    await asyncio.sleep(chance.uniform(0.8, 2.0))
                    process.send_signal(signal.SIGKILL)
                    kills += 1
                output, _ = await process.communicate()
                if process.returncode != -signal.SIGKILL:
                    break
            spoiling.cancel()
            told = json.loads(output)
            early, late = told.pop("memory")
            paid = [charge.job_id for charge in emulator.charges]
            written, left = read_journal(Path(folder, "jobs.db"))
    known, unknown = set(told["jobs"]), len(told["unknown"])
    lost = len(set(paid) - known) - unknown
    wrong = {
        "without an outcome": count - sum(map(len, told.values())),
        "paid twice": max(len(paid) - count, 0) + len(told["jobs"]) - len(known),
        "lost": max(lost, 0),
        "results never paid": len(known - set(paid)),
        "other errors": len(told["errors"]),
        "paid, not in journal": max(len(set(paid) - written) - unknown, 0),
        "not delivered": left,
        "MB more at the end": max((late - early) // 1024 - GROWTH, 0),
    }
    took = time.perf_counter() - began
    print(
        f"\nA batch: {count} jobs, {kills} kills, {took:.0f} s: {len(paid)} charges, ",
        end="",
    )
    print(f"{len(known)} results, {unknown} unknown outcomes reported; ", end="")
    print(f"{early // 1024} MB after a quarter of the jobs, {late // 1024} at the end")
    return tell(wrong)


if __name__ == "__main__":
    if "--run" in sys.argv:
        asyncio.run(run(sys.argv[2], sys.argv[3], int(sys.argv[4])))
    else:
        given = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
        sys.exit(min(asyncio.run(main(given)), 1))
