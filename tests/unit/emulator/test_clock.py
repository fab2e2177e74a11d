"""The service's time."""

from __future__ import annotations

import asyncio
from datetime import datetime

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


async def test_dates_follow_real_time():
    """A client compares the dates with its own clock, whatever the speed."""
    clock = Clock(10.0)
    clock.start()
    before = clock.unix(clock.now())
    await asyncio.sleep(3)
    after = clock.unix(clock.now())
    clock.stop()

    assert after - before in {2, 3, 4}
    assert datetime.fromisoformat(clock.iso(clock.now())).timestamp() == after


@pytest.mark.parametrize("speed", [0, -1.0])
def test_impossible_speed(speed):
    """A clock that does not go forward is refused."""
    with pytest.raises(ValueError, match="speed must be above 0"):
        Clock(speed)


def test_no_way_back():
    """Skipped time cannot be negative."""
    with pytest.raises(ValueError, match="seconds must not be negative"):
        Clock(1.0).advance(-1)
