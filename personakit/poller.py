"""One scheduler that polls jobs until they end, however many await each of them.

A job in flight is an entry of the agenda; only a poll under way is a task.
`Poller._finish` alone decides what follows a poll: a snapshot, an error or a
cancellation. A failed poll only delays the next one, until `Trouble.is_final`.

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
from collections.abc import Mapping
from contextvars import Context
from typing import TypeAlias

import attrs

from personakit.agenda import Agenda
from personakit.errors import PersonaKitError, RateLimited
from personakit.history import History, Trace
from personakit.lanes import Lane, OwnLane
from personakit.limits import UNKNOWN
from personakit.models import JobState, Result, Snapshot
from personakit.pace import Pace, Price, Sighting
from personakit.watch import (
    EARLY_PATIENCE,
    Kept,
    Listener,
    Rank,
    Reader,
    Stage,
    Trouble,
    Watch,
)

VAGUE = 0.5
"""Share of a job's age; an end between two polls further apart is no experience."""
TRUST = 600.0
"""Seconds after a report for which further ones are expected."""
FRESH = 3.0
"""Seconds after a poll within which a deadline needs no further one."""

_Told: TypeAlias = Mapping[str, Snapshot[Result]]
"""What a poll brings, by job id."""
_Outcome: TypeAlias = Snapshot[Result] | BaseException | None
"""The same for one job; None if a joint reading lacks it."""

_log = logging.getLogger("personakit")


