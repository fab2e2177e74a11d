"""Counts what an account asks, as services do that limit it."""

from __future__ import annotations

from collections import deque
from http import HTTPStatus

import attrs

from personakit.emulator.faults import Fault
from personakit.emulator.traffic import Action

# On two hosts 429 means that there are no credits, and 405 "too often" (documented).
_ODD = {"/sunoapi": HTTPStatus.METHOD_NOT_ALLOWED}
_ODD["/sunoapi.org"] = _ODD["/sunoapi"]


@attrs.define
class Meter:
    """Admits so many requests in any period, and refuses what is more.

    Attributes:
        count: At most so many, None for any number.
        period: Seconds of the event loop's time.
        refused: How many were refused so far.
    """

    count: int | None = None
    period: float = 1.0
    refused: int = 0
    _admitted: deque[float] = attrs.field(factory=deque[float], init=False)

    def admit(self, now: float) -> bool:
        """Count a request that arrives now, and tell whether it may be served."""
        if self.count is None:
            return True
        while self._admitted and self._admitted[0] <= now - self.period:
            self._admitted.popleft()
        if len(self._admitted) >= self.count:
            self.refused += 1
            return False
        self._admitted.append(now)
        return True


class Meters:
    """The meters of one account.

    Args:
        starts: How many submits in how many seconds, None for any number.
        reads: The same for readings.
    """

    def __init__(
        self, starts: tuple[int, float] | None, reads: tuple[int, float] | None
    ) -> None:
        limits: dict[Action, tuple[int, float] | None] = {
            "submit": starts,
            "read": reads,
        }
        self._meters = {
            action: Meter() if limit is None else Meter(*limit)
            for action, limit in limits.items()
        }

    def take(self, prefix: str, action: Action, now: float) -> Fault | None:
        """Return the refusal of a request that is one too many, None for others."""
        meter = self._meters.get(action)
        if meter is None or meter.admit(now):
            return None
        return Fault.status(_ODD.get(prefix, HTTPStatus.TOO_MANY_REQUESTS))

    def refused(self, action: Action) -> int:
        """Return how many requests of one action were refused."""
        return self._meters[action].refused
