"""CPU per read and per submit, against raw aiohttp and other clients.

    python -m benchmarks.overhead [--small] [--out FOLDER]

Everybody waits in the way that it ships: so many jobs, read at the same interval, by
one process, from one neutral server that is a process of its own. What is compared is
the CPU time of the client process per read, round by round, with raw aiohttp in the
same round: a loop of ``session.get``, ``json.loads`` and ``asyncio.sleep``.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from statistics import median
from typing import Any, TypeAlias

import aiohttp

from benchmarks.peers import Wait, installed, opened
from benchmarks.report import Report, start
from benchmarks.server import COUNT, DONE, serving
from personakit import Ability, MusicRequest, PersonaKit, Receipt
from personakit.polling.schedule import Pace
from personakit.providers.evolink import Evolink

AT_ONCE = 64
INTERVAL = 0.1  # the grid of the poller adds up to as much again
IDEA = MusicRequest(idea="a light above the bay")
HEADERS = {"Authorization": "Bearer benchmark-key", "Accept": "application/json"}
KEY = "benchmark-key"

Measure: TypeAlias = Callable[[], Awaitable[float]]
"""Gives microseconds of CPU per operation."""


def task(number: int, *, is_done: bool = False) -> str:
    """Return the id of a job on the neutral server."""
    return f"task-unified-1763700000-{DONE if is_done else 'abcd'}{number:06d}"


async def measure_waits(
    wait: Wait, jobs: int, seconds: float, count: Callable[[], Awaitable[int]]
) -> float:
    """Let so many waits run, and return the CPU time per read."""
    waits = [asyncio.ensure_future(wait(number)) for number in range(jobs)]
    await asyncio.sleep(3 * INTERVAL)  # connections are open by then
    before, began = await count(), time.process_time()
    await asyncio.sleep(seconds)
    spent, after = time.process_time() - began, await count()
    for waiting in waits:
        waiting.cancel()
    ends = await asyncio.gather(*waits, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end
    return spent / (after - before) * 1e6


async def measure_calls(
    call: Callable[[int], Awaitable[object]], count: int, at_once: int
) -> float:
    """Make calls, so many at once, and return the CPU time per call."""

    async def work(number: int) -> None:
        for _ in range(count // at_once):
            await call(number)

    began = time.process_time()
    await asyncio.gather(*(work(number) for number in range(at_once)))
    return (time.process_time() - began) / count * 1e6


class Raw:
    """What one writes by hand with aiohttp."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self._base = base
        self._session = session
        body = Evolink().build_submit(IDEA).request.body or b""
        self._body = json.loads(body)

    async def read(self, job_id: str) -> Any:
        """Read a job once."""
        address = f"{self._base}/v1/tasks/{job_id}"
        async with self._session.get(address, headers=HEADERS) as answer:
            return json.loads(await answer.read())

    async def submit(self, _: int) -> Any:
        """Submit a job."""
        async with self._session.post(
            f"{self._base}/v1/audios/generations", json=self._body, headers=HEADERS
        ) as answer:
            return json.loads(await answer.read())

    async def wait(self, number: int) -> object:
        """Wait for a job."""
        while True:
            found = await self.read(task(number))
            if found["status"] == "completed":
                return found
            # The mean interval of the poller, whose grid puts reads off.
            await asyncio.sleep(2 * INTERVAL)


@asynccontextmanager
async def open_kit(base: str) -> AsyncGenerator[PersonaKit]:
    """Open a client that reads one by one at fixed intervals."""
    pace = Pace(shortest=INTERVAL, longest=INTERVAL)
    provider = Evolink(joint=None)
    async with PersonaKit(provider, api_key=KEY, base_url=base, pace=pace) as kit:
        yield kit


