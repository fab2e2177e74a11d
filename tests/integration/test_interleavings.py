"""Random interleavings of two clients that share a journal, cancelled at any await."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import hypothesis.strategies as some
import pytest
from hypothesis import HealthCheck, given, settings

from personakit import AlreadyDelivered, MusicRequest, PersonaKit
from personakit.emulator import Emulator
from personakit.journal import Journal, MemoryJournal, SqliteJournal
from personakit.journal.postgres import PostgresJournal

pytestmark = [pytest.mark.looptime(False), pytest.mark.timeout(120)]

ORDERS = ("Red", "Blue")
STEPS = some.lists(
    some.tuples(
        some.sampled_from(("submit", "deliver", "resume")),
        some.sampled_from((0, 1)),
        some.sampled_from(ORDERS),
        some.integers(0, 60),
        some.booleans(),
    ),
    min_size=1,
    max_size=8,
)
"""What is begun, by which client, for which order, for how many turns of the loop it is
left alone, and whether it is cancelled then."""


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def make_opener(request: pytest.FixtureRequest, tmp_path_factory):
    """Return what makes, for each example, what opens its journal."""

    def make() -> Callable[[], Journal]:
        if request.param == "memory":
            shared = MemoryJournal()
            return lambda: shared
        if request.param == "sqlite":
            return partial(SqliteJournal, tmp_path_factory.mktemp("j") / "jobs.db")
        place = request.getfixturevalue("postgres").make_place()
        return partial(PostgresJournal, place)

    return make


@settings(
    max_examples=6,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(steps=STEPS)
def test_one_charge_and_one_delivery_for_each_order(make_opener, steps):
    """However calls meet and end, each order is paid once and delivered once."""
    paid, delivered = asyncio.run(play(steps, make_opener()))

    assert sorted(paid) == sorted(ORDERS)
    assert sorted(delivered) == sorted(ORDERS)


async def play(steps, open_journal) -> tuple[list[str], list[str]]:
    """Take the steps, then fulfil all orders; return the charges and deliveries."""
    delivered: list[str] = []
    async with Emulator(speed=3000, credits=10**6) as emulator:

        def open_kit() -> PersonaKit:
            return PersonaKit(
                "evolink",
                api_key=emulator.api_key,
                base_url=emulator.url("evolink"),
                journal=open_journal(),
                pace="eager",
            )

        async with open_kit() as one, open_kit() as two:
            for action, who, title, turns, is_cancelled in steps:
                work = begin(action, (one, two)[who], title, delivered)
                task = asyncio.create_task(work)
                for _ in range(turns):
                    await asyncio.sleep(0)
                if is_cancelled:
                    task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        async with open_kit() as last:
            for title in ORDERS:
                await begin("deliver", last, title, delivered)
        tasks = emulator._played["evolink"].state.tasks
        paid = [tasks[charge.job_id].songs[0].title for charge in emulator.charges]
    return paid, delivered


async def begin(action: str, kit: PersonaKit, title: str, delivered: list[str]) -> None:
    """Submit an order, deliver it, or deliver what is left."""
    if action == "resume":
        async for job in kit.resume():
            await deliver(job, delivered)
        return
    song = MusicRequest(lyrics="[Verse]\nLa", style="pop", title=title)
    job = await kit.submit(song, key=title)
    if action == "deliver":
        await deliver(job, delivered)


async def deliver(job, delivered: list[str]) -> None:
    """Note the title of the result, as the last thing in the block."""
    try:
        async with job.deliver() as tracks:
            delivered.append(tracks[0].title)
    except AlreadyDelivered:
        return
