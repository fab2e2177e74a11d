"""SIGKILL at every point between the intent and the saved file, then a new process.

Each run starts an emulator, has a process submit, wait and download, kills that process
at a named point, and starts another one on the same journal, which takes up what it
finds. Counted is what the ledger, the journal and the folder then say.

    python -m tests.endurance.kills [REPETITIONS]
"""

from __future__ import annotations

import asyncio
import json
import os
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

import attrs

from personakit import MusicRequest, PersonaKit, download, readers, submits
from personakit.emulator import Emulator, Fault
from personakit.journal import Entry, Mark, SqliteJournal
from personakit.pace import Pace

SPEED = 200
REPETITIONS = 8
AT_ONCE = 4
POINTS = (
    *(
        f"{side} {mark}"
        for mark in ("intent", "sending")
        for side in ("before", "after")
    ),
    "connecting",
    "in flight",
    "after the answer",
    *(
        f"{side} {mark}"
        for mark in ("accepted", "closed")
        for side in ("before", "after")
    ),
    "reading",
    "downloading",
    "before the name",
    "after the name",
)
AFTER_THE_END = ("after closed", "downloading", "before the name", "after the name")
KINDS = ("list", "neither")
SONG = MusicRequest(lyrics="[Verse]\nBlue hour", style="jazz", title="Blue hour")


# The processes that work and die.


def die(*_: object) -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str) -> None:
    """Have this process die at a point of its work."""
    _arm_journal(point)
    _arm_answers(point)
    _arm_files(point)
    if point == "connecting":
        asyncio.SelectorEventLoop.sock_connect = die  # type: ignore[assignment]


def _arm_journal(point: str) -> None:
    record = SqliteJournal.record

    async def armed(self: SqliteJournal, entry: Entry) -> Entry:
        if point == f"before {entry.mark}":
            die()
        stands = await record(self, entry)
        if point == f"after {entry.mark}":
            die()
        return stands

    SqliteJournal.record = armed  # type: ignore[method-assign]


def _arm_answers(point: str) -> None:
    attempt, fetch = submits.attempt_call, readers.fetch

    async def submit_armed(*args: Any) -> Any:
        if point == "in flight":
            asyncio.get_running_loop().call_later(0.1, die)
        answer = await attempt(*args)
        if point == "after the answer":
            die()
        return answer

    async def read_armed(*args: Any) -> Any:
        if point == "reading":
            asyncio.get_running_loop().call_later(0.002, die)
        return await fetch(*args)

    submits.attempt_call = submit_armed
    readers.fetch = read_armed


def _arm_files(point: str) -> None:
    give_name = download._give_name

    def armed(*args: Any) -> Path:
        if point == "before the name":
            die()
        path = give_name(*args)
        if point == "after the name":
            die()
        return path

    download._give_name = armed
    if point == "downloading":
        download._report = die


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


async def work(kind: str, url: str, folder: str) -> None:
    """Do the whole job once."""
    async with client(kind, url, folder) as kit:
        for track in await kit.generate(**_fields(SONG)):
            await kit.download(track, Path(folder, "out"))


def _fields(song: MusicRequest) -> dict[str, Any]:
    return {"lyrics": song.lyrics, "style": song.style, "title": song.title}


async def recover(kind: str, url: str, folder: str) -> dict[str, Any]:
    """Take up what the journal has, and tell what came of it."""
    async with client(kind, url, folder) as kit:
        for entry in await kit.pending():
            if entry.mark is Mark.INTENT:
                await kit.resubmit(entry.receipt)
            else:
                await kit.reconcile(entry.receipt)
        jobs = []
        async for job in kit.resume():
            jobs.append(job.id)
            for track in await job:
                await kit.download(track, Path(folder, "out"))
        return {"jobs": jobs, "pending": len(await kit.pending())}