@asynccontextmanager
async def contest(report: Report, base: str) -> AsyncGenerator[dict[str, Measure]]:
    """Open everybody, and give what is to be measured."""
    seconds = 0.5 if report.small else 1.0
    submits = 2 * AT_ONCE if report.small else 4 * AT_ONCE
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        fresh = aiohttp.TCPConnector(force_close=True)
        closing = await stack.enter_async_context(
            aiohttp.ClientSession(connector=fresh)
        )
        raw, paid = Raw(base, session), Raw(base, closing)
        kit = await stack.enter_async_context(open_kit(base))

        async def count() -> int:
            async with session.get(base + COUNT) as answer:
                return int(await answer.read())

        waits = {"raw": raw.wait, "personakit": _follow(kit)}
        for peer in installed():
            waits[peer.name] = await stack.enter_async_context(
                opened(peer, base, 2 * INTERVAL)
            )
        measures: dict[str, Measure] = {}
        for jobs in (AT_ONCE, 1):
            for name, wait in waits.items():
                measures[f"read, {jobs} at once: {name}"] = partial(
                    measure_waits, wait, jobs, seconds, count
                )

        async def submit(_: int) -> object:
            return await kit.submit(IDEA)

        async def finish(number: int) -> object:
            return await raw.read(task(number, is_done=True))

        calls: dict[str, Wait] = {
            "submit: raw": paid.submit,
            "submit: personakit": submit,
            "completed read: raw": finish,
            "completed read: personakit": _follow(kit, is_done=True),
        }
        for name, call in calls.items():
            measures[name] = partial(measure_calls, call, submits, AT_ONCE)
        yield measures


def _follow(kit: PersonaKit, *, is_done: bool = False) -> Wait:
    async def wait(number: int) -> object:
        receipt = Receipt(
            "evolink", Ability.MUSIC, job_id=task(number, is_done=is_done)
        )
        return await kit.attach(receipt).result()

    return wait


async def measure(report: Report, base: str) -> dict[str, list[float]]:
    """Measure everybody in every round, after one to warm up."""
    spent: dict[str, list[float]] = {}
    async with contest(report, base) as measures:
        for number in range(2 if report.small else 10):
            for name, take in measures.items():
                micros = await take()
                if number:
                    spent.setdefault(name, []).append(micros)
    return spent


def judge(report: Report, spent: dict[str, list[float]]) -> None:
    """Print everybody's ratio to raw aiohttp in the same round."""
    ratios: dict[str, float] = {}
    rows: list[dict[str, Any]] = []
    for name, micros in spent.items():
        kind, _, who = name.partition(": ")
        raw = spent.get(f"{kind}: raw", spent[f"read, {AT_ONCE} at once: raw"])
        pairs = zip(micros, raw, strict=True)
        ratios[name] = median(mine / base for mine, base in pairs)
        rows.append(
            {"what": kind, "who": who, "us": median(micros), "x raw": ratios[name]}
        )
    report.table("CPU of the client per operation", rows)
    print()
    for figure, kind, meaning, goal in (
        ("G1", f"read, {AT_ONCE} at once", "CPU per read, many at once", 0.95),
        ("G2", "read, 1 at once", "CPU per read, one job", 1.0),
        ("G3", "submit", "CPU per submit", 1.0),
        ("G4", "completed read", "CPU per completed read", 1.05),
    ):
        report.figure(figure, meaning, ratios[f"{kind}: personakit"], goal)
    peers = [
        ratios[name]
        for name in ratios
        if name.startswith(f"read, {AT_ONCE}")
        and not name.endswith((": raw", ": personakit"))
    ]
    if peers:
        mine = ratios[f"read, {AT_ONCE} at once: personakit"]
        meaning = "CPU per read against the cheapest peer"
        report.figure("P1", meaning, mine / min(peers), 0.125)
    names = [name for name in ratios if name.startswith(f"read, {AT_ONCE}")]

    def draw(axes: Any) -> None:
        axes.barh([n.partition(": ")[2] for n in names], [ratios[n] for n in names])
        axes.set_xscale("log")
        axes.set_xlabel(f"CPU per read, {AT_ONCE} jobs at once, raw aiohttp = 1")

    report.save(draw)


def main() -> None:
    """Measure and print."""
    report = start("overhead", __doc__)
    with serving() as base:
        spent = asyncio.run(measure(report, base))
    judge(report, spent)


if __name__ == "__main__":
    main()
