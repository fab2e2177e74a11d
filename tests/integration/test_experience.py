"""What a program has learned of waiting is kept for the next one."""

from __future__ import annotations

import pytest

from personakit import JournalError, MusicRequest
from personakit.emulator import Emulator
from personakit.journal.sqlite import SqliteJournal
from personakit.polling.durations import DurationStats
from personakit.polling.schedule import Pace
from tests.conftest import connect

IDEA = MusicRequest(idea="a rainy night")


@pytest.mark.looptime(False)
async def test_durations_outlive_the_program(tmp_path):
    """A second client on the same journal begins with the experience of the first."""
    options = {"journal": tmp_path / "jobs.db", "pace": Pace(shortest=0.1, longest=0.1)}
    async with Emulator(credits=9999, speed=60) as emulator:
        async with connect(emulator, **options) as kit:
            jobs = [await kit.submit(IDEA) for _ in range(40)]
            async for job in kit.as_completed(jobs):
                await job
        async with connect(emulator, **options) as later:
            await (await later.submit(IDEA))

    fresh, learned, known = (
        duration_stats.estimate("evolink music", estimate=60, untold=30)
        for duration_stats in (
            DurationStats(),
            kit._duration_stats,
            later._duration_stats,
        )
    )
    assert known.outlier_share == learned.outlier_share < fresh.outlier_share
    assert known.median == pytest.approx(learned.median, rel=0.2)


@pytest.mark.looptime(False)
async def test_broken_journal_costs_only_the_experience(tmp_path, monkeypatch):
    """Where durations cannot be read, jobs are awaited as if there were none."""

    async def fail(_: SqliteJournal) -> None:
        raise JournalError("broken")

    monkeypatch.setattr(SqliteJournal, "durations", fail)
    async with Emulator(speed=100) as emulator:
        async with connect(emulator, journal=tmp_path / "jobs.db") as kit:
            job = await kit.submit(IDEA)

            assert len(await job) == 2


async def test_models_are_told_apart(emulator):
    """Jobs of different models are not expected to take the same time."""
    async with connect(emulator) as kit:
        await (await kit.submit(MusicRequest(idea="rain", model="suno-v5")))
        await (await kit.submit(IDEA))
        readers = (await kit._here()).fetchers

    assert {reader.kind for reader in readers.values()} == {
        "evolink music",
        "evolink music suno-v5",
    }
