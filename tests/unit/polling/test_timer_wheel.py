"""The agenda: what is due, gathered on a common grid, with one timer."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from personakit.polling.timer_wheel import GRID, TimerWheel


@attrs.define(eq=False)
class Item:
    name: str
    due: int = 0


@pytest.fixture
async def rung():
    """What was due at which loop time."""
    return []


@pytest.fixture
async def wheel(rung):
    def ring(due):
        now = asyncio.get_running_loop().time()
        rung.extend((round(now, 3), round(at, 3), item.name) for at, item in due)

    return TimerWheel(ring)


async def test_due_times_are_rounded_up_to_the_grid(wheel, rung):
    """What comes due within one tick comes together, never too early."""
    for name, due in {"a": 1.0, "b": 1.001, "c": 1.06, "d": 1.1}.items():
        wheel.put(Item(name), due)
    await asyncio.sleep(2)

    assert rung == [(1.0, 1.0, "a"), (1.1, 1.1, "b"), (1.1, 1.1, "c"), (1.1, 1.1, "d")]


async def test_earlier_due_time_overtakes(wheel, rung):
    """The timer rings for the earliest, in whatever order they came."""
    for due in (5.0, 1.0, 3.0):
        wheel.put(Item(str(due)), due)
    await asyncio.sleep(6)

    assert [name for *_, name in rung] == ["1.0", "3.0", "5.0"]


async def test_only_the_latest_due_time_counts(wheel, rung):
    """What was put off, or brought forward, comes once, at its new time."""
    late, early = Item("late"), Item("early")
    wheel.put(late, 1.0)
    wheel.put(late, 3.0)
    wheel.put(early, 4.0)
    wheel.put(early, 2.0)
    await asyncio.sleep(6)

    assert rung == [(2.0, 2.0, "early"), (3.0, 3.0, "late")]


async def test_past_due_time_rings_soon(wheel, rung):
    """What should have come before comes now, with the time at which it should."""
    await asyncio.sleep(10)
    wheel.put(Item("a"), 4.0)
    await asyncio.sleep(GRID)

    assert rung == [(10.0, 4.0, "a")]


async def test_cleared_agenda_is_silent(wheel, rung):
    """After clearing nothing rings, and no timer is left."""
    wheel.clear()
    wheel.put(Item("a"), 1.0)
    wheel.clear()
    await asyncio.sleep(2)

    assert rung == []
