"""Batches: every request has one outcome, is paid for once, and can be gone on with."""

from __future__ import annotations

import asyncio

import pytest

from personakit import InvalidRequest, MusicRequest, OutcomeUnknown, PersonaKitError
from personakit.emulator import Emulator, Fault
from personakit.journal import MemoryJournal
from tests.conftest import connect
from tests.contract.worlds import connect as connect_to


def songs(count: int) -> list[MusicRequest]:
    return [
        MusicRequest(lyrics=f"[Verse]\nSong {n}", style="jazz", title=f"Song {n}")
        for n in range(count)
    ]


@pytest.fixture
async def rich():
    """Run an emulator with an account for many jobs."""
    async with Emulator(credits=1e6) as running:
        yield running


async def collect(batch):
    return [outcome async for outcome in batch]


async def test_every_request_has_one_outcome(rich):
    """Results come as they end, each with its request, number and receipt."""
    async with connect(rich) as kit:
        outcomes = await collect(kit.batch(songs(30)))

    assert sorted(outcome.number for outcome in outcomes) == list(range(30))
    assert [outcome.number for outcome in outcomes] != list(range(30))
    for outcome in outcomes:
        assert outcome.error is None
        assert outcome.result[0].title == outcome.request.title
        assert outcome.result[0].job_id == outcome.receipt.job_id
    assert len(rich.charges) == 30


async def test_requests_are_taken_as_there_is_room(rich):
    """Never more than so many are under way, and no more are taken than that."""
    taken = 0

    def feed():
        nonlocal taken
        for request in songs(40):
            taken += 1
            yield request

    most, done = 0, 0
    async with connect(rich) as kit:
        async for _ in kit.batch(feed(), concurrency=5):
            done += 1
            most = max(most, taken - done)

    assert done == 40
    assert most <= 6


async def test_requests_may_come_slowly(rich):
    """An asynchronous source holds nothing up: what is done is yielded meanwhile."""
    loop = asyncio.get_running_loop()

    async def feed():
        for request in songs(2):
            yield request
            await asyncio.sleep(1000)

    async with connect(rich) as kit:
        times = [loop.time() async for _ in kit.batch(feed())]

    assert times[0] < 200
    assert 1000 < times[1] < 1200


async def test_errors_are_outcomes(rich):
    """What goes wrong with one request is told of it alone."""
    rich.inject(Fault.status(400), on="submit")
    rich.inject(Fault.fails(), on="submit")
    rich.inject(Fault.drop(), on="submit")
    async with connect(rich) as kit:
        outcomes = await collect(kit.batch(songs(10)))
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]

    assert sorted(type(error).__name__ for error in errors) == [
        "InvalidRequest",
        "JobFailed",
        "OutcomeUnknown",
    ]
    assert len(outcomes) == 10
    assert all(outcome.receipt is not None for outcome in outcomes)


async def test_first_error_may_end_it(rich):
    """With ``on_error="raise"`` nothing more is submitted after it."""
    rich.inject(Fault.status(402), on="submit", times=None)
    async with connect(rich) as kit:
        with pytest.raises(PersonaKitError):
            await collect(kit.batch(songs(50), concurrency=2, on_error="raise"))

    assert rich.count("submit") <= 4


@pytest.mark.parametrize("item", ["a song", None, 7])
async def test_what_is_no_request_is_named(rich, item):
    """A wrong item is an error with its place, and nothing else suffers."""
    async with connect(rich) as kit:
        outcomes = await collect(kit.batch([*songs(1), item, *songs(1)]))
    bad = [outcome for outcome in outcomes if outcome.error is not None]

    assert [outcome.number for outcome in bad] == [1]
    assert bad[0].error.field == "requests[1]"
    assert bad[0].receipt is None


async def test_source_that_breaks_ends_the_batch(rich):
    """An error of the source itself comes through."""

    def feed():
        yield from songs(1)
        raise OSError("the disk is gone")

    async with connect(rich) as kit:
        with pytest.raises(OSError, match="disk is gone"):
            await collect(kit.batch(feed()))


