"""One deadline over several calls."""

from __future__ import annotations

import asyncio

import pytest

from personakit import PersonaKit, ServiceUnavailable, WaitTimeout


async def test_one_deadline_over_several_calls(kit: PersonaKit):
    """Whatever the timeouts of the calls are, the block's deadline holds."""
    loop = asyncio.get_running_loop()
    with kit.deadline(75):
        tracks = await kit.generate(idea="rain", timeout=90)
        with pytest.raises(WaitTimeout) as late:
            await kit.generate(idea="rain", timeout=900)
        ended = loop.time()
        with pytest.raises(ServiceUnavailable, match="Nothing was charged"):
            await kit.generate(idea="rain")
    job = kit.attach(late.value.receipt)

    assert len(tracks) == 2
    assert 0 <= ended - 75 <= 0.1
    assert len(await job) == 2  # after the block its deadline is gone


async def test_shorter_deadline_wins(kit: PersonaKit):
    """The shortest counts, be it the call's own or that of any block around it."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with kit.deadline(600), kit.deadline(900), kit.deadline(30):
        with pytest.raises(WaitTimeout):
            await kit.generate(idea="rain", timeout=10)
        first = loop.time() - began
        with pytest.raises(WaitTimeout):
            await kit.generate(idea="rain", timeout=100)

    assert first == pytest.approx(10, abs=0.1)
    assert loop.time() - began == pytest.approx(30, abs=0.1)
