"""1,000 to 100,000 jobs in flight: bytes per job, CPU per read, stalls, closing.

    python -m benchmarks.scale [--small] [--out FOLDER]

The jobs are read 400 times a second in all, from one neutral server that is a process
of its own; so many loops of raw aiohttp do the same for comparison. Bytes are those
that the client's own objects take, by tracemalloc, in a process without other work.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import aiohttp

from benchmarks.overhead import KEY, Raw, task
from benchmarks.report import Report, start
from benchmarks.server import COUNT, serving
from personakit import Ability, PersonaKit, Receipt
from personakit.jobs.job import Job
from personakit.models import JobState, Result, Snapshot
from personakit.polling.schedule import Pace, PollContext
from personakit.providers.evolink import Evolink

RATE = 400.0
"""Reads per second."""
FIRST = 4.0
"""Seconds of age up to which a read counts as the first."""
TICK = 0.005
"""Seconds between two looks at the loop's own lag."""


class Evenly(Pace):
    """Spreads reads evenly over time, whatever the jobs are like."""

    def pause(self, context: PollContext) -> float:
        """Return `longest` seconds, and any part of them for the first read."""
        is_first = context.age < FIRST
        return self.longest * (context.chance if is_first else 1.0)


def open_kit(base: str, jobs: int, *, together: bool) -> PersonaKit:
    """Make a client that reads so many jobs at the rate."""
    provider = Evolink() if together else Evolink(joint=None)
    pace = Evenly(longest=jobs / RATE)
    return PersonaKit(provider, api_key=KEY, base_url=base, pace=pace)


async def make_jobs(kit: PersonaKit, count: int) -> list[Job[Result]]:
    """Make the handles of jobs that were just submitted."""
    return [
        kit._job(  # pyright: ignore[reportPrivateUsage] - as a submit would give it
            Receipt("evolink", Ability.MUSIC, job_id=(job_id := task(number))),
            Snapshot(job_id, JobState.QUEUED, "pending", estimated_time=60.0),
            None,
        )
        for number in range(count)
    ]


async def await_all(kit: PersonaKit, jobs: list[Job[Result]]) -> None:
    """Await jobs from one task."""
    async for job in kit.as_completed(jobs, timeout=10**6):
        raise AssertionError(job)


async def await_singly(_: PersonaKit, jobs: list[Job[Result]]) -> None:
    """Await each job from a task of its own."""

    async def wait(job: Job[Result]) -> Result:
        return await job

    tasks = [asyncio.ensure_future(wait(job)) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def weigh(
    base: str, count: int, waiting: Callable[..., Awaitable[None]]
) -> tuple[float, float]:
    """Return the bytes that waiting takes per job, and those of its handle."""
    async with open_kit(base, count, together=False) as kit:
        gc.collect()
        tracemalloc.start()
        jobs = await make_jobs(kit, count)
        gc.collect()
        handles = tracemalloc.get_traced_memory()[0]
        wait = asyncio.ensure_future(waiting(kit, jobs))
        await asyncio.sleep(0.5)
        gc.collect()
        whole = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        wait.cancel()
        await asyncio.gather(wait, return_exceptions=True)
    return (whole - handles) / count, handles / count


class Lag:
    """Measures how late the loop is."""

    def __init__(self) -> None:
        self._lags: list[float] = []

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK)
            self._lags.append(time.perf_counter() - began - TICK)

    def tell(self) -> tuple[float, float]:
        """Return the longest lag and the 99th percentile, in milliseconds."""
        ordered = sorted(self._lags)
        return ordered[-1] * 1e3, ordered[int(0.99 * len(ordered))] * 1e3


async def count_reads(base: str) -> int:
    """Ask the server how many readings of jobs there have been."""
    async with aiohttp.ClientSession() as session, session.get(base + COUNT) as answer:
        return int(await answer.read())


async def run(
    base: str, count: int, seconds: float, *, together: bool
) -> dict[str, Any]:
    """Read so many jobs for some time, and close."""
    kit = open_kit(base, count, together=together)
    jobs = await make_jobs(kit, count)
    wait = asyncio.ensure_future(await_all(kit, jobs))
    await asyncio.sleep(3.0)
    before, began = await count_reads(base), time.process_time()
    await asyncio.sleep(seconds)
    spent = time.process_time() - began
    seen = await count_reads(base) - before
    lag = Lag()  # which costs something itself, so that it comes afterwards
    watching = asyncio.ensure_future(lag.watch())
    await asyncio.sleep(seconds)
    watching.cancel()
    began = time.perf_counter()
    await kit.aclose()
    closed = time.perf_counter() - began
    await asyncio.gather(wait, return_exceptions=True)
    longest, usual = lag.tell()
    return {
        "jobs": count,
        "reads": "together" if together else "singly",
        "reads per s": seen / seconds,
        "us per read": spent / seen * 1e6,
        "longest stall ms": longest,
        "p99 ms": usual,
        "close s": closed,
    }


