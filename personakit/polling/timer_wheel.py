"""What is due when: ticks of a common grid in a heap, and one timer for all of them.

So it is wake-ups that cost, not jobs. What is under a tick and has been put off since
is passed over when that tick comes.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

GRID = 0.1
"""Seconds from one tick to the next."""
_ROUNDING = 1e-6


class Due(Protocol):
    """Something that comes due.

    Attributes:
        due: Number of the tick at which it does; anything negative for at none.
    """

    due: int


T = TypeVar("T", bound=Due)


class TimerWheel(Generic[T]):
    """Calls back when something is due.

    Args:
        on_due: Takes all that is due at about the same time, with the loop times at
            which it was.
    """

    def __init__(self, on_due: Callable[[list[tuple[float, T]]], object]) -> None:
        self._on_due = on_due
        self._loop = asyncio.get_running_loop()
        self._ticks: list[int] = []
        self._due: dict[int, list[T]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def put(self, item: T, due: float) -> None:
        """Note that something is due at a loop time, and at no other any more."""
        tick = item.due = math.ceil(due / GRID - _ROUNDING)
        if (items := self._due.get(tick)) is not None:
            items.append(item)
            return
        self._due[tick] = [item]
        heapq.heappush(self._ticks, tick)
        self._arm()

    def clear(self) -> None:
        """Forget everything."""
        if self._timer is not None:
            self._timer.cancel()
        self._ticks.clear()
        self._due.clear()

    def _arm(self) -> None:
        """Let the one timer ring at the earliest tick."""
        if not self._ticks:
            return
        at = self._ticks[0] * GRID
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._loop.time()
        due: list[tuple[float, T]] = []
        while self._ticks and self._ticks[0] * GRID <= now + _ROUNDING:
            tick = heapq.heappop(self._ticks)
            at = tick * GRID
            due += [(at, item) for item in self._due.pop(tick) if item.due == tick]
        self._arm()
        self._on_due(due)
