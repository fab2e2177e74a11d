"""A model of processes that share a journal, and its breadth-first exploration.

Each process follows the algorithm of `jobs.submit` and `jobs.recovery`.
The real `personakit.journal.rules.apply` decides every change of a record. The service
keeps a ledger of what it charged. Whatever order the processes, the service and a
limited number of faults take, the promises must hold in each state:

- one charge for each submit, unless the user accepted that it may be charged again;
- each charge is the job of a record, or one of the open attempts of its record;
- no record has the job of another submit, and no two records have the same job;
- a result is delivered once, unless a process stops in the middle of delivering it;
- a submit that is said to be not charged has no charge;
- the answer of a process that is alive is not reported as lost;
- a state where nothing is left to do can be reached without another fault.

Not in the model: time, retention, accounts, and a failing database.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import attrs

from personakit.journal import rules
from personakit.journal.record import (
    SETTLED,
    WITH_JOB,
    Account,
    SubmitRecord,
    SubmitState,
)
from personakit.journal.steps import (
    Abandon,
    Accept,
    Begin,
    Bind,
    Claim,
    Deliver,
    End,
    Facts,
    Lose,
    NotSent,
    Refuse,
    Return,
    Start,
    Step,
    Take,
    Verdict,
    Withdraw,
)
from personakit.models import Persona
from personakit.receipt import Ability, Receipt

ACCOUNT = Account("evolink", "https://service.test", "studio")
NOW = datetime(2026, 11, 21, tzinfo=UTC)
RESULT = Persona("persona-1", "evolink")
FOREIGN = "somebody else"
"""Instead of the key of a record, for a job that this journal knows nothing of."""

MOST_ATTEMPTS = 20
"""Attempts and deliveries of one record that few faults can cause."""

FAULTS = (
    "crash",  # a process ends
    "freeze",  # a process stops for longer than its lease, and may come back
    "lost",  # an answer, or the request before it arrives
    "refusal",  # the service refuses an attempt
    "late",  # no connection, or too late at the first byte
    "cancel",  # a deadline or a cancellation, before the first byte or in the wait
    "resubmit",  # the user accepts a possible second charge
    "abandon",  # the user gives a submit up
    "foreign",  # a job of somebody else appears on the service's list
    "callback",  # the service reports a job
    "raise",  # the block of a delivery raises
    "shared",  # the service answers with the job id of an earlier submit
)
_PLACE = {fault: place for place, fault in enumerate(FAULTS)}

Pc = tuple[Any, ...]
Tasks = tuple[tuple[str, Pc], ...]
Apply = Callable[[SubmitRecord | None, Step, Facts], Verdict]


class Process(NamedTuple):
    """A process and what it works on, by the key of the record."""

    life: str  # up, frozen or dead
    was_frozen: bool
    tasks: Tasks


class Request(NamedTuple):
    """A paid request on its way, or the answer to it."""

    key: str
    attempt: int
    content: str
    stage: str = "request"  # or accepted, or refused
    job: str = ""


class Charge(NamedTuple):
    """What the service has charged."""

    key: str
    attempt: int
    content: str
    job: str


class State(NamedTuple):
    """All processes, the journal, and the service."""

    rows: tuple[tuple[str, int], ...]  # the number of a record in the explorer's table
    processes: tuple[Process, ...]
    net: tuple[Request, ...]
    ledger: tuple[Charge, ...]
    left: tuple[int, ...]  # of each fault
    accepted: tuple[tuple[str, int], ...]  # the user accepts that these may be charged
    delivered: tuple[tuple[str, int], ...]
    excused: tuple[tuple[str, int], ...]  # deliveries by processes that stopped in one
    shared: tuple[str, ...]  # jobs that the service gave to two submits


@attrs.frozen
class Bounds:
    """What takes part, and how much goes wrong at most.

    Attributes:
        submits: What each process submits. A submit of the same name in two processes
            has the same caller key.
        faults: How many of each; what is not named does not happen.
        recovering: The processes that run the recovery: all users' decisions, the
            service's list and its callbacks. The last process never stops.
        keyed: Whether submits have a caller key.
        listing: What the service's list is compared by: content, time, or None where
            there is no list.
        is_alike: Whether all submits ask for the same.
        differing: Processes that ask for something else under the same caller key.
        awaiting: Processes that await a job instead of entering ``deliver()``.
        receiving: The process that receives callbacks.
        resuming: The processes that take over jobs, None if all do.
        is_at_once: Whether the service answers with the result, without a job id.
    """

    submits: tuple[tuple[str, ...], ...]
    faults: Mapping[str, int] = MappingProxyType({})
    recovering: tuple[int, ...] = (-1,)
    keyed: bool = True
    listing: str | None = None
    is_alike: bool = True
    differing: tuple[int, ...] = ()
    awaiting: tuple[int, ...] = ()
    receiving: int = -1
    resuming: tuple[int, ...] | None = None
    is_at_once: bool = False

    def includes(self, chosen: tuple[int, ...], process: int) -> bool:
        """Return whether a process is among some, which may be counted from the end."""
        return process in chosen or process - len(self.submits) in chosen


@attrs.frozen
class Found:
    """What an exploration found.

    Attributes:
        states: How many different ones.
        transitions: Between them.
        violation: The promise that does not hold, None if all do.
        trace: How it comes to that, in as few transitions as possible.
    """

    states: int
    transitions: int
    violation: str | None = None
    trace: tuple[str, ...] = ()


class Violation(Exception):
    """A promise does not hold."""


Move = tuple[str, State, bool]
"""A name, the state after it, and whether it is a fault."""


def _set(pairs: tuple[tuple[str, Any], ...], key: str, value: Any) -> Any:
    changed = dict(pairs)
    changed[key] = value
    return tuple(sorted(changed.items()))


def _drop(pairs: tuple[tuple[str, Any], ...], key: str) -> Any:
    return tuple(pair for pair in pairs if pair[0] != key)


def _count(pairs: tuple[tuple[str, int], ...], key: str) -> Any:
    return _set(pairs, key, dict(pairs).get(key, 0) + 1)


@attrs.define
class Explorer:
    """Explores everything that may happen within some bounds.

    Args:
        bounds: What takes part.
        apply: The rule.
        is_listed_rival: Returns whether a store gives a record with open attempts to
            the rule as a possible rival.
    """

    bounds: Bounds
    apply: Apply = rules.apply
    is_listed_rival: Callable[[SubmitRecord], bool] = lambda _: True
    _table: list[SubmitRecord] = attrs.field(factory=list, init=False)
    _numbers: dict[SubmitRecord, int] = attrs.field(factory=dict, init=False)
    _verdicts: dict[Any, Any] = attrs.field(factory=dict, init=False)

    # Exploring.

    def explore(self, limit: int | None = None) -> Found:
        """Go through all states, or so many; return what was found.

        The way to an end is only looked for when all states were seen.
        """
        first = self._make_first()
        numbers = {first: 0}
        cameby: list[tuple[int, str]] = [(-1, "")]
        before: list[list[int]] = [[]]
        queue, transitions = deque([first]), 0
        ends: list[int] = []
        while queue:
            state = queue.popleft()
            at = numbers[state]
            try:
                self._check(state)
                moves = list(self._find_moves(state))
            except Violation as violation:
                trace = self._trace(cameby, at)
                return Found(len(numbers), transitions, str(violation), trace)
            if self._is_end(state):
                ends.append(at)
            for name, after, is_fault in moves:
                transitions += 1
                number = numbers.get(after)
                if number is None:
                    number = numbers[after] = len(numbers)
                    cameby.append((at, name))
                    before.append([])
                    queue.append(after)
                if not is_fault:
                    before[number].append(at)
            if limit is not None and len(numbers) >= limit:
                return Found(len(numbers), transitions)
        stuck = self._find_stuck(before, ends)
        if stuck is not None:
            trace = self._trace(cameby, stuck)
            return Found(len(numbers), transitions, "no end is in reach", trace)
        return Found(len(numbers), transitions)

    @staticmethod
    def _find_stuck(before: list[list[int]], ends: list[int]) -> int | None:
        """Return the first state from which no end can be reached."""
        reaches = bytearray(len(before))
        queue = deque(ends)
        for end in ends:
            reaches[end] = 1
        while queue:
            for earlier in before[queue.popleft()]:
                if not reaches[earlier]:
                    reaches[earlier] = 1
                    queue.append(earlier)
        stuck = reaches.find(0)
        return None if stuck < 0 else stuck

    @staticmethod
    def _trace(cameby: list[tuple[int, str]], at: int) -> tuple[str, ...]:
        names = []
        while at > 0:
            at, name = cameby[at]
            names.append(name)
        return tuple(reversed(names))

    def _make_first(self) -> State:
        processes = tuple(
            Process("up", False, tuple((key, ("begin",)) for key in sorted(keys)))
            for keys in self.bounds.submits
        )
        left = tuple(self.bounds.faults.get(fault, 0) for fault in FAULTS)
        return State((), processes, (), (), left, (), (), (), ())

    # The journal.

    def _record(self, state: State, key: str) -> SubmitRecord | None:
        for name, number in state.rows:
            if name == key:
                return self._table[number]
        return None

    def _intern(self, record: SubmitRecord) -> int:
        number = self._numbers.get(record)
        if number is None:
            number = self._numbers[record] = len(self._table)
            self._table.append(record)
        return number

    def _take(self, state: State, me: int, step: Step) -> tuple[State, Any, bool]:
        """Take a step; return the state after it, the record, and whether it won."""
        lives = tuple(process.life == "up" for process in state.processes)
        known = (state.rows, step, me, lives)
        outcome = self._verdicts.get(known)
        if outcome is None:
            outcome = self._verdicts[known] = self._decide(state, me, step, lives)
        rows, record, is_won = outcome
        if rows is state.rows or rows == state.rows:
            return state, record, is_won
        return state._replace(rows=rows), record, is_won

    def _decide(
        self, state: State, me: int, step: Step, lives: tuple[bool, ...]
    ) -> tuple[Any, SubmitRecord | None, bool]:
        record = self._record(state, step.key)
        holder, others = None, []
        if isinstance(step, Accept | Bind):
            holder = self._find_holder(state, step.job_id)
        if isinstance(step, Bind):
            others = [
                other
                for name, number in state.rows
                if name != step.key and (other := self._table[number]).open
                if self.is_listed_rival(other)
            ]
        facts = Facts(
            ACCOUNT, f"p{me}", NOW, lambda who: lives[int(who[1:])], holder, others
        )
        verdict = self.apply(record, step, facts)
        rows = dict(state.rows)
        if verdict.record is not None:
            rows[step.key] = self._intern(verdict.record)
        if verdict.extra is not None:
            extra = self._name_extra(verdict.extra)
            rows[extra.key] = self._intern(extra)
        return tuple(sorted(rows.items())), verdict.record, verdict.is_won

    @staticmethod
    def _name_extra(extra: SubmitRecord) -> SubmitRecord:
        """Give an extra record a key that is the same in each exploration."""
        key = f"{extra.extra_of}+{extra.attempt}"
        return attrs.evolve(extra, receipt=attrs.evolve(extra.receipt, key=key))

    def _find_holder(self, state: State, job_id: str | None) -> str | None:
        holders = [
            self._table[number]
            for _, number in state.rows
            if job_id is not None and self._table[number].receipt.job_id == job_id
        ]
        holders.sort(key=lambda record: record.is_shared)
        return holders[0].key if holders else None

    # What may happen.

    def _find_moves(self, state: State) -> Iterator[Move]:
        for me, process in enumerate(state.processes):
            if process.life == "dead":
                continue
            if process.life == "frozen":
                yield f"p{me} comes back", self._live(state, me, "up"), True
                continue
            for key, pc in process.tasks:
                act = getattr(self, f"_when_{pc[0]}")
                yield from act(state, me, key, *pc[1:])
            yield from self._find_recovery(state, me)
            yield from self._stop(state, me)
        yield from self._serve(state)

    def _spend(self, state: State, fault: str) -> State | None:
        place = _PLACE[fault]
        if not state.left[place]:
            return None
        left = list(state.left)
        left[place] -= 1
        return state._replace(left=tuple(left))

    @staticmethod
    def _live(state: State, me: int, life: str) -> State:
        processes = list(state.processes)
        processes[me] = processes[me]._replace(life=life)
        return state._replace(processes=tuple(processes))

    @staticmethod
    def _go(state: State, me: int, key: str, pc: Pc | None) -> State:
        """Let a process go on with a record; None: it is done."""
        processes = list(state.processes)
        tasks = processes[me].tasks
        tasks = _drop(tasks, key) if pc is None else _set(tasks, key, pc)
        processes[me] = processes[me]._replace(tasks=tasks)
        return state._replace(processes=tuple(processes))

    def _stop(self, state: State, me: int) -> Iterator[Move]:
        """Let a process crash or freeze."""
        if me == len(state.processes) - 1 or not state.processes[me].tasks:
            return
        excused = state.excused
        for key, pc in state.processes[me].tasks:
            if pc[0] == "sent":
                excused = _count(excused, key)
        if spent := self._spend(state._replace(excused=excused), "crash"):
            waits = {
                (key, pc[1]) for key, pc in state.processes[me].tasks if pc[0] == "wait"
            }
            net = tuple(
                one
                for one in state.net
                if one.stage == "request" or (one.key, one.attempt) not in waits
            )
            processes = list(spent.processes)
            processes[me] = Process("dead", False, ())
            after = spent._replace(processes=tuple(processes), net=net)
            yield f"p{me} crashes", after, True
        if spent := self._spend(state._replace(excused=excused), "freeze"):
            processes = list(spent.processes)
            processes[me] = processes[me]._replace(life="frozen", was_frozen=True)
            yield f"p{me} freezes", spent._replace(processes=tuple(processes)), True

    # A submit.

    def _when_begin(self, state: State, me: int, key: str) -> Iterator[Move]:
        content = "a song" if self.bounds.is_alike else f"a song for {key}"
        if self.bounds.includes(self.bounds.differing, me):
            content = "another song"
        receipt = Receipt("evolink", Ability.MUSIC, key, NOW)
        caller_key = key if self.bounds.keyed else None
        step = Begin(receipt, caller_key, None, content)
        after, record, is_won = self._take(state, me, step)
        if is_won:
            after = self._go(after, me, key, ("intent", record.attempt, content))
            yield f"p{me} begins {key}", after, False
        elif record.fingerprint != content:
            name = f"p{me} is told that {key} is for something else"
            yield name, self._go(state, me, key, None), False
        elif record.state is SubmitState.SENDING:
            yield from self._lose(state, me, key, record.attempt)
        elif record.state in WITH_JOB:
            yield f"p{me} joins {key}", self._go(state, me, key, ("hold",)), False
        elif record.state is not SubmitState.INTENT:
            name = f"p{me} is told that {key} is {record.state}"
            yield name, self._go(state, me, key, None), False
        if state.rows and (spent := self._spend(state, "cancel")):
            yield f"p{me} gives up to join {key}", self._go(spent, me, key, None), True

    def _lose(self, state: State, me: int, key: str, attempt: int) -> Iterator[Move]:
        step = Lose(key, attempt, is_sender=False)
        after, _, is_won = self._take(state, me, step)
        if is_won:
            yield f"p{me} finds {key} lost", after, False

    def _when_intent(
        self, state: State, me: int, key: str, attempt: int, content: str
    ) -> Iterator[Move]:
        after, record, is_won = self._take(state, me, Start(key, attempt))
        pc = ("first", record.attempt, content) if is_won else ("begin",)
        name = f"p{me} starts {key} after {attempt}: {is_won}"
        yield name, self._go(after, me, key, pc), False
        if spent := self._spend(state, "cancel"):
            after, _, _ = self._take(spent, me, Withdraw(key, attempt))
            yield f"p{me} withdraws {key}", self._go(after, me, key, None), True

    def _when_first(
        self, state: State, me: int, key: str, attempt: int, content: str
    ) -> Iterator[Move]:
        net = tuple(sorted((*state.net, Request(key, attempt, content))))
        after = self._go(state._replace(net=net), me, key, ("wait", attempt))
        yield f"p{me} sends {key}.{attempt}", after, False
        if spent := self._spend(state, "late"):
            for goes_on in (False, True):
                step = NotSent(key, attempt, goes_on)
                after, record, _ = self._take(spent, me, step)
                is_intent = record.state is SubmitState.INTENT
                is_mine = is_intent and record.worker == f"p{me}"
                pc = ("intent", record.attempt, content) if is_mine else ("begin",)
                after = self._go(after, me, key, pc if goes_on else None)
                yield f"p{me} does not send {key}.{attempt}: {goes_on}", after, True

    def _when_wait(
        self, state: State, me: int, key: str, attempt: int
    ) -> Iterator[Move]:
        for one in state.net:
            if one[:2] == (key, attempt):
                break
        rest = tuple(other for other in state.net if other is not one)
        stage, job = one.stage, one.job
        if stage == "accepted":
            step = Accept(key, attempt, job)
            if self.bounds.is_at_once:
                step = Accept(key, attempt, None, RESULT)
            after, _, _ = self._take(state._replace(net=rest), me, step)
            after = self._go(after, me, key, ("hold",))
            yield f"p{me} has {job} for {key}.{attempt}", after, False
        if stage == "refused":
            after, _, _ = self._take(state._replace(net=rest), me, Refuse(key, attempt))
            yield (
                f"p{me} is refused {key}.{attempt}",
                self._go(after, me, key, None),
                False,
            )
            yield (
                f"p{me} is refused {key}.{attempt} and goes on",
                self._go(after, me, key, ("begin",)),
                False,
            )
        if spent := self._spend(state, "lost"):
            net = state.net if stage == "request" else rest
            after, _, _ = self._take(spent._replace(net=net), me, Lose(key, attempt))
            after = self._go(after, me, key, ("begin",))
            yield f"the answer to {key}.{attempt} is lost", after, True

    # A job.

    def _when_hold(self, state: State, me: int, key: str) -> Iterator[Move]:
        record = self._record(state, key)
        if spent := self._spend(state, "cancel"):
            yield f"p{me} stops to wait for {key}", self._go(spent, me, key, None), True
        if record.state is SubmitState.ACCEPTED:
            name = f"p{me} reads the end of {key}"
            yield name, self._go(state, me, key, ("read",)), False
        elif record.state is SubmitState.DELIVERED:
            name = f"p{me} has the result of {key} as well"
            yield name, self._go(state, me, key, None), False
        elif self.bounds.includes(self.bounds.awaiting, me):
            name = f"p{me} returns the result of {key}"
            yield name, self._go(state, me, key, ("returned",)), False
        else:
            after, record, is_won = self._take(state, me, Take(key))
            if is_won:
                after = self._go(after, me, key, ("block", record.attempt))
                yield f"p{me} takes {key}", after, False

    def _when_read(self, state: State, me: int, key: str) -> Iterator[Move]:
        after, _, _ = self._take(state, me, End(key, result=RESULT))
        yield (
            f"p{me} keeps the end of {key}",
            self._go(after, me, key, ("hold",)),
            False,
        )

    def _when_returned(self, state: State, me: int, key: str) -> Iterator[Move]:
        after, _, _ = self._take(state, me, Deliver(key))
        yield f"p{me} has returned {key}", self._go(after, me, key, None), False

    def _when_block(
        self, state: State, me: int, key: str, attempt: int
    ) -> Iterator[Move]:
        after = state._replace(delivered=_count(state.delivered, key))
        if state.processes[me].was_frozen:
            after = after._replace(excused=_count(after.excused, key))
        after = self._go(after, me, key, ("sent", attempt))
        yield f"p{me} delivers {key}", after, False
        if spent := self._spend(state, "raise"):
            after, _, _ = self._take(spent, me, Return(key, attempt))
            yield f"p{me} fails to deliver {key}", self._go(after, me, key, None), True

    def _when_sent(
        self, state: State, me: int, key: str, attempt: int
    ) -> Iterator[Move]:
        after, _, _ = self._take(state, me, Deliver(key, attempt))
        yield f"p{me} has delivered {key}", self._go(after, me, key, None), False

    # The recovery.

    def _find_recovery(self, state: State, me: int) -> Iterator[Move]:
        busy = {key for key, _ in state.processes[me].tasks}
        bounds = self.bounds
        recovers = bounds.includes(bounds.recovering, me)
        resumes = bounds.resuming is None or bounds.includes(bounds.resuming, me)
        for key, number in state.rows:
            if key in busy:
                continue
            after, _, is_won = self._take(state, me, Claim(key))
            if is_won and resumes:
                yield f"p{me} resumes {key}", self._go(after, me, key, ("hold",)), False
            if recovers:
                record = self._table[number]
                yield from self._lose(state, me, key, record.attempt)
                yield from self._decide_about(state, me, key, record)
        if bounds.includes((bounds.receiving,), me):
            yield from self._report(state, me)

    def _decide_about(
        self, state: State, me: int, key: str, record: SubmitRecord
    ) -> Iterator[Move]:
        seen = record.attempt
        if record.state is SubmitState.INTENT and not self._is_held(state, record):
            yield (
                f"p{me} will resubmit {key}",
                self._go(state, me, key, ("intent", seen, record.fingerprint)),
                False,
            )
        if record.state is not SubmitState.UNKNOWN:
            return
        if self.bounds.listing:
            jobs = tuple(
                charge.job
                for charge in state.ledger
                if self._by_time or charge.content == record.fingerprint
            )
            if jobs:
                after = self._go(state, me, key, ("list", seen, jobs))
                yield f"p{me} reads the list for {key}", after, False
        is_accepted = dict(state.accepted).get(key, 0) >= seen
        for fault in ("resubmit", "abandon"):
            # The same decision may reach two processes.
            spent = state if is_accepted else self._spend(state, fault)
            if spent:
                spent = spent._replace(accepted=_set(spent.accepted, key, seen))
                after = self._go(spent, me, key, (fault, seen))
                yield f"p{me} is to {fault} {key}.{seen}", after, True

    def _is_held(self, state: State, record: SubmitRecord) -> bool:
        if record.worker is None:
            return False
        return state.processes[int(record.worker[1:])].life == "up"

    def _when_list(
        self, state: State, me: int, key: str, attempt: int, jobs: tuple[str, ...]
    ) -> Iterator[Move]:
        free = [job for job in jobs if self._find_holder(state, job) is None]
        pc = ("bind", attempt, free[0]) if len(free) == 1 else None
        yield f"p{me} finds {free} for {key}", self._go(state, me, key, pc), False

    def _when_bind(
        self, state: State, me: int, key: str, attempt: int, job: str
    ) -> Iterator[Move]:
        wanted = self._record(state, key).fingerprint
        is_rival = lambda other: self._by_time or other.fingerprint == wanted  # noqa: E731
        after, _, is_won = self._take(state, me, Bind(key, attempt, job, is_rival))
        pc = ("hold",) if is_won else None
        name = f"p{me} binds {job} to {key}: {is_won}"
        yield name, self._go(after, me, key, pc), False

    @property
    def _by_time(self) -> bool:
        return self.bounds.listing == "time"

    def _when_resubmit(
        self, state: State, me: int, key: str, attempt: int
    ) -> Iterator[Move]:
        step = Start(key, attempt, after_unknown=True)
        after, record, is_won = self._take(state, me, step)
        pc = ("first", record.attempt, record.fingerprint) if is_won else None
        name = f"p{me} resubmits {key} after {attempt}: {is_won}"
        yield name, self._go(after, me, key, pc), False

    def _when_abandon(
        self, state: State, me: int, key: str, attempt: int
    ) -> Iterator[Move]:
        after, _, is_won = self._take(state, me, Abandon(key, attempt))
        name = f"p{me} abandons {key}.{attempt}: {is_won}"
        yield name, self._go(after, me, key, None), False
        if is_won and self.bounds.keyed:
            name = f"p{me} abandons {key}.{attempt} and submits it again"
            yield name, self._go(after, me, key, ("begin",)), False

    def _report(self, state: State, me: int) -> Iterator[Move]:
        """Let a callback report a job."""
        if spent := self._spend(state, "callback"):
            for key, attempt, _, job in state.ledger:
                if key != FOREIGN:
                    after, _, _ = self._take(spent, me, Accept(key, attempt, job))
                    yield f"a callback reports {job} for {key}.{attempt}", after, True

    # The service.

    def _serve(self, state: State) -> Iterator[Move]:
        for one in state.net:
            if one.stage == "request":
                yield from self._process(state, one)
        if spent := self._spend(state, "foreign"):
            charge = Charge(FOREIGN, 0, "", f"job{len(state.ledger)}")
            yield (
                "somebody else submits",
                spent._replace(ledger=(*state.ledger, charge)),
                True,
            )

    def _process(self, state: State, request: Request) -> Iterator[Move]:
        key, attempt, content, _, _ = request
        rest = tuple(one for one in state.net if one is not request)
        without = state._replace(net=rest)
        charge = Charge(key, attempt, content, f"job{len(state.ledger)}")
        charged = without._replace(ledger=(*state.ledger, charge))
        is_awaited = any(
            task == (key, ("wait", attempt))
            for process in state.processes
            for task in process.tasks
        )
        if not is_awaited:
            yield f"the service accepts {key}.{attempt}", charged, False
            yield f"{key}.{attempt} does not arrive", without, False
            return
        yield *self._answer(charged, request, "accepted", charge.job), False
        if spent := self._spend(without, "refusal"):
            yield *self._answer(spent, request, "refused"), True
        if state.ledger and (spent := self._spend(without, "shared")):
            job = state.ledger[0].job
            spent = spent._replace(shared=(*spent.shared, job))
            yield *self._answer(spent, request, "accepted", job), True

    @staticmethod
    def _answer(
        state: State, request: Request, stage: str, job: str = ""
    ) -> tuple[str, State]:
        answer = request._replace(stage=stage, job=job)
        after = state._replace(net=tuple(sorted((*state.net, answer))))
        return f"the service has {stage} {request.key}.{request.attempt} {job}", after

    # The promises.

    def _is_end(self, state: State) -> bool:
        if any(one.life == "up" and one.tasks for one in state.processes):
            return False
        finished = {*SETTLED, SubmitState.UNKNOWN}
        return all(self._table[number].state in finished for _, number in state.rows)

    def _check(self, state: State) -> None:
        records = {key: self._table[number] for key, number in state.rows}
        self._check_charges(state, records)
        self._check_jobs(state, records)
        delivered, excused = dict(state.delivered), dict(state.excused)
        for key, count in delivered.items():
            if count > 1 + excused.get(key, 0):
                raise Violation(f"{key} was delivered {count} times")
        for key, record in records.items():
            self._check_record(state, key, record)

    def _check_record(self, state: State, key: str, record: SubmitRecord) -> None:
        is_known = key in dict(state.delivered) or self.bounds.awaiting
        if record.state is SubmitState.DELIVERED and not is_known:
            raise Violation(f"{key} counts as delivered and was not")
        if record.attempt > MOST_ATTEMPTS:
            raise Violation(f"the attempts of {key} have no end")
        if record.state in {SubmitState.UNKNOWN, SubmitState.ABANDONED}:
            if not record.open:
                raise Violation(f"{key} is {record.state} without an open attempt")
        elif record.state is SubmitState.REFUSED and record.open:
            raise Violation(f"{key} is refused with an open attempt")
        if record.state is SubmitState.UNKNOWN:
            self._check_unknown(state, record)

    def _check_charges(self, state: State, records: Mapping[str, SubmitRecord]) -> None:
        jobs = {record.receipt.job_id for record in records.values()}
        accepted = dict(state.accepted)
        for key, record in records.items():
            charges = sorted(charge for charge in state.ledger if charge.key == key)
            for charge in charges[:-1]:
                if charge.attempt > accepted.get(key, 0):
                    raise Violation(f"{key} was charged twice")
            if charges and record.state is SubmitState.REFUSED:
                raise Violation(f"{key} was charged and is said not to be")
            still_open = {one.number for one in record.open}
            unknown = {one.attempt for one in charges if one.job not in jobs}
            if self.bounds.is_at_once:
                known = [
                    one
                    for one in records.values()
                    if one.state in WITH_JOB and key in {one.key, one.extra_of}
                ]
                is_lost = len(unknown - still_open) > len(known)
            else:
                is_lost = not unknown <= still_open
            if is_lost:
                raise Violation(f"a charge of {key} is lost")
            for charge in charges:
                is_known = charge.content == record.fingerprint
                if charge.attempt in still_open and not is_known:
                    raise Violation(f"what {key} asked for is not known")

    def _check_jobs(self, state: State, records: Mapping[str, SubmitRecord]) -> None:
        owners = {charge.job: charge.key for charge in state.ledger}
        bound: set[str] = set()
        for record in records.values():
            job = record.receipt.job_id
            if job is None or job in state.shared:
                continue
            if job in bound:
                raise Violation(f"{job} belongs to two records")
            bound.add(job)
            if owners[job] != (record.extra_of or record.key):
                raise Violation(f"{job} of {owners[job]} belongs to {record.key}")

    @staticmethod
    def _check_unknown(state: State, record: SubmitRecord) -> None:
        for process in state.processes:
            if process.life == "up" and not process.was_frozen:
                pc = dict(process.tasks).get(record.key, ("",))
                if pc[0] in {"first", "wait"} and pc[1] == record.attempt:
                    raise Violation(f"{record.key} is said to be lost too early")