async def run_raw(base: str, seconds: float) -> float:
    """Do the same with loops of raw aiohttp; return the CPU time per read."""
    reads = 0
    async with aiohttp.ClientSession() as session:
        raw = Raw(base, session)

        async def wait(number: int) -> None:
            nonlocal reads
            while True:
                await asyncio.sleep(random.uniform(0, 2 * 80 / RATE))
                await raw.read(task(number))
                reads += 1

        waits = [asyncio.ensure_future(wait(number)) for number in range(80)]
        await asyncio.sleep(1.0)
        before, began = reads, time.process_time()
        await asyncio.sleep(seconds)
        spent, seen = time.process_time() - began, reads - before
        for one in waits:
            one.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    return spent / seen * 1e6


def weigh_apart(base: str, count: int, how: str) -> tuple[float, float]:
    """Weigh in a fresh process, in which nothing else has left traces."""
    import subprocess  # noqa: PLC0415

    command = [sys.executable, "-m", "benchmarks.scale", "weigh", base, str(count), how]
    told = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    waiting, handle = json.loads(told.stdout)
    return waiting, handle


def measure(report: Report, base: str) -> None:
    """Measure, print and judge."""
    sizes = (1_000, 5_000) if report.small else (1_000, 10_000, 50_000, 100_000)
    weights: list[dict[str, Any]] = []
    for how in ("one task", "a task each"):
        for count in sizes:
            waiting, handle = weigh_apart(base, count, how)
            weights.append(
                {"jobs": count, "awaited by": how, "bytes": waiting, "handle": handle}
            )
    report.table("Bytes per job, beside its handle", weights)
    rounds = 1 if report.small else 2
    seconds = 1.0 if report.small else 3.0
    runs: list[dict[str, Any]] = []
    for count in sizes:
        for together in (False, True):
            tries: list[dict[str, Any]] = []
            for _ in range(rounds):
                raw = asyncio.run(run_raw(base, seconds))
                one = asyncio.run(run(base, count, seconds, together=together))
                tries.append({**one, "x raw": one["us per read"] / raw})
            ratio = median(one["x raw"] for one in tries)
            runs.append({**tries[-1], "x raw": ratio})
    report.table("Reading", runs)
    judge(report, weights, runs)


def judge(
    report: Report, weights: list[dict[str, Any]], runs: list[dict[str, Any]]
) -> None:
    """Compare with the goals."""
    most = max(row["jobs"] for row in runs)
    singly = [row for row in runs if row["reads"] == "singly"]
    full = singly[-1]
    joint = runs[-1]
    print()
    bytes_of = {(row["jobs"], row["awaited by"]): row["bytes"] for row in weights}
    dearest = max(row["x raw"] for row in singly if row["jobs"] >= most / 10)
    report.figure("G6", "CPU per read, 10,000 and more in flight", dearest, 0.55)
    report.figure("G6b", "the same with 50 in a request, per job", joint["x raw"], 0.1)
    report.figure("G7", "bytes per job", bytes_of[most, "one task"], 500.0)
    each = bytes_of[most, "a task each"]
    report.figure("G8", "bytes per job with a task each", each, 1600.0)
    longest = max(row["longest stall ms"] for row in runs if row["jobs"] == most)
    report.figure("G9", "longest stall in ms", longest, 60.0)
    report.figure("G9", "99th percentile in ms", full["p99 ms"], 8.0)
    closing = max(row["close s"] for row in runs)
    report.figure("G10", "seconds to close with all in flight", closing, 1.0)
    least = bytes_of[min(jobs for jobs, _ in bytes_of), "one task"]
    growth = bytes_of[most, "one task"] / least
    report.figure("S1", "bytes per job against those of few jobs", growth, 1.1)

    def draw(axes: Any) -> None:
        for how in ("one task", "a task each"):
            rows = [row for row in weights if row["awaited by"] == how]
            axes.plot(
                [row["jobs"] for row in rows],
                [row["bytes"] for row in rows],
                marker="o",
                label=f"awaited by {how}",
            )
        axes.set(xscale="log", ylim=0, xlabel="jobs in flight", ylabel="bytes per job")
        axes.legend()

    report.save(draw)


def main() -> None:
    """Measure, or weigh for a measurement."""
    if sys.argv[1:2] == ["weigh"]:
        base, count, how = sys.argv[2:]
        waiting = await_all if how == "one task" else await_singly
        print(json.dumps(asyncio.run(weigh(base, int(count), waiting))))
        return
    report = start("scale", __doc__)
    with serving() as base:
        measure(report, base)


if __name__ == "__main__":
    main()
