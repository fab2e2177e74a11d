"""A value for each loop, closed no later than the loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from personakit.per_loop import PerLoop


class Thing:
    """Something that must be closed in the loop that opened it."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.is_closed = False

    async def close(self) -> None:
        await asyncio.sleep(0)
        assert asyncio.get_running_loop() is self.loop
        self.is_closed = True


async def test_one_loop_has_one_value():
    """Every call in a loop gets the same value."""
    things = PerLoop(Thing, Thing.close)
    first, second = await asyncio.gather(things.here(), things.here())

    assert first is second
    await things.aclose()


async def test_closed_value_is_opened_anew():
    """After closing, the next call opens another value; closing twice is harmless."""
    things = PerLoop(Thing, Thing.close)
    first = await things.here()
    await things.aclose()
    await things.aclose()
    second = await things.here()

    assert first.is_closed
    assert second is not first
    assert not second.is_closed
    await things.aclose()


def test_loop_that_ends_closes_its_value():
    """Nothing stays open when nobody closes: the end of the loop does."""
    things = PerLoop(Thing, Thing.close)
    seen = [asyncio.run(things.here()) for _ in range(3)]

    assert [thing.is_closed for thing in seen] == [True, True, True]
    assert len({id(thing) for thing in seen}) == 3


def test_threads_have_values_of_their_own():
    """Two loops in two threads do not share, and each closes its own."""
    things = PerLoop(Thing, Thing.close)
    seen: list[Thing] = []
    both_open = threading.Barrier(2, timeout=5)

    async def use() -> None:
        seen.append(await things.here())
        both_open.wait()
        await things.aclose()

    threads = [threading.Thread(target=asyncio.run, args=(use(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen[0] is not seen[1]
    assert all(thing.is_closed for thing in seen)


def test_closed_loop_is_served_no_more():
    """A loop that was closed without ado is dropped, with what it held."""
    things = PerLoop(Thing, Thing.close)
    loop = asyncio.new_event_loop()
    thing = loop.run_until_complete(things.here())
    before = things.items()
    loop.close()

    assert before == [(loop, thing)]
    assert things.items() == []
    assert not things


class Slow(Thing):
    """Takes a while to close, and notes each try."""

    tries = 0

    async def close(self) -> None:
        self.tries += 1
        await asyncio.sleep(10)
        self.is_closed = True


async def test_interrupted_closing_is_finished_by_the_next():
    """Who is cancelled while closing leaves it to go on; the next call waits for it."""
    things = PerLoop(Slow, Slow.close)
    thing = await things.here()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await things.aclose()
    was_closed = thing.is_closed
    await things.aclose()

    assert not was_closed
    assert (thing.is_closed, thing.tries) == (True, 1)
    assert asyncio.get_running_loop().time() == 10


async def test_value_opened_while_another_closes_is_kept():
    """A call during an interrupted closing opens a value of its own."""
    things = PerLoop(Slow, Slow.close)
    first = await things.here()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await things.aclose()
    second = await things.here()
    await asyncio.sleep(20)

    assert first.is_closed
    assert await things.here() is second
    await things.aclose()
    assert second.is_closed


@pytest.mark.looptime(False)
def test_loop_that_ends_during_closing_closes_all_the_same():
    """A closing that the end of the loop cancels is made up for."""

    class Patient(Thing):
        tries = 0

        async def close(self) -> None:
            self.tries += 1
            if self.tries == 1:
                await asyncio.sleep(60)
            self.is_closed = True

    things = PerLoop(Patient, Patient.close)

    async def leave() -> Patient:
        thing = await things.here()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await things.aclose()
        return thing

    thing = asyncio.run(leave())

    assert (thing.is_closed, thing.tries) == (True, 2)
    assert not things
