"""One timer for many blocks, each of which gets the same time."""

from __future__ import annotations

import asyncio

import pytest

from personakit.http.watchdog import Watchdog


@pytest.fixture
async def dog():
    watchdog = Watchdog(10)
    yield watchdog
    watchdog.close()


async def work(dog, seconds):
    """Work in a block, and tell when and how it ended."""
    loop = asyncio.get_running_loop()
    try:
        with dog:
            await asyncio.sleep(seconds)
    except TimeoutError:
        return "late", loop.time()
    return "done", loop.time()


async def test_each_block_has_its_own_time(dog):
    """Whoever began later ends later; who is in time is left alone."""
    tasks = []
    for seconds in (20, 5, 30, 9.5):
        tasks.append(asyncio.create_task(work(dog, seconds)))
        await asyncio.sleep(1)

    assert await asyncio.gather(*tasks) == [
        ("late", 10), ("done", 6), ("late", 12), ("done", 12.5),
    ]  # fmt: skip


async def test_next_block_begins_anew(dog):
    """A task may go on after a block that took too long."""
    assert await work(dog, 11) == ("late", 10)
    assert await work(dog, 9) == ("done", 19)
    assert await work(dog, 99) == ("late", 29)
    assert asyncio.current_task().cancelling() == 0


async def test_cancellation_remains_one(dog):
    """Who is cancelled from outside is not told of a timeout, even at the same time."""
    early = asyncio.create_task(work(dog, 99))
    both = asyncio.create_task(work(dog, 99))
    await asyncio.sleep(5)
    early.cancel()
    asyncio.get_running_loop().call_at(10, both.cancel)
    ends = await asyncio.gather(early, both, return_exceptions=True)

    assert [type(end) for end in ends] == [asyncio.CancelledError] * 2


async def test_error_of_a_late_block_is_its_own(dog):
    """What fails while it is being ended fails in its own way."""

    async def fail():
        with dog:
            try:
                await asyncio.sleep(99)
            finally:
                raise ValueError("own")

    with pytest.raises(ValueError, match="own"):
        await fail()
    assert asyncio.current_task().cancelling() == 0


async def test_closed_watchdog_ends_nothing():
    """Closing takes the timer back."""
    dog = Watchdog(10)
    waiting = asyncio.create_task(work(dog, 15))
    await asyncio.sleep(1)
    dog.close()

    assert await waiting == ("done", 15)
    assert Watchdog(1).close() is None
