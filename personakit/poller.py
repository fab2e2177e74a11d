"""One scheduler that reads jobs until they end, however many await each of them.

A job in flight is an entry of the agenda, no coroutine; only a reading under way is a
task. Whatever happens to a reading merely delays the next one, until nothing but
failures has come for as long as patience lasts.

Readings take their places in the account's lane. Where there are fewer places than due
jobs, a read gets dearer: jobs are looked at later, and more surely when they are done.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import deque

import attrs

from personakit.agenda import Agenda
from personakit.errors import NotFound, PersonaKitError, RateLimited
from personakit.history import History, Trace
from personakit.lanes import Lane, OwnLane
from personakit.limits import UNKNOWN
from personakit.models import JobState, Result, Snapshot
from personakit.pace import Pace, Sighting
from personakit.watch import Listener, Reader, Trouble, Watch

PATIENCE = 300.0
"""Seconds of nothing but failed readings after which a wait gives up."""
EARLY_PATIENCE = 30.0
"""The same for "no such job", which right after a submit may not be true yet."""

VAGUE = 0.5
"""Time between two readings, as a share of a job's age, above which an end between them
is no experience."""
TRUST = 600.0
"""Seconds after a report for which further ones are expected."""

_READY, _READING = -1, -2  # marks in the place of a tick
_LATE = 5.0  # seconds past its due time from which on a reading shows scarcity
_CHEAPEST, _DEAREST = 0.01, 120.0  # seconds of lag that scarcity may make a read worth
_RISE = 1.01  # of that price, by each late reading
_SCARCE, _CALM = 60.0, 10.0  # seconds since one, and seconds in which it then halves

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
        self._agenda = Agenda[Watch](self._ring)
        self._ready: deque[tuple[float, Watch]] = deque()
        self._turn: asyncio.Future[None] | None = None
        self._readings: dict[asyncio.Task[bool], list[Watch]] = {}
        self._price, self._late_at = _CHEAPEST, self._loop.time()
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
            listener: Is told of changes.
            latest: The last known reading; None looks at once.
            age: Seconds since it was submitted.
        """
        watch = self._watches.get(job_id)
        if watch is None:
            born = self._loop.time() - age
            watch = Watch(job_id, reader, born, latest, looked_at=born)
            self._watches[job_id] = watch
            if latest is None:
                self._agenda.put(watch, self._loop.time())
            else:
                watch.estimate = latest.estimated_time
                self._plan(watch)
        watch.add(listener)
        return watch

    def leave(self, watch: Watch, listener: Listener) -> None:
        """Stop listening; what nobody listens to is not read any more."""
        watch.remove(listener)
        if watch.listeners:
            return
        # Its entry under a tick stays behind and is passed over when that comes.
        self._forget(watch)
        if watch.due == _READING:
            for reading, watches in self._readings.items():
                if watches == [watch]:
                    reading.cancel()

    def _forget(self, watch: Watch) -> None:
        # Another one of the same job may have taken its place.
        if self._watches.get(watch.job_id) is watch:
            del self._watches[watch.job_id]

    def wake(self, job_id: str) -> None:
        """Look at a job soon: a report says that it has changed."""
        now = self._loop.time()
        self._trusted_until = now + TRUST
        watch = self._watches.get(job_id)
        if watch is None:
            return
        watch.is_reported = watch.is_woken = True
        if watch.due >= 0:
            self._agenda.put(watch, max(now, watch.looked_at + self._pace.shortest))

    def _plan(self, watch: Watch, *, retry_after: float | None = None) -> None:
        now = self._loop.time()
        if watch.is_woken:  # while it was being read, perhaps too early
            self._agenda.put(watch, now + self._pace.shortest)
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
            retry_after=retry_after,
            is_reported=watch.reader.expects_reports and now < self._trusted_until,
            price=self._find_price(),
            chance=random.random(),
        )
        self._agenda.put(watch, now + self._pace.pause(sighting))

    def _ring(self, due: list[tuple[float, Watch]]) -> None:
        for at, watch in due:
            if watch.listeners:
                watch.due = _READY
                self._ready.append((at, watch))
        self._start_ready()

    def _start_ready(self) -> None:
        """Start as many readings as have a place, first come first served."""
        while self._ready and self._turn is None:
            if self._lane.try_enter():
                self._start()
            else:
                # One place is asked for at a time: what is read when it comes is
                # decided then, and others find places too.
                self._turn = self._lane.ask()
                self._turn.add_done_callback(self._take_turn)

    def _take_turn(self, turn: asyncio.Future[None]) -> None:
        self._turn = None
        if turn.cancelled() or turn.exception() is not None:
            return  # the client was closed
        self._start()
        self._start_ready()

    def _start(self) -> None:
        """Start one reading, for which there is a place."""
        watches = self._next_watches()
        if not watches:
            self._lane.leave(is_refused=True)  # the place was not used
            return
        now = self._loop.time()
        for watch in watches:
            watch.due, watch.is_woken = _READING, False
        reading = self._loop.create_task(self._look(watches, now))
        self._readings[reading] = watches
        reading.add_done_callback(self._finish)

    def _next_watches(self) -> list[Watch]:
        """Take those who are read together; none when nobody is left."""
        taken: list[Watch] = []
        passed: list[tuple[float, Watch]] = []
        room = 1
        while self._ready and len(taken) < room:
            due, watch = self._ready.popleft()
            if watch.due != _READY or not watch.listeners:
                continue
            if not taken:
                self._heed(self._loop.time() - due)
                taken.append(watch)
                room = 1 if watch.is_alone else watch.reader.at_once
            elif watch.reader is taken[0].reader and not watch.is_alone:
                taken.append(watch)
            else:
                passed.append((due, watch))
        self._ready.extendleft(reversed(passed))
        return taken

    def _heed(self, lateness: float) -> None:
        """Let a read cost more while readings come late, and less when they don't."""
        price = self._find_price()
        if lateness > _LATE:
            self._price = min(price * _RISE, _DEAREST)
            self._late_at = self._loop.time()
        else:
            self._price = max(price / _RISE, _CHEAPEST)

    def _find_price(self) -> float:
        """Return the price, which is soon forgotten when no reading comes late."""
        calm = self._loop.time() - self._late_at - _SCARCE
        if calm > 0:
            self._late_at += calm
            self._price = max(self._price * 0.5 ** (calm / _CALM), _CHEAPEST)
        return self._price

    async def _look(self, watches: list[Watch], now: float) -> bool:
        """Read, and tell whether the account's limit was in the way."""
        try:
            await self._read(watches, now)
        except PersonaKitError as error:
            watches[0].is_alone = True  # to see whether joint reading is to blame
            for watch in watches:
                self._endure(watch, error)
            if isinstance(error, RateLimited):
                self._lane.refuse(error.retry_after)
                return True
        except Exception as error:  # else everyone would wait forever
            for watch in watches:
                self._end(watch, error)
        return False

    async def _read(self, watches: list[Watch], now: float) -> None:
        reader = watches[0].reader
        if len(watches) == 1:
            self._take(watches[0], await reader.read(watches[0]), now)
            return
        told = await reader.read_many([watch.job_id for watch in watches])
        for watch in watches:
            snapshot = told.get(watch.job_id)
            # A list may lack a job, or tell of an end without what came of it.
            watch.is_alone = snapshot is None or (
                snapshot.state.is_final and not snapshot.is_settled
            )
            if snapshot is None or watch.is_alone:
                self._agenda.put(watch, now)
            else:
                watch.fingerprint = 0
                self._take(watch, snapshot, now)

    def _finish(self, reading: asyncio.Task[bool]) -> None:
        del self._readings[reading]
        is_refused = not reading.cancelled() and reading.result()
        self._lane.leave(is_refused=is_refused)
        self._start_ready()

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
            self._forget(watch)
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

    def _endure(self, watch: Watch, error: PersonaKitError) -> None:
        """Plan another reading after a failed one, as long as patience lasts."""
        now = self._loop.time()
        trouble = watch.trouble = watch.trouble or Trouble(now)
        trouble.failures += 1
        if isinstance(error, NotFound):
            # Counted from the first of these in a row, not from an outage before.
            trouble.missing_since = min(trouble.missing_since, now)
            is_bearable = now - trouble.missing_since < EARLY_PATIENCE
        else:
            trouble.missing_since = math.inf
            is_bearable = error.retry_safe and now - trouble.since < PATIENCE
        if is_bearable:
            self._plan(watch, retry_after=error.retry_after)
        else:
            self._end(watch, error)

    def _end(self, watch: Watch, error: Exception) -> None:
        self._forget(watch)
        watch.error = error
        watch.tell()

    async def aclose(self) -> None:
        """Stop all readings; whoever still waits is told that the client is closed."""
        if self._turn is not None:
            self._turn.cancel()
        self._agenda.clear()
        self._ready.clear()
        watches, self._watches = self._watches, {}
        closed = PersonaKitError("The client was closed during the wait.")
        for watch in watches.values():
            self._end(watch, closed)
        readings = tuple(self._readings)
        for reading in readings:
            reading.cancel()
        await asyncio.gather(*readings, return_exceptions=True)
