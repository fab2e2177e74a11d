"""An account's limits are kept by the client, told or not; no job is lost by them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from statistics import fmean

import pytest

from personakit import MusicRequest
from personakit.emulator import Emulator, Fault
from personakit.emulator.tasks import SPREADS, Spread
from personakit.ratelimit.limits import Limit, Limits
from tests.contract.worlds import connect

SONG = {"lyrics": "[Verse]\nBlue", "style": "jazz", "title": "Blue hour"}


@pytest.mark.parametrize("name", ["sunoapi", "sunoapi.org", "kie", "kie-jobs"])
async def test_published_limit_is_never_exceeded(name):
    """A hundred submits at once meet no refusal where the figure is known."""
    async with Emulator(starts_limit=(20, 10), credits=9999) as emulator:
        async with connect(emulator, name) as kit:
            request = MusicRequest(**SONG)
            jobs = await asyncio.gather(*(kit.submit(request) for _ in range(100)))

        assert len({job.id for job in jobs}) == len(emulator.charges) == 100
        assert emulator.refused("submit") == 0
    assert asyncio.get_running_loop().time() < 45


@pytest.mark.parametrize("name", ["evolink", "musicmint"])
async def test_unpublished_limit_is_found_out(name):
    """Where it is not known few are refused, nothing is lost and nothing paid twice."""
    async with Emulator(starts_limit=(20, 10), credits=9999) as emulator:
        async with connect(emulator, name, timeout=9999) as kit:
            songs = await asyncio.gather(*(kit.generate(**SONG) for _ in range(100)))

        assert len(songs) == len(emulator.charges) == 100
        assert emulator.refused("submit") <= 100


async def test_caller_s_own_limit(emulator):
    """Who knows better says so."""
    limits = Limits(starts=Limit(1, 5))
    async with connect(emulator, "evolink", limits=limits) as kit:
        await asyncio.gather(*(kit.submit(MusicRequest(**SONG)) for _ in range(4)))

    assert asyncio.get_running_loop().time() == pytest.approx(15, abs=1)


async def test_limit_on_readings_only_delays():
    """Waiting under a narrow limit for reads loses no job, and meets few refusals."""
    async with Emulator(reads_limit=(20, 10), credits=9999) as emulator:
        limits = Limits(reads=Limit(20, 10))
        options = {"timeout": 9999, "limits": limits}
        async with connect(emulator, "evolink", **options) as kit:
            songs = await asyncio.gather(*(kit.generate(**SONG) for _ in range(60)))

        assert len(songs) == 60
        assert emulator.refused("read") == 0


async def test_submit_without_room_in_time_leaves_nothing(emulator):
    """A submit that the limit holds back beyond its deadline was never sent."""
    limits = Limits(starts=Limit(1, 100))
    async with connect(emulator, "evolink", limits=limits) as kit:
        await kit.submit(MusicRequest(**SONG))
        with pytest.raises(Exception, match="no room before the deadline") as caught:
            await kit.submit(MusicRequest(**SONG), timeout=20)

        assert caught.value.charged == "no"
        assert await kit.pending() == ()
    assert emulator.count("submit") == 1


class LoopDatetime(datetime):
    """The wall clock, moved by the loop's time."""

    @classmethod
    def now(cls, tz=None):
        moved = timedelta(seconds=asyncio.get_running_loop().time())
        return datetime(2026, 11, 21, tzinfo=UTC) + moved


async def test_time_in_the_queue_is_no_age(monkeypatch):
    """A job that queued for the account's limit is found done as soon as others."""
    monkeypatch.setattr("personakit.receipt.datetime", LoopDatetime)
    monkeypatch.setattr("personakit.jobs.engine.datetime", LoopDatetime)
    monkeypatch.setattr("personakit.journal.memory.datetime", LoopDatetime)
    monkeypatch.setitem(SPREADS, "music", Spread(6.0, 0.01, 5.9, 6.1))
    clock = asyncio.get_running_loop().time
    lags: list[float] = []

    async with Emulator(starts_limit=(20, 10), credits=9999) as emulator:
        limits = Limits(starts=Limit(20, 10))
        async with connect(emulator, "evolink", limits=limits, timeout=999) as kit:

            async def sing() -> None:
                job = await kit.submit(MusicRequest(**SONG))
                accepted = clock()
                await job
                lags.append(clock() - accepted - 6.0)

            # Six seconds are well known, and nothing but the age tells when.
            fault = Fault.patch({}, remove=("progress",))
            emulator.inject(fault, on="read", times=None)
            for _ in range(40):
                await sing()
            lags.clear()
            await asyncio.sleep(20)
            await asyncio.gather(*(sing() for _ in range(60)))

    first, last = fmean(lags[:20]), fmean(lags[-20:])

    assert len(lags) == 60
    assert last <= 1.5 * max(first, 0.5)
