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
from personakit.models import Result, Snapshot
from personakit.polling.durations import ProgressTrace

PATIENCE = 300.0
"""Seconds of failed polls after which a wait ends with the last failure."""
EARLY_PATIENCE = 30.0
"""Seconds of "no such job" after which a job counts as gone. Right after a submit the
service may not know the job yet."""
KEPT, KEPT_FOR = 10_000, 600.0
"""Plans that are kept after the last waiter has left: number, and seconds."""


class Phase(Enum):
    """Where a job is between two polls.

    Attributes:
        PLANNED: The next poll has a due time.
        READY: The next poll is due and waits for a place under the rate limit.
        READING: A poll is under way.
        OVERDUE: The due time passed while nobody waited for the job.
    """

    PLANNED = "planned"
    READY = "ready"
    POLLING = "reading"
    OVERDUE = "overdue"


class Rank(IntEnum):
    """The order of polls that are due.

    Attributes:
        REPORTED: A callback says that the job has changed.
        FIRST: Nothing is known of the job yet.
        USUAL: Any other.
    """

    CALLED_BACK = 0
    FIRST = 1
    USUAL = 2


class StatusSource(Protocol):
    """Reads jobs of one kind."""

    @property
    def kind(self) -> str:
        """By which durations are compared."""
        ...

    @property
    def expects_callback(self) -> bool:
        """True where the service was asked to report on such jobs."""
        ...

    @property
    def at_once(self) -> int:
        """Jobs of which one poll may tell; 1 where each needs its own."""
        ...

    async def poll(self, job: PolledJob) -> Snapshot[Result]:
        """Read a job once."""
        ...

    async def poll_many(self, job_ids: Sequence[str]) -> Mapping[str, Snapshot[Result]]:
        """Read jobs together; those that are missing want a poll of their own."""
        ...


Subscriber: TypeAlias = "asyncio.Future[None] | Callable[[PolledJob], object]"
"""A future waits for the end only; anything else is called at each change."""


@attrs.define(eq=False, weakref_slot=False)
class FailureStreak:
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

    def add(self, error: PersonaKitError, now: float) -> None:
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
class PolledJob:
    """What is known of one job, shared by all who await it.

    Attributes:
        job_id: The job.
        source: Reads it.
        submitted_at: Loop time at which it was submitted, as far as known.
        snapshot: The last poll, None before the first.
        polled_at: Loop time at which that was begun; of its submit before.
        due: Number of the tick at which it is to be read next; see `Phase.PLANNED`.
        phase: Where it is between two polls.
        subscribers: Who awaits it; without any, nobody reads.
        error: Why there will be no further poll, None while there will be.
        estimate: The service's first guess of the whole duration in seconds, None for
            none.
        trace: What it has told of its progress, None before it has.
        streak: None while polls succeed.
        is_called_back: True once a callback on it came.
        is_woken: True when one came since the last poll began.
        is_alone: True when it must be read by itself.
        fingerprint: Of the answer that `snapshot` was read from, 0 for none.
    """

    job_id: str
    source: StatusSource
    submitted_at: float
    snapshot: Snapshot[Result] | None
    polled_at: float
    due: int = 0
    phase: Phase = Phase.PLANNED
    subscribers: tuple[Subscriber, ...] = ()
    error: Exception | None = None
    estimate: float | None = None
    trace: ProgressTrace | None = None
    streak: FailureStreak | None = None
    is_called_back: bool = False
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
        return None if self.streak is None else self.streak.error

    @property
    def rank(self) -> Rank:
        """Its place among the polls that are due."""
        if self.is_woken:
            return Rank.CALLED_BACK
        is_unknown = self.snapshot is None and self.streak is None
        return Rank.FIRST if is_unknown else Rank.USUAL

    def notify(self) -> None:
        """Tell everyone who listens of a change."""
        for subscriber in self.subscribers:
            if callable(subscriber):
                subscriber(self)
            elif self.is_over and not subscriber.done():
                subscriber.set_result(None)

    def add(self, subscriber: Subscriber) -> None:
        """Begin to listen."""
        self.subscribers += (subscriber,)

    def remove(self, subscriber: Subscriber) -> None:
        """Stop listening."""
        self.subscribers = tuple(
            one for one in self.subscribers if one is not subscriber
        )


class IdleJobs:
    """Plans of jobs for which nobody waits, for a new wait to continue."""

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[float, PolledJob]] = {}  # the longest kept first

    def add(self, job: PolledJob, now: float) -> None:
        """Keep a plan, and drop old ones."""
        self._jobs[job.job_id] = (now, job)
        while True:
            oldest = next(iter(self._jobs))
            kept_at, _ = self._jobs[oldest]
            if len(self._jobs) <= KEPT and kept_at > now - KEPT_FOR:
                break
            del self._jobs[oldest]

    def find(self, job_id: str) -> PolledJob | None:
        """Return a job, None if it is not kept."""
        return self._jobs.get(job_id, (0.0, None))[1]

    def pop(self, job_id: str, now: float) -> PolledJob | None:
        """Return a job that is waited for again, None if it is not kept.

        An error that came when nobody waited is dropped with its job.
        """
        kept_at, job = self._jobs.pop(job_id, (0.0, None))
        if job is None or job.error is not None:
            return None
        if job.streak is not None:
            job.streak.shift(now - kept_at)
        return job

    def clear(self) -> tuple[PolledJob, ...]:
        """Return all jobs, and keep none."""
        jobs = tuple(job for _, job in self._jobs.values())
        self._jobs.clear()
        return jobs


Snapshots: TypeAlias = Mapping[str, Snapshot[Result]]
"""What a poll brings, by job id."""


async def poll_jobs(jobs: list[PolledJob]) -> Snapshots:
    """Poll one job by itself, or many together."""
    source = jobs[0].source
    if len(jobs) == 1:
        return {jobs[0].job_id: await source.poll(jobs[0])}
    snapshots = await source.poll_many([job.job_id for job in jobs])
    for job in jobs:
        job.fingerprint = 0
    # A list may tell of an end without what came of it: as good as nothing.
    return {
        job_id: snapshot
        for job_id, snapshot in snapshots.items()
        if snapshot.is_settled or not snapshot.state.is_final
    }