def serve_forks() -> None:
    """Run each task that is asked for in a process of its own, forked from this one.

    A fork has everything imported already, which makes hundreds of deaths affordable.
    """
    for line in sys.stdin:
        task = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            place = (task["kind"], task["url"], task["folder"])
            if task["point"]:
                arm(task["point"])
                asyncio.run(work(*place))
            else:
                told = asyncio.run(recover(*place))
                os.write(writer, json.dumps(told).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as answer:
            text = answer.read()
        _, status = os.waitpid(child, 0)
        print(json.dumps([os.waitstatus_to_exitcode(status), text]), flush=True)


# The process that counts.


@attrs.define
class Worker:
    """A process that forks on request."""

    process: asyncio.subprocess.Process

    async def run(self, **task: str) -> tuple[int, dict[str, Any]]:
        """Have a task done; return the exit code and what was told."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(task).encode() + b"\n")
        await self.process.stdin.drain()
        code, text = json.loads(await self.process.stdout.readline())
        return code, json.loads(text or "{}")


async def kill_once(worker: Worker, kind: str, point: str, count: Counter[str]) -> None:
    """Run one job into its death, and a second process after it."""
    with tempfile.TemporaryDirectory() as folder:
        async with Emulator(speed=SPEED) as emulator:
            url = emulator.url(service(kind))
            if point == "in flight":
                emulator.inject(Fault.slow(0.3), on="submit")
            place = {"kind": kind, "url": url, "folder": folder}
            code, _ = await worker.run(**place, point=point)
            emulator.clear_faults()
            count["killed"] += code == -signal.SIGKILL
            code, told = await worker.run(**place, point="")
            assert code == 0, (kind, point, code)
            judge(kind, point, emulator, told, Path(folder, "out"), count)


def judge(
    kind: str,
    point: str,
    emulator: Emulator,
    told: dict[str, Any],
    out: Path,
    count: Counter[str],
) -> None:
    """Compare the ledger, the journal and the folder."""
    paid = [charge.job_id for charge in emulator.charges]
    visible = [path for path in out.glob("*") if not path.name.startswith(".")]
    half = [path.name for path in visible if not is_whole(path)]
    has_ended = point in AFTER_THE_END
    is_known = told["jobs"] == paid or told["pending"] == 1 or has_ended
    # Where the service can tell, a job that was paid for must be found, not suspected.
    is_found = kind == "neither" or has_ended or not paid or told["jobs"] == paid
    count["runs"] += 1
    count["charged"] += len(paid)
    count["twice"] += len(paid) > 1
    count["lost"] += bool(paid) and not (is_known and is_found)
    count["half files"] += len(half)
    count["unknown left"] += told["pending"]
    count["saved"] += len(visible) == 2
    if len(paid) > 1 or half or (paid and not (is_known and is_found)):
        print("BAD", kind, point, paid, told, half)


def is_whole(path: Path) -> bool:
    """Tell whether an audio file has all that its head promises."""
    with wave.open(str(path)) as audio:
        size = audio.getnframes() * audio.getnchannels() * audio.getsampwidth()
        return len(audio.readframes(audio.getnframes())) == size > 0


async def main(repetitions: int) -> int:
    """Kill at every point, for every kind, so often; return how much went wrong."""
    count: Counter[str] = Counter()
    began = time.perf_counter()
    runs = [(k, p) for _ in range(repetitions) for k in KINDS for p in POINTS]

    async def take_runs() -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.endurance.kills", "--forks"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        worker = Worker(process)
        while runs:
            await kill_once(worker, *runs.pop(), count)
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()

    await asyncio.gather(*(take_runs() for _ in range(AT_ONCE)))
    took = time.perf_counter() - began
    print(f"{len(POINTS)} points, {len(KINDS)} kinds of service, {took:.0f} s")
    for name in ("runs", "killed", "charged", "saved", "unknown left"):
        print(f"{name:>14} {count[name]}")
    for name in ("lost", "twice", "half files"):
        print(f"{name:>14} {count[name]}  (must be 0)")
    missed = count["runs"] - count["killed"]
    return count["lost"] + count["twice"] + count["half files"] + missed


if __name__ == "__main__":
    if "--forks" in sys.argv:
        serve_forks()
    else:
        given = int(sys.argv[1]) if len(sys.argv) > 1 else REPETITIONS
        sys.exit(min(asyncio.run(main(given)), 1))
