"""One scheduler that reads jobs until they end, however many await each of them.

A job in flight is an entry in a heap of due times, no coroutine. One timer serves the
heap; only a reading under way is a task. Whatever happens to a reading merely delays
the next one, until nothing but failures has come for as long as patience lasts.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TypeAlias

import attrs

from personakit.errors import NotFound, PersonaKitError
from personakit.history import History, Trace
from personakit.models import JobState, Result, Snapshot
from personakit.pace import Pace, Sighting

Reading: TypeAlias = Callable[[], Awaitable[Snapshot[Result]]]

GRID = 0.1
"""Seconds to multiples of which readings are put off."""
ROUNDING = 1e-6
PATIENCE = 300.0
"""Seconds of nothing but failed readings after which a wait gives up."""
EARLY_PATIENCE = 30.0
"""The same for "no such job", which right after a submit may not be true yet."""
READINGS_AT_ONCE = 64
"""Readings under way at the same time; due ones beyond that wait their turn."""

VAGUE = 0.5
"""Time between two readings, as a share of a job's age, above which an end between them
is no experience."""
TRUST = 600.0
"""Seconds after a report for which further ones are expected."""

_log = logging.getLogger("personakit")


@attrs.define(eq=False)
class Watch:
    """What is known of one job, shared by all who await it.

    Attributes:
        job_id: The job.
        read: Reads it once.
        born: Loop time at which it was submitted, as far as known.
        snapshot: The last reading, None before the first.
        error: Why there will be no further reading, None while there will be.
        changed: Set, and replaced by a new one, whenever any of this changes.
        attendants: How many await it; without any, nobody reads.
        reading: The task that reads, None before the first.
        failures: Failed readings since the last good one.
        failing_since: Loop time of the first of these.
        missing_since: Loop time since which every reading says that there is no such
            job; infinite while none does.
        due: Loop time of the next reading; older entries of the heap do not count.
        looked_at: Loop time at which the last reading began.
        expects_reports: True where the service was asked to report on the job.
        is_reported: True once a report on it came.
        is_woken: True when one came since the last reading began.
        kind: Of job, by which durations are compared.
        estimate: The service's first guess of the whole duration in seconds, None for
            none.
        trace: What the job has told of its progress.
        read_at: Loop time at which the last good reading ended, None before the first.
    """

    job_id: str
    read: Reading
    born: float
    snapshot: Snapshot[Result] | None = None
    error: Exception | None = None
    changed: asyncio.Event = attrs.field(factory=asyncio.Event)
    attendants: int = 0
    reading: asyncio.Task[None] | None = None
    failures: int = 0
    failing_since: float = 0.0
    missing_since: float = math.inf
    due: float = 0.0
    looked_at: float = -math.inf
    expects_reports: bool = False
    is_reported: bool = False
    is_woken: bool = False
    kind: str = ""
    estimate: float | None = None
    trace: Trace = attrs.field(factory=Trace)
    read_at: float | None = None

    def tell(self) -> None:
        """Wake everyone who waits for a change."""
        woken, self.changed = self.changed, asyncio.Event()
        woken.set()


class Poller:
    """Reads the jobs of one event loop.

    Args:
        pace: How often to look.
        history: What jobs have taken so far; shared by all loops of a client.
    """

    def __init__(self, pace: Pace, history: History | None = None) -> None:
        self._pace = pace
        self._history = history or History()
        self._loop = asyncio.get_running_loop()
        self._watches: dict[str, Watch] = {}
        self._due: list[tuple[float, int, Watch]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._readings: set[asyncio.Task[None]] = set()
        self._strange_states: set[str] = set()
        self._trusted_until = -math.inf

    async def follow(
        self,
        job_id: str,
        read: Reading,
        *,
        latest: Snapshot[Result] | None,
        age: float,
        every: float = 0.0,
        kind: str = "",
        expects_reports: bool = False,
    ) -> AsyncGenerator[Snapshot[Result], None]:
        """Yield the job's snapshot now and at each change, up to the final one.

        Whoever is slow to take one misses those between, never the last.

        Args:
            job_id: The job; all who follow it share its readings.
            read: Reads it once.
            latest: The last known reading; None looks at once.
            age: Seconds since it was submitted.
            every: Least seconds between two of the snapshots yielded.
            kind: Of job; jobs of one kind are expected to take about the same time.
            expects_reports: True where the service was asked to report: as long as
                reports on any job arrive, this one is looked at rarely.

        Raises:
            PersonaKitError: what makes any further reading pointless.
        """
        seen: Snapshot[Result] | None = None
        with self._attend(job_id, read, latest, age, kind) as watch:
            watch.expects_reports = expects_reports
            while True:
                if watch.error is not None:
                    raise watch.error
                changed = watch.changed
                if watch.snapshot is seen or watch.snapshot is None:
                    await changed.wait()
                    continue
                seen = watch.snapshot
                yield seen
                if seen.state.is_final:
                    return
                await asyncio.sleep(every)

    def wake(self, job_id: str) -> None:
        """Look at a job soon: a report says that it has changed."""
        now = self._loop.time()
        self._trusted_until = now + TRUST
        watch = self._watches.get(job_id)
        if watch is None:
            return
        watch.is_reported = watch.is_woken = True
        if watch.reading is None or watch.reading.done():
            self._set_due(watch, max(now, watch.looked_at + self._pace.shortest))

    @contextmanager
    def _attend(
        self,
        job_id: str,
        read: Reading,
        latest: Snapshot[Result] | None,
        age: float,
        kind: str,
    ) -> Generator[Watch]:
        watch = self._watches.get(job_id)
        if watch is None:
            watch = Watch(job_id, read, self._loop.time() - age, latest, kind=kind)
            if latest is not None:
                watch.estimate, watch.read_at = latest.estimated_time, watch.born
            self._watches[job_id] = watch
            self._plan(watch, at_once=latest is None)
        watch.attendants += 1
        try:
            yield watch
        finally:
            watch.attendants -= 1
            if not watch.attendants:
                self._forget(watch)

    def _forget(self, watch: Watch) -> None:
        # The heap's entry stays behind and is passed over when it comes due.
        if self._watches.get(watch.job_id) is watch:
            del self._watches[watch.job_id]
        if watch.reading is not None:
            watch.reading.cancel()

    def _plan(
        self, watch: Watch, *, retry_after: float | None = None, at_once: bool = False
    ) -> None:
        now = self._loop.time()
        if at_once:
            self._set_due(watch, now)
            return
        if watch.is_woken:  # while it was being read, perhaps too early
            self._set_due(watch, now + self._pace.shortest)
            return
        sighting = Sighting(
            age=now - watch.born,
            outlook=self._history.outlook(
                watch.kind,
                estimate=watch.estimate,
                untold=self._pace.untold,
                trace=watch.trace,
            ),
            failures=watch.failures,
            retry_after=retry_after,
            is_reported=watch.expects_reports and now < self._trusted_until,
        )
        self._set_due(watch, now + self._pace.pause(sighting))

    def _set_due(self, watch: Watch, due: float) -> None:
        # On a common grid, so that many readings share one wake-up.
        due = watch.due = math.ceil(due / GRID - ROUNDING) * GRID
        heapq.heappush(self._due, (due, next(self._order), watch))
        self._arm()

    def _arm(self) -> None:
        """Let the one timer ring at the earliest due time.

        While all places are taken nothing is armed: whoever frees one comes here.
        """
        if not self._due or len(self._readings) >= READINGS_AT_ONCE:
            return
        due = self._due[0][0]
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._start_due)

    def _start_due(self) -> None:
        self._timer = None
        now = self._loop.time()
        while (
            self._due
            and self._due[0][0] <= now
            and len(self._readings) < READINGS_AT_ONCE
        ):
            due, _, watch = heapq.heappop(self._due)
            if self._watches.get(watch.job_id) is watch and due == watch.due:
                self._start(watch, now)
        self._arm()

    def _start(self, watch: Watch, now: float) -> None:
        watch.looked_at, watch.due, watch.is_woken = now, math.inf, False
        watch.reading = self._loop.create_task(self._look(watch))
        self._readings.add(watch.reading)
        watch.reading.add_done_callback(self._free_place)

    def _free_place(self, reading: asyncio.Task[None]) -> None:
        self._readings.discard(reading)
        self._arm()

    async def _look(self, watch: Watch) -> None:
        try:
            snapshot = await watch.read()
        except PersonaKitError as error:
            self._endure(watch, error)
        except Exception as error:  # else everyone would wait forever
            self._end(watch, error)
        else:
            self._take(watch, snapshot)

    def _take(self, watch: Watch, snapshot: Snapshot[Result]) -> None:
        watch.failures, watch.missing_since = 0, math.inf
        self._learn(watch, snapshot)
        before = watch.snapshot
        if before is not None and not before.state.can_become(snapshot.state):
            snapshot = attrs.evolve(snapshot, state=before.state)
        self._note_strange_state(snapshot)
        if snapshot.state.is_final:
            del self._watches[watch.job_id]
            if watch.expects_reports and not watch.is_reported:
                self._trusted_until = -math.inf  # it ended, and nobody said so
        if snapshot != before:
            watch.snapshot = snapshot
            watch.tell()
        if not snapshot.state.is_final:
            self._plan(watch)

    def _learn(self, watch: Watch, snapshot: Snapshot[Result]) -> None:
        """Take from a reading what it tells of this job's duration, and of others'."""
        now, before = self._loop.time(), watch.read_at
        watch.read_at = now
        watch.estimate = watch.estimate or snapshot.estimated_time
        if not snapshot.state.is_final:
            watch.trace.note(now - watch.born, snapshot.progress)
            return
        # It ended somewhere between two readings; where they lie far apart, as after
        # a break, that says too little.
        gap = now - (watch.born if before is None else before)
        if snapshot.state is JobState.COMPLETED and gap <= VAGUE * (now - watch.born):
            self._history.record(
                watch.kind,
                now - watch.born - gap / 2,
                estimate=watch.estimate,
                trace=watch.trace,
            )

    def _note_strange_state(self, snapshot: Snapshot[Result]) -> None:
        word = snapshot.service_state
        if not snapshot.is_known_state and word not in self._strange_states:
            self._strange_states.add(word)
            _log.warning("Unknown state %r of a job: it counts as running", word)

    def _endure(self, watch: Watch, error: PersonaKitError) -> None:
        """Plan another reading after a failed one, as long as patience lasts."""
        now = self._loop.time()
        watch.failing_since = watch.failing_since if watch.failures else now
        watch.failures += 1
        if isinstance(error, NotFound):
            # Counted from the first of these in a row, not from an outage before.
            watch.missing_since = min(watch.missing_since, now)
            is_bearable = now - watch.missing_since < EARLY_PATIENCE
        else:
            watch.missing_since = math.inf
            is_bearable = error.retry_safe and now - watch.failing_since < PATIENCE
        if is_bearable:
            self._plan(watch, retry_after=error.retry_after)
        else:
            self._end(watch, error)

    def _end(self, watch: Watch, error: Exception) -> None:
        self._watches.pop(watch.job_id, None)
        watch.error = error
        watch.tell()

    async def aclose(self) -> None:
        """Stop all readings; whoever still waits is told that the client is closed."""
        if self._timer is not None:
            self._timer.cancel()
        self._due.clear()
        for watch in tuple(self._watches.values()):
            self._end(watch, PersonaKitError("The client was closed during the wait."))
        readings = tuple(self._readings)
        for reading in readings:
            reading.cancel()
        await asyncio.gather(*readings, return_exceptions=True)
