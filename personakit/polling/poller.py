"""One scheduler that polls jobs until they end, however many await each of them.

A job in flight is an entry of the agenda; only a poll under way is a task.
`Poller._finish` alone decides what follows a poll: a snapshot, an error or a
cancellation. A failed poll only delays the next one, until `FailureStreak.is_final`.

Polls need a place under the account's rate limit. While there are fewer places than due
jobs, each poll costs more lag: jobs are polled later, when they are more likely done.

The plan of a job survives its waits: a new wait continues where the last one stopped.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import deque
from contextvars import Context
from typing import TypeAlias

import attrs

from personakit.errors import PersonaKitError, RateLimited
from personakit.models import JobState, Result, Snapshot
from personakit.polling.durations import DurationStats, ProgressTrace
from personakit.polling.polled_job import (
    EARLY_PATIENCE,
    FailureStreak,
    IdleJobs,
    Phase,
    PolledJob,
    Rank,
    Snapshots,
    StatusSource,
    Subscriber,
    poll_jobs,
)
from personakit.polling.schedule import Pace, PollContext, Price
from personakit.polling.timer_wheel import TimerWheel
from personakit.ratelimit.limiter import LocalRateLimiter, RateLimiter
from personakit.ratelimit.limits import UNKNOWN

VAGUE = 0.5
"""Share of a job's age; an end between two polls further apart is no experience."""
TRUST = 600.0
"""Seconds after a callback for which further ones are expected."""
FRESH = 3.0
"""Seconds after a poll within which a deadline needs no further one."""
_Outcome: TypeAlias = Snapshot[Result] | BaseException | None
"""The same for one job; None if a joint poll lacks it."""
_log = logging.getLogger("personakit")


