"""What it takes to import, and from nothing to the first result.

    python -m benchmarks.startup [--small] [--out FOLDER]

Each trial is a fresh interpreter; what counts is its CPU time, less that of one that
does nothing.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from statistics import median
from typing import Any

from benchmarks.report import Report, start
from benchmarks.server import serving

PARTS = "import aiohttp, attrs, backoff, cattrs"
RAW = """
import asyncio, aiohttp
async def main(base):
    async with aiohttp.ClientSession() as session:
        async with session.post(base + "/v1/audios/generations", json={}) as answer:
            job = (await answer.json())["id"]
        while True:
            await asyncio.sleep(0.1)
            async with session.get(base + "/v1/tasks/" + job) as answer:
                told = await answer.json()
            if told["status"] == "completed":
                return told
assert asyncio.run(main(BASE))["result_data"]
"""
OURS = """
import asyncio
from personakit import PersonaKit
from personakit.polling.schedule import Pace
async def main(base):
    pace = Pace(shortest=0.1, longest=0.1)
    kit = PersonaKit("evolink", api_key="benchmark-key", base_url=base, pace=pace)
    async with kit:
        return await kit.generate(idea="a light above the bay")
assert asyncio.run(main(BASE))
"""


def spend(program: str) -> float:
    """Return the CPU seconds of an interpreter that runs a program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(report: Report, base: str) -> dict[str, list[float]]:
    """Run everything in turn."""
    programs = {
        "nothing": "pass",
        "import its four packages": PARTS,
        "import personakit": "import personakit",
        "import personakit, and use it": "from personakit import PersonaKit",
        "first result, raw aiohttp": RAW.replace("BASE", repr(base)),
        "first result, personakit": OURS.replace("BASE", repr(base)),
    }
    spent: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(2 if report.small else 15):
        for name, program in programs.items():
            spent[name].append(spend(program))
    return spent


def judge(report: Report, spent: dict[str, list[float]]) -> None:
    """Print, and compare with the goals."""

    def compare(name: str, base: str) -> float:
        rounds = zip(spent[name], spent[base], spent["nothing"], strict=True)
        return median((mine - none) / (other - none) for mine, other, none in rounds)

    rows: list[dict[str, Any]] = [
        {"what": name, "ms": median(times) * 1e3} for name, times in spent.items()
    ]
    report.table("CPU of a fresh interpreter", rows)
    print()
    parts = "import its four packages"
    report.figure("G20", "import", compare("import personakit", parts), 1.1)
    used = compare("import personakit, and use it", parts)
    report.figure("G20", "import with the client", used, 1.1)
    raw = "first result, raw aiohttp"
    first = compare("first result, personakit", raw)
    report.figure("G21", "first result", first, 1.1)

    def draw(axes: Any) -> None:
        axes.barh([row["what"] for row in rows], [row["ms"] for row in rows])
        axes.set_xlabel("CPU of a fresh interpreter, ms")

    report.save(draw)


def main() -> None:
    """Measure and print."""
    report = start("startup", __doc__)
    with serving() as base:
        spent = measure(report, base)
    judge(report, spent)


if __name__ == "__main__":
    main()
