"""A wall clock that follows virtual time, and an emulator that agrees with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, ClassVar

import personakit.http.messages
import personakit.jobs.engine
import personakit.journal.memory
import personakit.receipt
from personakit.emulator import Emulator

_WITH_CLOCKS = (
    personakit.journal.memory,
    personakit.receipt,
    personakit.http.messages,
    personakit.jobs.engine,
)


class WallClock(datetime):
    """A wall clock that follows the event loop's time, and that somebody sets.

    Attributes:
        birth: What it shows, in Unix seconds, when the loop's time is 0.
        shift: By how much it is wrong.
    """

    birth: ClassVar[float] = 0.0
    shift: ClassVar[timedelta] = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        """Return the time that this clock shows."""
        seconds = cls.birth + asyncio.get_running_loop().time()
        return datetime.fromtimestamp(seconds, tz) + cls.shift

    @classmethod
    def install(cls) -> None:
        """Have the package ask this clock."""
        for module in _WITH_CLOCKS:
            module.datetime = cls  # type: ignore[attr-defined]


@asynccontextmanager
async def emulate(**options: Any) -> AsyncIterator[Emulator]:
    """Run an emulator whose dates are those of this clock."""
    async with Emulator(**options) as emulator:
        WallClock.birth = time.time() - asyncio.get_running_loop().time()
        yield emulator
