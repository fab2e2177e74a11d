"""What a service means to tell its callers by itself: callbacks that are due later."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping

import attrs


@attrs.frozen
class Notice:
    """One callback to come.

    Attributes:
        due: Second of the service's clock.
        url: The address that the caller gave.
        make: Makes body and headers at the moment of sending.
        timeout: Seconds of real time to wait for the answer.
        retries: Seconds to wait before each further try; empty for a single one.
    """

    due: float
    url: str
    make: Callable[[], tuple[bytes, Mapping[str, str]]]
    timeout: float
    retries: tuple[float, ...] = ()


class Outbox:
    """Notices that wait for their time, earliest first."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Notice]] = []
        self._order = itertools.count()
        self.on_change: Callable[[], None] = lambda: None

    def add(self, notice: Notice) -> None:
        """Keep a notice until it is due."""
        heapq.heappush(self._waiting, (notice.due, next(self._order), notice))
        self.on_change()

    @property
    def next_due(self) -> float | None:
        """Second of the service's clock of the earliest notice, None without any."""
        return self._waiting[0][0] if self._waiting else None

    def take_due(self, now: float) -> list[Notice]:
        """Return the notices that are due, and forget them."""
        due: list[Notice] = []
        while self._waiting and self._waiting[0][0] <= now:
            due.append(heapq.heappop(self._waiting)[2])
        return due
