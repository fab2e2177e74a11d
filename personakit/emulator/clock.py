"""The service's time: it follows the event loop's, faster or not, and can skip."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class Clock:
    """The service's time in seconds since the emulator was made.

    It follows the event loop's time, `speed` times as fast, and stands still while the
    emulator is stopped. The dates that the service shows are those of the event loop's
    time, whatever the speed: a client compares them with its own clock.
    """

    def __init__(self, speed: float) -> None:
        if speed <= 0:
            raise ValueError("speed must be above 0")
        self.speed = speed
        self._birth = time.time()
        self._passed = 0.0
        self._since = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Follow the time of the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()

    def stop(self) -> None:
        """Stand still, and let go of the event loop."""
        self._passed, self._loop = self.now(), None

    def advance(self, seconds: float) -> None:
        """Skip seconds of the service's time.

        Raises:
            ValueError: `seconds` is negative; the past does not come back.
        """
        if seconds < 0:
            raise ValueError("seconds must not be negative")
        self._passed += seconds

    def now(self) -> float:
        """Return the second of the service's time."""
        if self._loop is None:
            return self._passed
        seen = self._loop.time()
        # A test that switches to virtual time after `start` sets the loop's time back.
        self._since = min(self._since, seen)
        return self._passed + (seen - self._since) * self.speed

    def iso(self, moment: float) -> str:
        """Return a moment of the service's time as ISO 8601 text in UTC."""
        return datetime.fromtimestamp(self.unix(moment), UTC).isoformat()

    def unix(self, moment: float) -> int:
        """Return a moment of the service's time as the Unix seconds that it shows."""
        return int(self._birth + moment / self.speed)