async def test_concurrency_is_a_number(kit):
    """Nothing could ever be done with none at a time."""
    with pytest.raises(
        InvalidRequest, match="concurrency must be a whole number from 1"
    ):
        await collect(kit.batch([], concurrency=0))


@pytest.mark.parametrize("after", [0.02, 0.5, 20, 50, 90])
async def test_interrupted_batch_goes_on(rich, after):
    """Run again with the same name, it submits only what was never submitted."""
    journal = MemoryJournal()
    async with connect(rich, journal=journal) as kit:
        run = asyncio.create_task(
            collect(kit.batch(songs(40), name="album", concurrency=10))
        )
        await asyncio.sleep(after)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    async with connect(rich, journal=journal) as kit:
        outcomes = await collect(kit.batch(songs(40), name="album", concurrency=10))
        assert await kit.pending() == ()

    assert [outcome.error for outcome in outcomes] == [None] * 40
    assert {outcome.result[0].title for outcome in outcomes} == {
        request.title for request in songs(40)
    }
    assert len(rich.charges) == 40


async def test_finished_batch_costs_nothing(rich):
    """A batch that has ended is read again, and another name begins anew."""
    journal = MemoryJournal()
    async with connect(rich, journal=journal) as kit:
        first = await collect(kit.batch(songs(3), name="album"))
        again = await collect(kit.batch(songs(3), name="album"))
        await collect(kit.batch(songs(3), name="another"))

    assert {o.receipt.job_id for o in first} == {o.receipt.job_id for o in again}
    assert len(rich.charges) == 6


async def test_lost_answers_are_not_paid_again(rich):
    """What is unknown after one run is reported as such by the next."""
    journal = MemoryJournal()
    rich.inject(Fault.drop(), on="submit", times=2)
    async with connect_to(rich, "sunoapi", journal=journal) as kit:
        first = await collect(kit.batch(songs(5), name="album"))
        again = await collect(kit.batch(songs(5), name="album"))

    for outcomes in (first, again):
        lost = [o for o in outcomes if isinstance(o.error, OutcomeUnknown)]
        assert len(lost) == 2
    assert len(rich.charges) == 5


async def test_lost_answers_are_found_where_the_service_tells(rich):
    """Where the list shows the job, the next run has its result."""
    journal = MemoryJournal()
    rich.inject(Fault.drop(), on="submit")
    async with connect(rich, journal=journal) as kit:
        first = await collect(kit.batch(songs(1), name="album"))
        await asyncio.sleep(200)  # the list tells the texts of finished jobs only
        again = await collect(kit.batch(songs(1), name="album"))

    assert isinstance(first[0].error, OutcomeUnknown)
    assert again[0].error is None
    assert len(rich.charges) == 1


async def test_refused_requests_get_another_chance(rich):
    """What was surely refused is submitted again by the next run."""
    journal = MemoryJournal()
    rich.inject(Fault.status(402), on="submit", times=2)
    async with connect(rich, journal=journal) as kit:
        first = await collect(kit.batch(songs(4), name="album"))
        again = await collect(kit.batch(songs(4), name="album"))

    assert sum(outcome.error is not None for outcome in first) == 2
    assert [outcome.error for outcome in again] == [None] * 4
    assert len(rich.charges) == 4


async def test_leaving_the_loop_stops_it(rich):
    """Nothing more is submitted, and what was not delivered is resumed.

    The loop did not ask for another outcome, so the first is not delivered either.
    """
    async with connect(rich) as kit:
        batch = kit.batch(songs(100), concurrency=5)
        async for _ in batch:
            break
        await batch.aclose()
        submitted = len(rich.charges)
        await asyncio.sleep(100)
        rest = [await job async for job in kit.resume()]

    assert submitted <= 7
    assert len(rich.charges) == submitted
    assert len(rest) == submitted