class Poller:
    """Reads the jobs of one event loop.

    Args:
        pace: How often to look.
        history: What jobs have taken so far; shared by all loops of a client.
        lane: Through which readings pass; None for one without a known limit.
    """

    def __init__(
        self, pace: Pace, history: History | None = None, lane: Lane | None = None
    ) -> None:
        self._pace = pace
        self._history = history or History()
        self._lane = lane or OwnLane(UNKNOWN)
        self._loop = asyncio.get_running_loop()
        self._watches: dict[str, Watch] = {}
        self._kept = Kept()
        self._agenda = Agenda[Watch](self._ring)
        self._ready = tuple(deque[tuple[float, Watch]]() for _ in Rank)
        self._turn: asyncio.Future[None] | None = None
        self._readings: dict[asyncio.Task[_Told], tuple[list[Watch], float]] = {}
        self._price = Price(self._loop.time())
        self._strange_states: set[str] = set()
        self._trusted_until = -math.inf

    def attend(
        self,
        job_id: str,
        reader: Reader,
        listener: Listener,
        *,
        latest: Snapshot[Result] | None,
        age: float,
    ) -> Watch:
        """Have a job read for as long as anybody listens; `leave` ends it.

        Args:
            job_id: The job; all who attend to it share its readings.
            reader: Reads it.
            listener: Is told of changes; at once if the end is known already.
            latest: The last known reading; None looks at once. Neither counts where an
                earlier wait has left a plan.
            age: Seconds since it was submitted.
        """
        watch = self._watches.get(job_id) or self._resume(job_id, reader)
        if watch is None:
            watch = self._begin(job_id, reader, latest, age)
        watch.add(listener)
        if watch.is_over:
            watch.tell()
        return watch

    def _begin(
        self, job_id: str, reader: Reader, latest: Snapshot[Result] | None, age: float
    ) -> Watch:
        now = self._loop.time()
        born = now - age
        watch = Watch(job_id, reader, born, latest, looked_at=born)
        self._watches[job_id] = watch
        if latest is None:
            self._put(watch, now)
        else:
            watch.estimate = latest.estimated_time
            self._plan(watch)
        return watch

    def _resume(self, job_id: str, reader: Reader) -> Watch | None:
        """Return a job of an earlier wait with its plan, None if it is not kept."""
        watch = self._kept.pop(job_id, now := self._loop.time())
        if watch is None or watch.is_over:
            return watch
        watch.reader = reader
        self._watches[job_id] = watch
        if watch.stage is Stage.OVERDUE:
            self._put(watch, now)
        return watch

    def leave(self, watch: Watch, listener: Listener) -> None:
        """Stop listening; without listeners no further poll is started."""
        watch.remove(listener)
        if watch.listeners or self._watches.get(watch.job_id) is not watch:
            return
        del self._watches[watch.job_id]
        self._kept.add(watch, self._loop.time())

    def wake(self, job_id: str) -> None:
        """Poll a job soon, before others: a report says that it has changed."""
        now = self._loop.time()
        self._trusted_until = now + TRUST
        watch = self._watches.get(job_id) or self._kept.find(job_id)
        if watch is None or watch.is_over:
            return
        watch.is_reported = watch.is_woken = True
        if watch.stage is Stage.READY:
            self._ready[Rank.REPORTED].append((now, watch))
        elif watch.stage is not Stage.READING:
            self._put(watch, max(now, watch.looked_at + self._pace.shortest))

    def refresh(self, watch: Watch) -> None:
        """Poll a job now, before a deadline, unless it was polled a moment ago."""
        now = self._loop.time()
        trouble = watch.trouble
        polled_at = watch.looked_at if trouble is None else trouble.failed_at
        if watch.stage is not Stage.PLANNED or now - polled_at < FRESH:
            return
        if trouble is None or not trouble.is_quiet(now):
            self._put(watch, now)

    def _put(self, watch: Watch, at: float) -> None:
        watch.stage = Stage.PLANNED
        self._agenda.put(watch, at)

    def _plan(self, watch: Watch) -> None:
        now = self._loop.time()
        if watch.is_woken:  # while it was being read, perhaps too early
            self._put(watch, now + self._pace.shortest)
            return
        trouble = watch.trouble
        sighting = Sighting(
            age=now - watch.born,
            outlook=self._history.outlook(
                watch.reader.kind,
                estimate=watch.estimate,
                untold=self._pace.untold,
                trace=watch.trace,
            ),
            failures=0 if trouble is None else trouble.failures,
            retry_after=None if trouble is None else trouble.error.retry_after,
            is_reported=watch.reader.expects_reports and now < self._trusted_until,
            price=self._price.find(now),
            chance=random.random(),
        )
        due = now + self._pace.pause(sighting)
        if trouble is not None:  # whether the job is gone is known then
            due = min(due, max(trouble.missing_since + EARLY_PATIENCE, now))
        self._put(watch, due)

    def _ring(self, due: list[tuple[float, Watch]]) -> None:
        for at, watch in due:
            if watch.stage is not Stage.PLANNED:
                continue  # put twice under one tick
            if not watch.listeners:
                watch.stage = Stage.OVERDUE
                continue
            watch.stage = Stage.READY
            self._ready[watch.rank].append((at, watch))
        self._start_ready()

    def _start_ready(self) -> None:
        """Start as many polls as have a place."""
        while any(self._ready) and self._turn is None:
            if self._lane.try_enter():
                self._start()
            else:
                # One place at a time: which job gets it is decided when it comes.
                self._turn = self._lane.ask()
                self._turn.add_done_callback(self._take_turn)

    def _take_turn(self, turn: asyncio.Future[None]) -> None:
        self._turn = None
        if turn.cancelled() or turn.exception() is not None:
            return  # the client was closed
        self._start()
        self._start_ready()

    def _start(self) -> None:
        """Start one poll, for which there is a place."""
        watches = self._next_watches()
        if not watches:
            self._lane.leave(is_refused=True)  # the place was not used
            return
        for watch in watches:
            watch.stage, watch.is_woken = Stage.READING, False
        context = Context()  # not the context of whoever came first
        reading = self._loop.create_task(_read(watches), context=context)
        self._readings[reading] = watches, self._loop.time()
        reading.add_done_callback(self._finish, context=context)

    def _next_watches(self) -> list[Watch]:
        """Take the jobs of the next poll; none if nobody waits any more."""
        taken: list[Watch] = []
        room = 1
        for queue in self._ready:
            passed: list[tuple[float, Watch]] = []
            while queue and len(taken) < room:
                due, watch = queue.popleft()
                if watch.stage is not Stage.READY:
                    continue  # it stood in two queues
                if not watch.listeners:
                    watch.stage = Stage.OVERDUE
                    continue
                if not taken:
                    room = 1 if watch.is_alone else watch.reader.at_once
                elif watch.reader is not taken[0].reader or watch.is_alone:
                    passed.append((due, watch))
                    continue
                self._note_lateness(watch, due, is_first=not taken)
                taken.append(watch)
            queue.extendleft(reversed(passed))
        return taken

    def _note_lateness(self, watch: Watch, due: float, *, is_first: bool) -> None:
        now = self._loop.time()
        if is_first:
            self._price.note(now - due, now)
        if watch.trouble is not None:
            watch.trouble.shift(now - due)

    def _finish(self, reading: asyncio.Task[_Told]) -> None:
        """Decide what follows a poll: snapshots, an error or a cancellation."""
        watches, began = self._readings.pop(reading)
        error = asyncio.CancelledError() if reading.cancelled() else reading.exception()
        told: _Told = {} if error else reading.result()
        if isinstance(error, PersonaKitError):
            watches[0].is_alone = True  # to see whether joint reading is to blame
            # It is kept for as long as the job fails, without the frames of the poll.
            error.__traceback__ = error.__context__ = None
        if isinstance(error, RateLimited):
            self._lane.refuse(error.retry_after)
        for watch in watches:
            try:
                self._follow_up(watch, error or told.get(watch.job_id), began)
            except Exception as bug:  # else all its waiters would wait forever
                self._end(watch, bug)
        self._lane.leave(is_refused=isinstance(error, RateLimited))
        self._start_ready()

    def _follow_up(self, watch: Watch, outcome: _Outcome, began: float) -> None:
        if watch.is_over:
            return  # the client was closed
        now = self._loop.time()
        if isinstance(outcome, PersonaKitError):
            self._note_failure(watch, outcome, now)
        elif isinstance(outcome, Exception):
            self._end(watch, outcome)
        elif isinstance(outcome, BaseException):
            # The poll was cancelled from outside, not the wait.
            self._put(watch, now + self._pace.shortest)
        elif outcome is None:
            watch.is_alone = True
            self._put(watch, now)
        else:
            self._take(watch, outcome, began)

    def _take(self, watch: Watch, snapshot: Snapshot[Result], began: float) -> None:
        before = watch.snapshot
        watch.trouble, watch.is_alone = None, False
        if snapshot is before:
            watch.looked_at = began
            self._plan(watch)
            return
        self._learn(watch, snapshot, began)
        self._note_strange_state(snapshot)
        watch.looked_at = began
        if before is not None and not before.state.can_become(snapshot.state):
            snapshot = attrs.evolve(snapshot, state=before.state)
        if snapshot.state.is_final:
            if watch.listeners:
                del self._watches[watch.job_id]
            if watch.reader.expects_reports and not watch.is_reported:
                self._trusted_until = -math.inf  # it ended, and nobody said so
        else:
            self._plan(watch)
        if snapshot != before:
            watch.snapshot = snapshot
            watch.tell()

    def _learn(self, watch: Watch, snapshot: Snapshot[Result], began: float) -> None:
        """Take from a reading what it tells of this job's duration, and of others'."""
        age = self._loop.time() - watch.born
        watch.estimate = watch.estimate or snapshot.estimated_time
        if not snapshot.state.is_final:
            if snapshot.progress:
                watch.trace = watch.trace or Trace()
                watch.trace.note(age, snapshot.progress)
            return
        # It ended somewhere between two readings; where they lie far apart, as after
        # a break, that says too little.
        gap = began - watch.looked_at
        if snapshot.state is JobState.COMPLETED and gap <= VAGUE * age:
            self._history.record(
                watch.reader.kind,
                age - gap / 2,
                estimate=watch.estimate,
                trace=watch.trace,
            )

    def _note_strange_state(self, snapshot: Snapshot[Result]) -> None:
        word = snapshot.service_state
        if not snapshot.is_known_state and word not in self._strange_states:
            self._strange_states.add(word)
            _log.warning("Unknown state %r of a job: it counts as running", word)

    def _note_failure(self, watch: Watch, error: PersonaKitError, now: float) -> None:
        """Plan another poll after a failed one, or end the wait."""
        if watch.trouble is None:
            watch.trouble = Trouble(error, since=now, failed_at=now)
        watch.trouble.note(error, now)
        if watch.trouble.is_final(now):
            self._end(watch, error)
        else:
            self._plan(watch)

    def _end(self, watch: Watch, error: Exception) -> None:
        """End all waits with an error; the next wait begins without a plan."""
        if self._watches.get(watch.job_id) is watch:
            del self._watches[watch.job_id]
        watch.error = error
        watch.tell()

    async def aclose(self) -> None:
        """Stop all polls; each wait ends with an error."""
        if self._turn is not None:
            self._turn.cancel()
        self._agenda.clear()
        for queue in self._ready:
            queue.clear()
        closed = PersonaKitError("The client was closed during the wait.")
        for watch in (*self._watches.values(), *self._kept.clear()):
            self._end(watch, closed)
        for reading in self._readings:
            if not reading.cancelling():  # by a close that was interrupted
                reading.cancel()
        if self._readings:
            await asyncio.wait(tuple(self._readings))


async def _read(watches: list[Watch]) -> _Told:
    """Poll one job by itself, or many together."""
    reader = watches[0].reader
    if len(watches) == 1:
        return {watches[0].job_id: await reader.read(watches[0])}
    told = await reader.read_many([watch.job_id for watch in watches])
    for watch in watches:
        watch.fingerprint = 0
    # A list may tell of an end without what came of it: as good as nothing.
    return {
        job_id: snapshot
        for job_id, snapshot in told.items()
        if snapshot.is_settled or not snapshot.state.is_final
    }
