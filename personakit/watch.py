"""What is known of one job under way, kept small: a client may hold 100,000."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import attrs

from personakit.history import Trace
from personakit.models import Result, Snapshot


class Reader(Protocol):
    """Reads jobs of one kind."""

    @property
    def kind(self) -> str:
        """By which durations are compared."""
        ...

    @property
    def expects_reports(self) -> bool:
        """True where the service was asked to report on such jobs."""
        ...

    @property
    def at_once(self) -> int:
        """Jobs of which one reading may tell; 1 where each needs its own."""
        ...

    async def read(self, watch: Watch) -> Snapshot[Result]:
        """Read a job once."""
        ...

    async def read_many(self, job_ids: Sequence[str]) -> Mapping[str, Snapshot[Result]]:
        """Read jobs together; those that are missing want a reading of their own."""
        ...


Listener: TypeAlias = "asyncio.Future[None] | Callable[[Watch], object]"
"""A future waits for the end only; anything else is called at each change."""


@attrs.define(eq=False, weakref_slot=False)
class Trouble:
    """What went wrong with a job's readings since the last good one.

    Attributes:
        since: Loop time of the first failure.
        failures: How many.
        missing_since: Loop time since which every reading says that there is no such
            job; infinite while none does.
    """

    since: float
    failures: int = 0
    missing_since: float = math.inf


@attrs.define(eq=False, weakref_slot=False)
class Watch:
    """What is known of one job, shared by all who await it.

    Attributes:
        job_id: The job.
        reader: Reads it.
        born: Loop time at which it was submitted, as far as known.
        snapshot: The last reading, None before the first.
        looked_at: Loop time at which that was begun; of its submit before.
        due: Number of the tick at which it is to be read next, or one of the
            poller's marks.
        listeners: Who awaits it; without any, nobody reads.
        error: Why there will be no further reading, None while there will be.
        estimate: The service's first guess of the whole duration in seconds, None for
            none.
        trace: What it has told of its progress, None before it has.
        trouble: None while readings succeed.
        is_reported: True once a report on it came.
        is_woken: True when one came since the last reading began.
        is_alone: True when it must be read by itself.
        fingerprint: Of the answer that `snapshot` was read from, 0 for none.
    """

    job_id: str
    reader: Reader
    born: float
    snapshot: Snapshot[Result] | None
    looked_at: float
    due: int = 0
    listeners: tuple[Listener, ...] = ()
    error: Exception | None = None
    estimate: float | None = None
    trace: Trace | None = None
    trouble: Trouble | None = None
    is_reported: bool = False
    is_woken: bool = False
    is_alone: bool = False
    fingerprint: int = 0

    @property
    def is_over(self) -> bool:
        """True when it will not be read again."""
        return self.error is not None or (
            self.snapshot is not None and self.snapshot.state.is_final
        )

    def tell(self) -> None:
        """Tell everyone who listens of a change."""
        for listener in self.listeners:
            if callable(listener):
                listener(self)
            elif self.is_over and not listener.done():
                listener.set_result(None)

    def add(self, listener: Listener) -> None:
        """Begin to listen."""
        self.listeners += (listener,)

    def remove(self, listener: Listener) -> None:
        """Stop listening."""
        self.listeners = tuple(one for one in self.listeners if one is not listener)
