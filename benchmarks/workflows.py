"""Whole workflows: CPU from the submit to the typed result, against raw aiohttp.

    python -m benchmarks.workflows [--small] [--out FOLDER]

A workflow is a submit and three reads, the last of which brings two songs. Raw aiohttp
pays over a fresh connection, as is safe, and sleeps between reads; the client does what
it always does, journal in memory, typed results, limits and deadlines included.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import aiohttp

from benchmarks.overhead import IDEA, INTERVAL, KEY, Raw
from benchmarks.report import Report, start
from benchmarks.server import serving
from personakit import PersonaKit
from personakit.polling.schedule import Pace
from personakit.providers.evolink import Evolink

AT_ONCE = 64


async def spend(work: Callable[[], Awaitable[object]], count: int) -> float:
    """Return the CPU time of a workflow, with many at once, in microseconds."""

    async def repeat() -> None:
        for _ in range(count // AT_ONCE):
            if not await work():
                raise AssertionError("no result")

    began = time.process_time()
    await asyncio.gather(*(repeat() for _ in range(AT_ONCE)))
    return (time.process_time() - began) / count * 1e6


async def measure(report: Report, base: str) -> dict[str, list[float]]:
    """Measure everybody in every round."""
    count = AT_ONCE if report.small else 4 * AT_ONCE
    spent: dict[str, list[float]] = {}
    pace = Pace(shortest=INTERVAL, longest=INTERVAL)
    singly = Evolink(joint=None)
    fresh = aiohttp.TCPConnector(force_close=True)
    async with (
        aiohttp.ClientSession() as session,
        aiohttp.ClientSession(connector=fresh) as closing,
        PersonaKit("evolink", api_key=KEY, base_url=base, pace=pace) as kit,
        PersonaKit(singly, api_key=KEY, base_url=base, pace=pace) as single,
    ):
        raw, paid = Raw(base, session), Raw(base, closing)

        async def by_hand() -> object:
            job_id = (await paid.submit(0))["id"]
            while True:
                await asyncio.sleep(2 * INTERVAL)
                told = await raw.read(job_id)
                if told["status"] == "completed":
                    return told["result_data"]["songs"]

        async def by_kit() -> object:
            job = await kit.submit(IDEA)
            return await job

        async def by_single() -> object:
            job = await single.submit(IDEA)
            return await job

        works: dict[str, Callable[[], Awaitable[object]]] = {
            "raw aiohttp": by_hand,
            "personakit": by_kit,
            "personakit, jobs read singly": by_single,
        }
        for number in range(2 if report.small else 10):
            for name, work in works.items():
                micros = await spend(work, count)
                if number:
                    spent.setdefault(name, []).append(micros)
    return spent


def judge(report: Report, spent: dict[str, list[float]]) -> None:
    """Print everybody's ratio to raw aiohttp in the same round."""
    raw = spent["raw aiohttp"]
    rows: list[dict[str, Any]] = [
        {
            "who": name,
            "us per workflow": median(micros),
            "workflows per core and s": 1e6 / median(micros),
            "x raw": median(a / b for a, b in zip(micros, raw, strict=True)),
        }
        for name, micros in spent.items()
    ]
    report.table("Workflows", rows)
    print()
    meaning = "CPU per workflow against raw (1 / its rate per core)"
    report.figure("G5", meaning, rows[1]["x raw"], 1.0)

    def draw(axes: Any) -> None:
        axes.barh(
            [row["who"] for row in rows],
            [row["workflows per core and s"] for row in rows],
        )
        axes.set_xlabel("workflows per core and second")

    report.save(draw)


def main() -> None:
    """Measure and print."""
    report = start("workflows", __doc__)
    with serving() as base:
        spent = asyncio.run(measure(report, base))
    judge(report, spent)


if __name__ == "__main__":
    main()