class Poller:
    """Reads the jobs of one event loop.

    Args:
        pace: How often to look.
        duration_stats: What jobs have taken so far; shared by all loops of a client.
        rate limiter: Through which polls pass; None for one without a known limit.
    """

    def __init__(
        self,
        pace: Pace,
        duration_stats: DurationStats | None = None,
        limiter: RateLimiter | None = None,
    ) -> None:
        self._pace = pace
        self._duration_stats = duration_stats or DurationStats()
        self._limiter = limiter or LocalRateLimiter(UNKNOWN)
        self._loop = asyncio.get_running_loop()
        self._jobs: dict[str, PolledJob] = {}
        self._kept = IdleJobs()
        self._timer_wheel = TimerWheel[PolledJob](self._on_due)
        self._ready = tuple(deque[tuple[float, PolledJob]]() for _ in Rank)
        self._turn: asyncio.Future[None] | None = None
        self._polls: dict[asyncio.Task[Snapshots], tuple[list[PolledJob], float]] = {}
        self._price = Price(self._loop.time())
        self._unknown_states: set[str] = set()
        self._trusted_until = -math.inf

    def subscribe(
        self,
        job_id: str,
        source: StatusSource,
        subscriber: Subscriber,
        *,
        latest: Snapshot[Result] | None,
        age: float,
    ) -> PolledJob:
        """Have a job read for as long as anybody listens; `leave` ends it.

        Args:
            job_id: The job; all who attend to it share its polls.
            source: Reads it.
            subscriber: Is told of changes; at once if the end is known already.
            latest: The last known poll; None looks at once. Neither counts where an
                earlier wait has left a plan.
            age: Seconds since it was submitted.
        """
        job = self._jobs.get(job_id) or self._resume(job_id, source)
        if job is None:
            job = self._begin(job_id, source, latest, age)
        job.add(subscriber)
        if job.is_over:
            job.notify()
        return job

    def _begin(
        self,
        job_id: str,
        source: StatusSource,
        latest: Snapshot[Result] | None,
        age: float,
    ) -> PolledJob:
        now = self._loop.time()
        submitted_at = now - age
        job = PolledJob(job_id, source, submitted_at, latest, polled_at=submitted_at)
        self._jobs[job_id] = job
        if latest is None:
            self._put(job, now)
        else:
            job.estimate = latest.estimated_time
            self._plan(job)
        return job

    def _resume(self, job_id: str, source: StatusSource) -> PolledJob | None:
        """Return a job of an earlier wait with its plan, None if it is not kept."""
        job = self._kept.pop(job_id, now := self._loop.time())
        if job is None or job.is_over:
            return job
        job.source = source
        self._jobs[job_id] = job
        if job.phase is Phase.OVERDUE:
            self._put(job, now)
        return job

    def unsubscribe(self, job: PolledJob, subscriber: Subscriber) -> None:
        """Stop listening; without listeners no further poll is started."""
        job.remove(subscriber)
        if job.subscribers or self._jobs.get(job.job_id) is not job:
            return
        del self._jobs[job.job_id]
        self._kept.add(job, self._loop.time())

    def wake(self, job_id: str) -> None:
        """Poll a job soon, before others: a callback says that it has changed."""
        now = self._loop.time()
        self._trusted_until = now + TRUST
        job = self._jobs.get(job_id) or self._kept.find(job_id)
        if job is None or job.is_over:
            return
        job.is_called_back = job.is_woken = True
        if job.phase is Phase.READY:
            self._ready[Rank.CALLED_BACK].append((now, job))
        elif job.phase is not Phase.POLLING:
            self._put(job, max(now, job.polled_at + self._pace.shortest))

    def refresh(self, job: PolledJob) -> None:
        """Poll a job now, before a deadline, unless it was polled a moment ago."""
        now = self._loop.time()
        streak = job.streak
        last_poll_at = job.polled_at if streak is None else streak.failed_at
        if job.phase is not Phase.PLANNED or now - last_poll_at < FRESH:
            return
        if streak is None or not streak.is_quiet(now):
            self._put(job, now)

    def _put(self, job: PolledJob, at: float) -> None:
        job.phase = Phase.PLANNED
        self._timer_wheel.put(job, at)

    def _plan(self, job: PolledJob) -> None:
        now = self._loop.time()
        if job.is_woken:  # while it was being read, perhaps too early
            self._put(job, now + self._pace.shortest)
            return
        streak = job.streak
        context = PollContext(
            age=now - job.submitted_at,
            estimate=self._duration_stats.estimate(
                job.source.kind,
                estimate=job.estimate,
                untold=self._pace.untold,
                trace=job.trace,
            ),
            failures=0 if streak is None else streak.failures,
            retry_after=None if streak is None else streak.error.retry_after,
            expects_callback=job.source.expects_callback and now < self._trusted_until,
            price=self._price.find(now),
            chance=random.random(),
        )
        due = now + self._pace.pause(context)
        if streak is not None:  # whether the job is gone is known then
            due = min(due, max(streak.missing_since + EARLY_PATIENCE, now))
        self._put(job, due)

    def _on_due(self, due: list[tuple[float, PolledJob]]) -> None:
        for at, job in due:
            if job.phase is not Phase.PLANNED:
                continue  # put twice under one tick
            if not job.subscribers:
                job.phase = Phase.OVERDUE
                continue
            job.phase = Phase.READY
            self._ready[job.rank].append((at, job))
        self._start_ready()

    def _start_ready(self) -> None:
        """Start as many polls as have a place."""
        while any(self._ready) and self._turn is None:
            if self._limiter.try_acquire():
                self._start()
            else:
                # One place at a time: which job gets it is decided when it comes.
                self._turn = self._limiter.reserve()
                self._turn.add_done_callback(self._take_turn)

    def _take_turn(self, turn: asyncio.Future[None]) -> None:
        self._turn = None
        if turn.cancelled() or turn.exception() is not None:
            return  # the client was closed
        self._start()
        self._start_ready()

    def _start(self) -> None:
        """Start one poll, for which there is a place."""
        jobs = self._next_jobs()
        if not jobs:
            self._limiter.release(is_refused=True)  # the place was not used
            return
        for job in jobs:
            job.phase, job.is_woken = Phase.POLLING, False
        context = Context()  # not the context of whoever came first
        poll = self._loop.create_task(poll_jobs(jobs), context=context)
        self._polls[poll] = jobs, self._loop.time()
        poll.add_done_callback(self._finish, context=context)

    def _next_jobs(self) -> list[PolledJob]:
        """Take the jobs of the next poll; none if nobody waits any more."""
        taken: list[PolledJob] = []
        room = 1
        for queue in self._ready:
            passed: list[tuple[float, PolledJob]] = []
            while queue and len(taken) < room:
                due, job = queue.popleft()
                if job.phase is not Phase.READY:
                    continue  # it stood in two queues
                if not job.subscribers:
                    job.phase = Phase.OVERDUE
                    continue
                if not taken:
                    room = 1 if job.is_alone else job.source.at_once
                elif job.source is not taken[0].source or job.is_alone:
                    passed.append((due, job))
                    continue
                self._update_price(job, due, is_first=not taken)
                taken.append(job)
            queue.extendleft(reversed(passed))
        return taken

    def _update_price(self, job: PolledJob, due: float, *, is_first: bool) -> None:
        now = self._loop.time()
        if is_first:
            self._price.add(now - due, now)
        if job.streak is not None:
            job.streak.shift(now - due)

    def _finish(self, poll: asyncio.Task[Snapshots]) -> None:
        """Decide what follows a poll: snapshots, an error or a cancellation."""
        jobs, began = self._polls.pop(poll)
        error = asyncio.CancelledError() if poll.cancelled() else poll.exception()
        snapshots: Snapshots = {} if error else poll.result()
        if isinstance(error, PersonaKitError):
            jobs[0].is_alone = True  # to see whether joint poll is to blame
            # It is kept for as long as the job fails, without the frames of the poll.
            error.__traceback__ = error.__context__ = None
        if isinstance(error, RateLimited):
            self._limiter.back_off(error.retry_after)
        for job in jobs:
            try:
                self._follow_up(job, error or snapshots.get(job.job_id), began)
            except Exception as bug:  # else all its waiters would wait forever
                self._end(job, bug)
        self._limiter.release(is_refused=isinstance(error, RateLimited))
        self._start_ready()

    def _follow_up(self, job: PolledJob, outcome: _Outcome, began: float) -> None:
        if job.is_over:
            return  # the client was closed
        now = self._loop.time()
        if isinstance(outcome, PersonaKitError):
            self._on_failure(job, outcome, now)
        elif isinstance(outcome, Exception):
            self._end(job, outcome)
        elif isinstance(outcome, BaseException):
            # The poll was cancelled from outside, not the wait.
            self._put(job, now + self._pace.shortest)
        elif outcome is None:
            job.is_alone = True
            self._put(job, now)
        else:
            self._apply(job, outcome, began)

    def _apply(self, job: PolledJob, snapshot: Snapshot[Result], began: float) -> None:
        before = job.snapshot
        job.streak, job.is_alone = None, False
        if snapshot is before:
            job.polled_at = began
            self._plan(job)
            return
        self._learn(job, snapshot, began)
        self._log_unknown_state(snapshot)
        job.polled_at = began
        if before is not None and not before.state.can_become(snapshot.state):
            snapshot = attrs.evolve(snapshot, state=before.state)
        if snapshot.state.is_final:
            if job.subscribers:
                del self._jobs[job.job_id]
            if job.source.expects_callback and not job.is_called_back:
                self._trusted_until = -math.inf  # it ended, and nobody said so
        else:
            self._plan(job)
        if snapshot != before:
            job.snapshot = snapshot
            job.notify()

    def _learn(self, job: PolledJob, snapshot: Snapshot[Result], began: float) -> None:
        """Take from a poll what it tells of this job's duration, and of others'."""
        age = self._loop.time() - job.submitted_at
        job.estimate = job.estimate or snapshot.estimated_time
        if not snapshot.state.is_final:
            if snapshot.progress:
                job.trace = job.trace or ProgressTrace()
                job.trace.add(age, snapshot.progress)
            return
        # It ended somewhere between two polls; where they lie far apart, as after
        # a break, that says too little.
        gap = began - job.polled_at
        if snapshot.state is JobState.COMPLETED and gap <= VAGUE * age:
            self._duration_stats.add(
                job.source.kind,
                age - gap / 2,
                estimate=job.estimate,
                trace=job.trace,
            )

    def _log_unknown_state(self, snapshot: Snapshot[Result]) -> None:
        word = snapshot.service_state
        if not snapshot.is_known_state and word not in self._unknown_states:
            self._unknown_states.add(word)
            _log.warning("Unknown state %r of a job: it counts as running", word)

    def _on_failure(self, job: PolledJob, error: PersonaKitError, now: float) -> None:
        """Plan another poll after a failed one, or end the wait."""
        if job.streak is None:
            job.streak = FailureStreak(error, since=now, failed_at=now)
        job.streak.add(error, now)
        if job.streak.is_final(now):
            self._end(job, error)
        else:
            self._plan(job)

    def _end(self, job: PolledJob, error: Exception) -> None:
        """End all waits with an error; the next wait begins without a plan."""
        if self._jobs.get(job.job_id) is job:
            del self._jobs[job.job_id]
        job.error = error
        job.notify()

    async def aclose(self) -> None:
        """Stop all polls; each wait ends with an error."""
        if self._turn is not None:
            self._turn.cancel()
        self._timer_wheel.clear()
        for queue in self._ready:
            queue.clear()
        closed = PersonaKitError("The client was closed during the wait.")
        for job in (*self._jobs.values(), *self._kept.clear()):
            self._end(job, closed)
        for poll in self._polls:
            if not poll.cancelling():  # by a close that was interrupted
                poll.cancel()
        if self._polls:
            await asyncio.wait(tuple(self._polls))
