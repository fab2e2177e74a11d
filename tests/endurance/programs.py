"""Random programs of two processes on one journal: whatever happens, in any order.

Each program submits, with keys or without, loses answers, crashes, starts again, takes
callbacks, waits, delivers, fails to deliver, cancels, lets clocks jump, and settles
what is unknown; some accept a double charge. All of it is in virtual time. After each
step the ledger and the journal are compared, and in the end each job is delivered.

    python -m tests.endurance.programs [PROGRAMS]
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections import Counter
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

import attrs
import hypothesis.strategies as some
import looptime
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from personakit import Job, MusicRequest, PersonaKit, PersonaKitError
from personakit.callbacks import Callbacks
from personakit.emulator import Emulator
from personakit.journal import MemoryJournal, SubmitRecord, SubmitState
from personakit.journal.record import WITH_JOB
from tests.endurance.clocks import WallClock
from tests.endurance.faults import FAULTS, connect
from tests.endurance.kills import KINDS, service

T = TypeVar("T")

PROGRAMS = 1000
STEPS = 40
PROCESSES = 2
KEYS = 3
FIELDS = {"style": "jazz", "lyrics": "[Verse]\nBlue hour"}

process = some.integers(0, PROCESSES - 1)
fault_or_none = some.none() | some.sampled_from(sorted(FAULTS))


class Shared(MemoryJournal):
    """A journal in memory that several processes share, and that outlives them."""

    def __init__(self, other: Shared | None = None) -> None:
        super().__init__()
        self.alive = {self.worker} if other is None else other.alive
        if other is not None:
            self.share(other)

    def share(self, other: Shared) -> None:
        """Work on what another process works on."""
        for name in _KEPT:
            setattr(self, name, getattr(other, name))
        self.alive.add(self.worker)

    def die(self) -> None:
        """Count as dead; what is written here from now on is lost."""
        self.alive.discard(self.worker)
        for name in _KEPT:
            setattr(self, name, getattr(self, name).copy())

    def _is_alive(self, worker: str) -> bool:
        return worker in self.alive

    def all(self) -> dict[str, SubmitRecord]:
        """Return everything that was ever written, by key."""
        return {**self._settled, **self._records}


_KEPT = [
    field.name for field in attrs.fields(MemoryJournal) if field.name.startswith("_")
]


@attrs.define(eq=False)
class Process:
    """A process: a client, its view of the journal, and what runs in it."""

    journal: Shared
    kit: PersonaKit
    callbacks: Callbacks
    calls: list[asyncio.Task[Any]] = attrs.field(factory=list)

    async def kill(self) -> None:
        """End at once; nothing more is written down or sent."""
        self.journal.die()
        engine = await self.kit._here()
        tasks = (*self.calls, *engine.sendings)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.kit.aclose()

    async def close(self) -> None:
        """End properly."""
        await self.kit.aclose()
        for call in self.calls:
            call.cancel()
        await asyncio.gather(*self.calls, return_exceptions=True)
        await self.kit.aclose()  # a call may have used it again
        self.journal.die()


class DeliveryError(Exception):
    """A result could not be sent on."""


class Program(RuleBasedStateMachine):
    """One program; the rules are its steps."""

    count: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.loop = looptime.new_event_loop()
        self.titles: dict[str, str] = {}
        self.risks: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.delivered_in_block: Counter[str] = Counter()
        self.cut_in_block: Counter[str] = Counter()
        self.final: dict[str, SubmitRecord] = {}
        self.songs = 0
        self.note("programs")

    def note(self, event: str, times: int = 1) -> None:
        """Count something."""
        self.count[event] += times

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let virtual time pass until something is done."""
        return self.loop.run_until_complete(work)

    @initialize(kind=some.sampled_from(KINDS))
    def start(self, kind: str) -> None:
        """Begin with an emulator and two processes."""
        self.kind = kind
        self.emulator = Emulator(credits=10**6)
        self.run(self.emulator.start())
        WallClock.birth = time.time() - self.loop.time()
        self.journal = Shared()
        self.processes = [self.open() for _ in range(PROCESSES)]

    def open(self) -> Process:
        """Start a process on the journal."""
        journal = Shared(self.journal)
        kit = connect(self.emulator, self.kind, journal=journal, timeout=60)
        callbacks = kit.callbacks(
            public_url="https://a.example", secret="correct horse battery"
        )
        return Process(journal, kit, callbacks)

    # The steps.

    @rule(number=process, fault=fault_or_none)
    def submit(self, number: int, fault: str | None) -> None:
        """Begin a submit, perhaps into a fault; nobody waits for it yet."""
        self.note("submits")
        self.songs += 1
        self.begin(number, f"Song {self.songs:03}", None, fault)

    @rule(number=process, order=some.integers(1, KEYS), fault=fault_or_none)
    def submit_keyed(self, number: int, order: int, fault: str | None) -> None:
        """Submit under one of a few keys, perhaps again or twice at once."""
        self.note("submits with a key")
        self.begin(number, f"Order {order}", f"order {order}", fault)

    def begin(
        self, number: int, title: str, key: str | None, fault: str | None
    ) -> None:
        """Begin a submit."""
        if fault is not None:
            self.emulator.inject(FAULTS[fault], on="submit")
        request = MusicRequest(title=title, **FIELDS)
        at = self.processes[number]
        self.call(at, at.kit.submit(request, key=key))

    def call(self, at: Process, work: Coroutine[Any, Any, Any]) -> None:
        """Have something done that nobody waits for yet."""
        at.calls.append(self.loop.create_task(work))
        self.run(asyncio.sleep(0.01))

    @rule(fault=some.sampled_from(sorted(FAULTS)))
    def spoil(self, fault: str) -> None:
        """Let the next reading go wrong."""
        self.emulator.inject(FAULTS[fault], on="read")

    @rule(seconds=some.sampled_from((0.001, 0.1, 1.0, 10.0, 45.0, 200.0)))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.run(asyncio.sleep(seconds))

    @rule(number=process, place=some.integers(0, 99))
    def cancel(self, number: int, place: int) -> None:
        """Cancel a caller."""
        if calls := self.processes[number].calls:
            self.note("cancellations")
            calls[place % len(calls)].cancel()
            self.run(asyncio.sleep(0))

    @rule(number=process, is_polite=some.booleans())
    def end(self, number: int, is_polite: bool) -> None:
        """End a process, properly or at once, and start another one."""
        self.note("closings" if is_polite else "crashes")
        at = self.processes[number]
        self.run(at.close() if is_polite else at.kill())
        self.processes[number] = self.open()

    @rule(number=process, place=some.integers(0, 99), times=some.integers(1, 3))
    def report(self, number: int, place: int, times: int) -> None:
        """Let the service call back about a job, perhaps several times."""
        notices = self.emulator._queue._waiting
        if not notices:
            return
        self.note("callbacks")
        _, _, notice = notices[place % len(notices)]
        body, headers = notice.make()
        at = self.processes[number]
        for _ in range(times):
            receiving = at.callbacks.receive(
                "POST", notice.url, [*headers.items()], body
            )
            self.run(receiving)

    @rule(number=process, seconds=some.sampled_from((1.0, 50.0, 200.0)))
    def await_all(self, number: int, seconds: float) -> None:
        """Await what the journal has."""
        self.note("waits")
        self.run(self.finish_all(self.processes[number], seconds))

    async def finish_all(self, at: Process, seconds: float) -> None:
        """Await what a process may work on."""

        async def finish(job: Job[Any]) -> None:
            with contextlib.suppress(PersonaKitError):
                await job.result(timeout=seconds)
                self.delivered[job.id] += 1

        jobs = [job async for job in at.kit.resume()]
        await asyncio.gather(*map(finish, jobs))

    @rule(
        number=process,
        fails=some.booleans(),
        seconds=some.sampled_from((0.0, 0.1, 5.0)),
    )
    def deliver_all(self, number: int, fails: bool, seconds: float) -> None:
        """Begin to deliver what the journal has, in blocks that may raise."""
        self.note("deliveries that fail" if fails else "deliveries")
        at = self.processes[number]
        self.call(at, self.deliver_resumed(at, seconds, fails=fails))

    async def deliver_resumed(
        self, at: Process, seconds: float, *, fails: bool
    ) -> None:
        jobs = [job async for job in at.kit.resume()]
        await asyncio.gather(*(self.deliver(job, seconds, fails) for job in jobs))

    async def deliver(self, job: Job[Any], seconds: float, fails: bool) -> None:
        """Deliver a job; the result counts as sent before the block ends."""
        with contextlib.suppress(DeliveryError, PersonaKitError):
            async with job.deliver(timeout=300) as tracks:
                assert tracks[0].job_id == job.id
                await asyncio.sleep(seconds)
                if fails:
                    raise DeliveryError
                self.delivered[job.id] += 1
                self.delivered_in_block[job.id] += 1
                self.cut_in_block[job.id] += 1
                await asyncio.sleep(seconds)
            self.cut_in_block[job.id] -= 1

    @rule(
        number=process,
        place=some.integers(0, 99),
        way=some.sampled_from(("reconcile", "abandon", "resubmit", "accept", "adopt")),
    )
    def settle(self, number: int, place: int, way: str) -> None:
        """Settle a submit of which no job is known, in one of the five ways."""
        at = self.processes[number]
        if pending := self.run(at.kit.pending()):
            self.note(way)
            record = pending[place % len(pending)]
            self.call(at, self.try_settle(at.kit, record, way))

    async def try_settle(self, kit: PersonaKit, record: SubmitRecord, way: str) -> None:
        # Meanwhile others may settle it, and the service may not be reached.
        receipt, key = record.receipt, record.key
        with contextlib.suppress(PersonaKitError):
            if way == "abandon":
                self.risks[key] += bool(record.open)  # its caller key is free again
                await kit.abandon(receipt)
            elif way == "resubmit":
                await kit.resubmit(receipt)
            elif way == "accept":
                self.risks[key] += 1
                await kit.resubmit(receipt, accept_possible_double_charge=True)
            elif way == "reconcile":
                await kit.reconcile(receipt)
            else:
                title = getattr(record.request, "title", None)
                for job, sung in self.find_charged().items():
                    if sung == title:
                        await kit.adopt(receipt, job)
                        break

    @rule(hours=some.sampled_from((-1, 0, 1)))
    def jump(self, hours: int) -> None:
        """Set this machine's clock wrong."""
        WallClock.shift = timedelta(hours=hours)

    # What must hold.

    def find_charged(self) -> dict[str, str]:
        """Return the title of each charged job, as the service has it."""
        tasks = self.emulator._played[service(self.kind)].state.tasks
        return {c.job_id: tasks[c.job_id].songs[0].title for c in self.emulator.charges}

    @invariant()
    def the_ledger_agrees(self) -> None:
        """Compare the ledger with the journal."""
        if not hasattr(self, "processes"):
            return
        records = self.journal.all()
        for key, record in records.items():
            if (title := getattr(record.request, "title", None)) is not None:
                self.titles[key] = title
        self.check_paid()
        self.check_known(records)
        self.check_final(records)

    def check_paid(self) -> None:
        """Each wish was paid once, and once more for each risk that was accepted."""
        charged = Counter(self.find_charged().values())
        allowed: Counter[str] = Counter()
        for key, title in self.titles.items():
            allowed[title] += self.risks[key]
        for title, times in charged.items():
            assert times <= 1 + allowed[title], f"{title} was paid {times} times"

    def check_known(self, records: dict[str, SubmitRecord]) -> None:
        """Each charge is a known job, or an attempt whose outcome is open."""
        charged = self.find_charged()
        known: dict[str, str] = {}
        unknown: Counter[str] = Counter()
        for key, record in records.items():
            title = self.titles[record.extra_of or key]
            unknown[title] += len(record.open)
            if record.receipt.job_id is not None:
                known[record.receipt.job_id] = title
        for job, title in known.items():
            assert charged.get(job) == title, f"{job} belongs to another submit"
        hidden = Counter(title for job, title in charged.items() if job not in known)
        for title, times in hidden.items():
            assert times <= unknown[title], f"a charge of {title} is lost"

    def check_final(self, records: dict[str, SubmitRecord]) -> None:
        """What was delivered was sent to somebody, and stays delivered."""
        for key, before in self.final.items():
            after = records[key]
            assert after.state is SubmitState.DELIVERED, "an end that was none"
            assert after.receipt == before.receipt, "another job after the end"
        for key, record in records.items():
            if record.state is SubmitState.DELIVERED:
                self.final[key] = record
                assert self.delivered[record.receipt.job_id or ""], "never sent"

    def check_once(self) -> None:
        """A block has sent twice only if the one before did not come to its end."""
        for job, times in self.delivered_in_block.items():
            assert times <= 1 + self.cut_in_block[job], f"{job} was delivered twice"

    def teardown(self) -> None:
        """Let everything come to rest, and close it."""
        WallClock.shift = timedelta()
        if hasattr(self, "processes"):
            for at in self.processes:
                self.run(at.close())
            self.emulator.clear_faults()
            last = self.open()
            self.run(self.come_to_rest(last))
            self.run(last.close())
            self.note("charges", len(self.emulator.charges))
            self.note("delivered jobs", len(self.delivered))
            self.run(self.emulator.stop())
        self.run(self.loop.shutdown_asyncgens())
        self.loop.close()

    async def come_to_rest(self, last: Process) -> None:
        """Deliver what has a job, with nobody else alive."""
        await self.finish_all(last, 7200.0)
        left = [job.id async for job in last.kit.resume()]
        assert not left, f"never delivered: {left}"
        for record in self.journal.all().values():
            if record.state in WITH_JOB:
                assert record.state is SubmitState.DELIVERED, "not to be resumed"
        self.the_ledger_agrees()
        self.check_once()


def main(programs: int) -> None:
    """Run so many programs; the first that breaks a promise is shown."""
    began = time.perf_counter()
    logging.disable(logging.ERROR)
    WallClock.install()
    run_state_machine_as_test(
        Program,
        settings=settings(
            max_examples=programs,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    took = time.perf_counter() - began
    print(f"\nPrograms: {dict(sorted(Program.count.items()))} in {took:.0f} s")
    print("paid twice 0, lost 0, swapped 0, delivered twice 0: each would stop it")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else PROGRAMS)
