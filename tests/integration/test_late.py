"""Whatever comes too late costs nothing, from the call down to the socket."""

from __future__ import annotations

import asyncio

import pytest

from personakit import (
    MusicRequest,
    OutcomeUnknown,
    PersonaKit,
    PersonaKitError,
    ServiceUnavailable,
)
from personakit.emulator import Emulator, Fault
from personakit.providers.evolink import Evolink
from personakit.ratelimit.limiter import IN_FLIGHT
from personakit.ratelimit.limits import Limit, Limits
from tests.conftest import connect
from tests.servers import raw_server

IDEA = MusicRequest(idea="a rainy night")


async def test_submit_after_its_deadline_sends_nothing(kit, emulator):
    """A block's deadline that has passed is one for paid requests as well."""
    with kit.deadline(5):
        await asyncio.sleep(5)
        with pytest.raises(ServiceUnavailable, match="Nothing was charged") as caught:
            await kit.submit(IDEA)
        with pytest.raises(ServiceUnavailable):
            await kit.credits()

    assert caught.value.charged == "no"
    assert caught.value.retry_safe
    assert emulator.exchanges == ()


async def test_submit_in_a_timeout_that_has_passed_sends_nothing(kit, emulator):
    """``asyncio.timeout`` in the past ends the call before anything is paid."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(-1):
            await kit.submit(IDEA)
    await asyncio.sleep(5)

    assert emulator.exchanges == ()


async def test_submit_that_cannot_connect_in_time_was_not_charged():
    """The verdict of the socket comes before the caller is told."""

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    loop = asyncio.get_running_loop()
    async with raw_server(handler=hang, scheme="https") as heard:
        async with PersonaKit("evolink", api_key="sk-k", base_url=heard.url) as kit:
            with pytest.raises(PersonaKitError) as caught:
                await kit.submit(IDEA, timeout=4)
            took = loop.time()
            pending = await kit.pending()

    assert caught.value.charged == "no"
    assert took <= 4.1
    assert pending == ()


async def test_time_in_the_queue_counts(emulator):
    """A place that comes late leaves less time for the answer, and no more."""
    loop = asyncio.get_running_loop()
    limits = Limits(starts=Limit(1, 3))
    async with connect(emulator, limits=limits) as kit:
        await kit.submit(IDEA)
        emulator.inject(Fault.slow(3.5), on="submit")
        began = loop.time()
        with pytest.raises(OutcomeUnknown):
            await kit.submit(IDEA, timeout=4)

        assert loop.time() - began <= 4.1
        await asyncio.sleep(10)
        assert len([job async for job in kit.resume()]) == 2


async def test_read_that_queues_keeps_its_deadline(emulator):
    """A full queue for reads is left at the deadline, and nothing was sent."""
    loop = asyncio.get_running_loop()
    async with connect(emulator, limits=Limits(reads=Limit(1, 60))) as kit:
        await kit.credits()
        began = loop.time()
        with pytest.raises(PersonaKitError, match="no room") as caught:
            await kit.credits(timeout=4)

        assert loop.time() - began <= 4.1
    assert caught.value.charged == "no"
    assert emulator.count("credits") == 1


async def test_hanging_polls_leave_room_for_direct_calls():
    """The balance can be read at any time, however many polls hang."""
    loop = asyncio.get_running_loop()
    async with Emulator(credits=9999) as emulator:
        emulator.inject(Fault.hang(), on="read", times=None)
        async with connect(emulator, Evolink(joint=None)) as kit:
            tokens = [(await kit.submit(IDEA)).token for _ in range(2 * IN_FLIGHT)]
            waits = [asyncio.create_task(kit.attach(t).result()) for t in tokens]
            await asyncio.sleep(1)
            held = (await kit._here()).reads.held
            began = loop.time()
            await asyncio.gather(*(kit.credits(timeout=5) for _ in range(20)))
            took = loop.time() - began
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    assert held == IN_FLIGHT
    assert took < 1
