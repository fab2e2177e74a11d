"""The service's time."""

from __future__ import annotations

import asyncio

import pytest

from personakit.emulator.clock import Clock


async def test_clock_follows_the_loop():
    """The service's clock runs faster than the loop's, and only while started."""
    clock = Clock(10.0)
    seen = [clock.now()]
    clock.start()
    await asyncio.sleep(3)
    seen.append(clock.now())
    clock.advance(100)
    seen.append(clock.now())
    clock.stop()
    await asyncio.sleep(3)
    seen.append(clock.now())

    assert seen == pytest.approx([0, 30, 130, 130])
    assert clock.unix(130) - clock.unix(0) == 130


@pytest.mark.parametrize("speed", [0, -1.0])
def test_impossible_speed(speed):
    """A clock that does not go forward is refused."""
    with pytest.raises(ValueError, match="speed must be above 0"):
        Clock(speed)


def test_no_way_back():
    """Skipped time cannot be negative."""
    with pytest.raises(ValueError, match="seconds must not be negative"):
        Clock(1.0).advance(-1)
