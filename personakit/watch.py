"""What is known of one job under way, kept small: a client may hold 100,000."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, IntEnum
from typing import Protocol, TypeAlias

import attrs

from personakit.errors import (
    AuthenticationError,
    InvalidRequest,
    NotFound,
    PersonaKitError,
    RateLimited,
)
from personakit.history import Trace
from personakit.models import Result, Snapshot

PATIENCE = 300.0
"""Seconds of failed polls after which a wait ends with the last failure."""
EARLY_PATIENCE = 30.0
"""Seconds of "no such job" after which a job counts as gone. Right after a submit the
service may not know the job yet."""

KEPT, KEPT_FOR = 10_000, 600.0
"""Plans that are kept after the last waiter has left: number, and seconds."""


class Stage(Enum):
    """Where a job is between two polls.

    Attributes:
        PLANNED: The next poll has a due time.
        READY: The next poll is due and waits for a place under the rate limit.
        READING: A poll is under way.
        OVERDUE: The due time passed while nobody waited for the job.
    """

    PLANNED = "planned"
    READY = "ready"
    READING = "reading"
    OVERDUE = "overdue"


class Rank(IntEnum):
    """The order of polls that are due.

    Attributes:
        REPORTED: A report says that the job has changed.
        FIRST: Nothing is known of the job yet.
        USUAL: Any other.
    """

    REPORTED = 0
    FIRST = 1
    USUAL = 2


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
    """Failed polls of one job since its last good one.

    Time in the client's own queue does not count as failure: `shift` takes it off.

    Attributes:
        error: The last failure.
        since: Loop time from which `PATIENCE` counts.
        failed_at: Loop time of the last failure.
        failures: Number of failures.
        missing_since: Loop time of the first "no such job" in a row; infinite if the
            last failure was another one.
    """

    error: PersonaKitError
    since: float
    failed_at: float
    failures: int = 0
    missing_since: float = math.inf

    def note(self, error: PersonaKitError, now: float) -> None:
        """Count a failure."""
        self.error, self.failed_at = error, now
        self.failures += 1
        if isinstance(error, RateLimited):
            # The service works, and this answer is not about the job.
            self.since = now
        elif isinstance(error, NotFound):
            self.missing_since = min(self.missing_since, now)
        else:
            self.missing_since = math.inf

    def shift(self, seconds: float) -> None:
        """Leave a time without any poll out of account."""
        self.since += seconds
        self.missing_since += seconds

    def is_final(self, now: float) -> bool:
        """Return whether the last failure ends the wait.

        The job is paid for, so a refused poll ends the wait at once only if the key is
        wrong, or if this client refused to send the poll.
        """
        error = self.error
        if isinstance(error, NotFound):
            return now - self.missing_since >= EARLY_PATIENCE
        if isinstance(error, AuthenticationError):
            return True
        if error.status is None and (
            isinstance(error, InvalidRequest) or type(error) is PersonaKitError
        ):
            return True  # an id of another form, or a closed client
        return now - self.since >= PATIENCE

    def is_quiet(self, now: float) -> bool:
        """Return whether the service still wants to be left alone."""
        return now < self.failed_at + (self.error.retry_after or 0.0)


@attrs.define(eq=False, weakref_slot=False)
class Watch:
    """What is known of one job, shared by all who await it.

    Attributes:
        job_id: The job.
        reader: Reads it.
        born: Loop time at which it was submitted, as far as known.
        snapshot: The last reading, None before the first.
        looked_at: Loop time at which that was begun; of its submit before.
        due: Number of the tick at which it is to be read next; see `Stage.PLANNED`.
        stage: Where it is between two polls.
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
    stage: Stage = Stage.PLANNED
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

    @property
    def last_error(self) -> PersonaKitError | None:
        """The error of the last poll, None if it succeeded."""
        return None if self.trouble is None else self.trouble.error

    @property
    def rank(self) -> Rank:
        """Its place among the polls that are due."""
        if self.is_woken:
            return Rank.REPORTED
        is_unknown = self.snapshot is None and self.trouble is None
        return Rank.FIRST if is_unknown else Rank.USUAL

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


class Kept:
    """Plans of jobs for which nobody waits, for a new wait to continue."""

    def __init__(self) -> None:
        self._watches: dict[str, tuple[float, Watch]] = {}  # the longest kept first

    def add(self, watch: Watch, now: float) -> None:
        """Keep a plan, and drop old ones."""
        self._watches[watch.job_id] = (now, watch)
        while True:
            oldest = next(iter(self._watches))
            kept_at, _ = self._watches[oldest]
            if len(self._watches) <= KEPT and kept_at > now - KEPT_FOR:
                break
            del self._watches[oldest]

    def find(self, job_id: str) -> Watch | None:
        """Return a job, None if it is not kept."""
        return self._watches.get(job_id, (0.0, None))[1]

    def pop(self, job_id: str, now: float) -> Watch | None:
        """Return a job that is waited for again, None if it is not kept.

        An error that came when nobody waited is dropped with its job.
        """
        kept_at, watch = self._watches.pop(job_id, (0.0, None))
        if watch is None or watch.error is not None:
            return None
        if watch.trouble is not None:
            watch.trouble.shift(now - kept_at)
        return watch

    def clear(self) -> tuple[Watch, ...]:
        """Return all jobs, and keep none."""
        watches = tuple(watch for _, watch in self._watches.values())
        self._watches.clear()
        return watches
