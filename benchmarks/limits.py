"""An account's limit on requests, told and untold: time to drain, lag, refusals.

    python -m benchmarks.limits [--small] [--out FOLDER]

The real client, over real sockets, against a service in the same process that counts
requests in sliding windows; time is virtual. Jobs take as long as music does, and
nothing but the service's estimate tells how long: no progress, no callbacks, no reading
of many at once. A job needs one submit and one read at least, so that the limit alone
would drain them in ``2 x jobs / limit``.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Iterator
from statistics import fmean
from typing import Any

import attrs
import looptime
from aiohttp import web

from benchmarks.pace import MUSIC
from benchmarks.report import Report, start
from benchmarks.server import completed_task, pending_task
from personakit import MusicRequest, PersonaKit
from personakit.ratelimit.limits import Limit, Limits

COUNT, PERIOD = 20, 10.0
"""Requests of all kinds in so many seconds, as the service counts."""
IN_FLIGHT = 92
"""Jobs at the same time. Fewer would not use the limit: at its best it lets one job a
second through, which takes a minute and is noticed half a minute later."""


@attrs.define
class Service:
    """Evolink's paths, with a sliding window in front."""

    chance: random.Random = attrs.field(factory=lambda: random.Random(1))
    ends: dict[str, float] = attrs.field(factory=dict[str, float])
    noticed: dict[str, float] = attrs.field(factory=dict[str, float])
    refused: int = 0
    requests: int = 0
    _window: deque[float] = attrs.field(factory=deque[float])
    _numbers: Iterator[int] = attrs.field(factory=itertools.count)

    def _admit(self) -> bool:
        now = asyncio.get_running_loop().time()
        self.requests += 1
        while self._window and self._window[0] <= now - PERIOD:
            self._window.popleft()
        if len(self._window) >= COUNT:
            self.refused += 1
            return False
        self._window.append(now)
        return True

    async def submit(self, _: web.Request) -> web.Response:
        """Start a job."""
        if not self._admit():
            return _refuse()
        job_id = f"task-unified-1763700000-{next(self._numbers):08d}"
        seconds = MUSIC.draw(1, self.chance.randrange(10**9))[0]
        self.ends[job_id] = asyncio.get_running_loop().time() + seconds
        return web.json_response(_without_progress(pending_task(job_id)))

    async def read(self, request: web.Request) -> web.Response:
        """Tell of a job."""
        if not self._admit():
            return _refuse()
        job_id = request.match_info["job_id"]
        now = asyncio.get_running_loop().time()
        if now < self.ends[job_id]:
            return web.json_response(_without_progress(pending_task(job_id)))
        self.noticed.setdefault(job_id, now)
        return web.json_response(completed_task(job_id))

    def application(self) -> web.Application:
        """Return what serves it."""
        application = web.Application()
        application.router.add_post("/v1/audios/generations", self.submit)
        application.router.add_get("/v1/tasks/{job_id}", self.read)
        return application


def _without_progress(task: dict[str, Any]) -> dict[str, Any]:
    return {**task, "progress": 0}


def _refuse() -> web.Response:
    told = {"error": {"code": "rate_limit_exceeded", "message": "too many"}}
    return web.json_response(told, status=429)


async def drain(jobs: int, in_flight: int, limits: Limits | None) -> dict[str, Any]:
    """Bring so many jobs to their ends, and tell what it took."""
    service = Service()
    runner = web.AppRunner(service.application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    request = MusicRequest(idea="a light above the bay")
    requests = itertools.repeat(request, jobs)
    async with PersonaKit(
        "evolink", api_key="key", base_url=address, limits=limits, timeout=10**6
    ) as kit:
        outcomes = [
            outcome async for outcome in kit.batch(requests, concurrency=in_flight)
        ]
    took = asyncio.get_running_loop().time()
    await runner.cleanup()
    lost = sum(outcome.error is not None for outcome in outcomes)
    lags = [service.noticed[job] - end for job, end in service.ends.items()]
    return {
        "jobs": jobs,
        "in flight": in_flight,
        "limit": "untold" if limits is None else "told",
        "lost": lost + jobs - len(outcomes),
        "429": service.refused,
        "reads per job": service.requests / jobs - 1,
        "lag s": fmean(lags),
        "longest / mean lag": max(lags) / fmean(lags),
        "x ideal drain": took / (2 * jobs * PERIOD / COUNT),
    }


def run(jobs: int, in_flight: int, limits: Limits | None) -> dict[str, Any]:
    """Run in virtual time."""
    loop = looptime.new_event_loop()
    try:
        return loop.run_until_complete(drain(jobs, in_flight, limits))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def main() -> None:
    """Measure and print."""
    report = start("limits", __doc__)
    few, many = (40, 150) if report.small else (500, 10_000)
    told = Limits(total=Limit(COUNT, PERIOD))
    plans = ((few, few, told), (many, IN_FLIGHT, told), (few, few, None))
    rows = [run(*plan) for plan in plans]
    report.table(f"{COUNT} requests in {PERIOD:g} s", rows)
    judge(report, rows)


def judge(report: Report, rows: list[dict[str, Any]]) -> None:
    """Compare with the goals."""
    few, many, untold = rows
    print()
    refused, lost = few["429"] + many["429"], few["lost"] + many["lost"]
    report.figure("G16", "limit told: refused", refused, 0)
    report.figure("G16", "limit told: lost", lost, 0)
    report.figure("G17", "limit untold: refused", untold["429"], 100)
    report.figure("G17", "limit untold: lost", untold["lost"], 0)
    report.figure("G18", "drain against the ideal", many["x ideal drain"], 1.2)
    report.figure("G18", "mean lag in s", many["lag s"], 40.0)
    report.figure("G19", "longest against mean lag", many["longest / mean lag"], 3.5)

    def draw(axes: Any) -> None:
        axes.bar([f"{r['jobs']} {r['limit']}" for r in rows], [r["429"] for r in rows])
        axes.set(
            ylabel="requests refused", xlabel="jobs, and whether the limit is told"
        )

    report.save(draw)


if __name__ == "__main__":
    main()
