"""Several clients that share a database: jobs, reports, limits, and a restart of it."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web

from personakit import MusicRequest
from personakit.emulator import Emulator, Fault
from personakit.journal.postgres import PostgresJournal
from personakit.polling.schedule import Pace
from personakit.ratelimit.limits import Limit, Limits
from tests.contract.worlds import connect

pytestmark = pytest.mark.looptime(False)

QUICK = {"limits": Limits(), "pace": Pace(shortest=0.05, untold=0.3)}
LAZY = Pace(worth=1000, untold=3600)
SONG = MusicRequest(lyrics="[Verse]\nBlue", style="jazz", title="Blue hour")


@pytest.fixture
def place(postgres) -> str:
    return postgres.make_place()


@pytest.fixture
async def busy():
    """Run a fast emulator with an account for many jobs."""
    async with Emulator(speed=100, credits=1e6) as running:
        yield running


async def test_jobs_are_resumed_by_one_of_them(busy, place):
    """What one submitted and left goes to others, each job to one of them."""
    async with connect(busy, "sunoapi", journal=place, **QUICK) as first:
        submitted = {(await first.submit(SONG)).id for _ in range(10)}
    async with (
        connect(busy, "sunoapi", journal=place, **QUICK) as one,
        connect(busy, "sunoapi", journal=place, **QUICK) as two,
    ):
        mine = [job async for job in one.resume(limit=4)]
        yours = [job async for job in two.resume()]
        nothing = [job async for job in one.resume() if job not in mine]
        await asyncio.gather(*mine, *yours)
        left = [job async for job in two.resume()]

    assert (len(mine), len(yours)) == (4, 6)
    assert {job.id for job in (*mine, *yours)} == submitted
    assert {job.id for job in nothing} == {job.id for job in mine}
    assert left == []
    assert len(busy.charges) == 10


async def test_key_is_paid_once_by_all(busy, place):
    """The same wish in many processes at once is one job."""
    kits = [connect(busy, "sunoapi", journal=place, **QUICK) for _ in range(4)]
    busy.inject(Fault.slow(0.5), on="submit")
    jobs = await asyncio.gather(*(kit.submit(SONG, key="k") for kit in kits * 3))
    for kit in kits:
        await kit.aclose()

    assert len({job.id for job in jobs}) == 1
    assert len(busy.charges) == 1


async def test_limit_is_kept_by_all_together(place):
    """Four clients never start more than the account may, as the service counts."""
    limits = Limits(starts=Limit(20, 1.0))
    async with Emulator(credits=1e6, starts_limit=(20, 1.0)) as narrow:
        kits = [
            connect(narrow, "sunoapi", journal=place, limits=limits) for _ in range(4)
        ]
        began = time.monotonic()
        await asyncio.gather(*(kit.submit(SONG) for kit in kits for _ in range(15)))
        took = time.monotonic() - began
        for kit in kits:
            await kit.aclose()
        refused, started = narrow.refused("submit"), len(narrow.charges)

    assert (refused, started) == (0, 60)
    assert took < 6


async def test_report_to_one_wakes_the_other(place):
    """Who awaits a job learns of its end when another process is told."""
    app = web.Application()

    async def take(request: web.Request) -> web.Response:
        return await callbacks.aiohttp_handler(request)

    app.router.add_post("/hooks/{token}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    secret = {"public_url": "https://app.example/hooks", "secret": "s" * 20}
    async with Emulator(speed=20, callbacks_to=address) as emulator:
        async with (
            connect(emulator, "sunoapi", journal=place) as web_app,
            connect(emulator, "sunoapi", journal=place, pace=LAZY) as worker,
        ):
            callbacks = web_app.callbacks(**secret)
            worker.callbacks(**secret)
            job = await worker.submit(SONG)
            async with asyncio.timeout(9):  # a look without a callback comes much later
                tracks = await job
    await runner.cleanup()

    assert tracks[0].job_id == job.id


async def test_restart_of_the_database_is_not_noticed(busy, postgres, place):
    """Whoever waits, submits or reads meanwhile gets a result and no error."""
    journal = PostgresJournal(place)
    async with connect(busy, "sunoapi", journal=journal, **QUICK) as kit:
        first = await asyncio.gather(*(kit.submit(SONG) for _ in range(20)))
        restarting = asyncio.create_task(asyncio.to_thread(postgres.restart))
        more = await asyncio.gather(*(kit.submit(SONG) for _ in range(20)))
        results = await asyncio.gather(*first, *more)
        await restarting
        left = [job async for job in kit.resume()]

    assert len(results) == len(busy.charges) == 40
    assert left == []
