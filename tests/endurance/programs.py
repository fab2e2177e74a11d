"""Random programs against one journal: whatever happens, in whatever order.

Each program submits, loses answers, crashes, starts again, takes reports, waits,
cancels, lets clocks jump and settles what is unknown, in virtual time. After every step
the ledger and the journal are compared.

    python -m tests.endurance.programs [PROGRAMS]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar

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

import personakit.receipt
from personakit import MusicRequest, PersonaKit, PersonaKitError
from personakit.emulator import Emulator
from personakit.journal import Entry, Mark, MemoryJournal
from personakit.receipt import Receipt
from tests.endurance.faults import FAULTS, connect
from tests.endurance.kills import KINDS, service

T = TypeVar("T")

PROGRAMS = 1000
STEPS = 40
FIELDS = {"style": "jazz", "lyrics": "[Verse]\nBlue hour"}


class ShiftedClock(datetime):
    """A wall clock that somebody sets."""

    shift: ClassVar[timedelta] = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        """Return the time that this clock shows."""
        return datetime.now(tz) + cls.shift


class Remembering(MemoryJournal):
    """A journal in memory that outlives its client, as a file would."""

    async def all(self) -> list[Entry]:
        """Return everything that was ever written."""
        return [*self._open.values(), *self._closed.values()]


class Program(RuleBasedStateMachine):
    """One program; the rules are its steps."""

    count: ClassVar[dict[str, int]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.loop = looptime.new_event_loop()
        self.journal = Remembering()
        self.calls: list[asyncio.Task[Any]] = []
        self.ended: dict[str, Entry] = {}
        self.songs = 0
        self.note("programs")

    def note(self, what: str) -> None:
        """Count a step."""
        self.count[what] = self.count.get(what, 0) + 1

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let virtual time pass until something is done."""
        return self.loop.run_until_complete(work)

    @initialize(kind=some.sampled_from(KINDS))
    def start(self, kind: str) -> None:
        """Begin with an emulator and a client."""
        self.kind = kind
        self.emulator = Emulator(credits=10**6)
        self.run(self.emulator.start())
        self.kit = self.open()

    def open(self) -> PersonaKit:
        """Start a client on the journal."""
        kit = connect(self.emulator, self.kind, journal=self.journal, timeout=60)
        self.callbacks = kit.callbacks(
            public_url="https://a.example", secret="correct horse battery"
        )
        return kit

    @rule(fault=some.none() | some.sampled_from(sorted(FAULTS)))
    def submit(self, fault: str | None) -> None:
        """Begin a submit, perhaps into a fault; nobody waits for it yet."""
        self.note("submits")
        self.songs += 1
        if fault is not None:
            self.emulator.inject(FAULTS[fault], on="submit")
        request = MusicRequest(title=f"Song {self.songs}", **FIELDS)
        self.calls.append(self.loop.create_task(self.kit.submit(request)))
        self.run(asyncio.sleep(0.01))

    @rule(fault=some.sampled_from(sorted(FAULTS)))
    def spoil(self, fault: str) -> None:
        """Let the next reading go wrong."""
        self.emulator.inject(FAULTS[fault], on="read")

    @rule(seconds=some.sampled_from((0.001, 0.1, 1.0, 10.0, 45.0)))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.run(asyncio.sleep(seconds))

    @rule(place=some.integers(0, 99))
    def cancel(self, place: int) -> None:
        """Cancel a caller."""
        if self.calls:
            self.note("cancellations")
            self.calls[place % len(self.calls)].cancel()
            self.run(asyncio.sleep(0))

    @rule(is_polite=some.booleans())
    def crash(self, is_polite: bool) -> None:
        """End the client, properly or without any farewell, and start another."""
        self.note("closings" if is_polite else "crashes")
        if not is_polite:
            self.run(self.kill_tasks())
        self.run(self.kit.aclose())
        self.run(self.kill_calls())
        self.kit = self.open()

    async def kill_tasks(self) -> None:
        """Stop whatever the client does, without its writing anything down."""
        engine = await self.kit._here()
        for task in tuple(engine.sendings):
            task.cancel()
        await asyncio.gather(*engine.sendings, return_exceptions=True)

    async def kill_calls(self) -> None:
        """Cancel every caller."""
        for call in self.calls:
            call.cancel()
        await asyncio.gather(*self.calls, return_exceptions=True)
        self.calls.clear()

    @rule(place=some.integers(0, 99), times=some.integers(1, 3))
    def report(self, place: int, times: int) -> None:
        """Let the service report on a job, perhaps doubly."""
        addresses = [
            found
            for e in self.emulator.exchanges
            if e.action == "submit" and (found := self.address_in(e.body))
        ]
        jobs = [charge.job_id for charge in self.emulator.charges]
        if not addresses or not jobs:
            return
        self.note("reports")
        job_id = self.job_of(addresses[place % len(addresses)]) or jobs[0]
        body = json.dumps({"id": job_id, "data": {"task_id": job_id}}).encode()
        for _ in range(times):
            path = addresses[place % len(addresses)]
            self.run(self.callbacks.receive("POST", path, [], body))

    def address_in(self, body: bytes) -> str | None:
        """Return where a submit wanted its reports."""
        told = json.loads(body)
        return told.get("callback_url") or told.get("callBackUrl")

    def job_of(self, address: str) -> str | None:
        """Return the job that the service made of the submit with that address."""
        name = service(self.kind)
        tasks = self.emulator._played[name].state.tasks
        for exchange in self.emulator.exchanges:
            if exchange.action != "submit":
                continue
            if self.address_in(exchange.body) != address:
                continue
            title = json.loads(exchange.body)["title"]
            for task in tasks.values():
                if task.songs and task.songs[0].title == title:
                    return task.id
        return None

    @rule(seconds=some.sampled_from((1.0, 50.0, 200.0)))
    def take_up(self, seconds: float) -> None:
        """Wait for whatever the journal has."""
        self.run(self.wait_for_all(seconds))

    async def wait_for_all(self, seconds: float) -> None:
        async def finish(job: Any) -> None:
            with contextlib.suppress(PersonaKitError):
                await job.result(timeout=seconds)

        jobs = [job async for job in self.kit.resume()]
        self.note("waits")
        await asyncio.gather(*map(finish, jobs))

    @rule(place=some.integers(0, 99), is_given_up=some.booleans())
    def settle(self, place: int, is_given_up: bool) -> None:
        """Reconcile a submit of which no job is known, or give it up."""
        pending = [
            entry
            for entry in self.run(self.kit.pending())
            if entry.mark is Mark.UNKNOWN or not self.calls
        ]
        if pending:
            self.note("settlements")
            receipt = pending[place % len(pending)].receipt
            self.run(self.try_settle(receipt, is_given_up=is_given_up))

    async def try_settle(self, receipt: Receipt, *, is_given_up: bool) -> None:
        # Meanwhile a report may have settled it, or the service is not to be reached.
        with contextlib.suppress(PersonaKitError):
            if is_given_up:
                await self.kit.abandon(receipt)
            else:
                await self.kit.reconcile(receipt)

    @rule(hours=some.sampled_from((-1, 0, 1)))
    def jump(self, hours: int) -> None:
        """Set this machine's clock wrong."""
        ShiftedClock.shift = timedelta(hours=hours)

    @invariant()
    def nobody_pays_twice_and_nothing_is_lost(self) -> None:
        """Hold the ledger against the journal."""
        if not hasattr(self, "emulator"):
            return
        name = service(self.kind)
        tasks = self.emulator._played[name].state.tasks
        sung = [tasks[c.job_id].songs[0].title for c in self.emulator.charges]
        assert len(sung) == len(set(sung)), "paid twice"
        entries = self.run(self.journal.all())
        known = {entry.receipt.job_id for entry in entries}
        # Each of these may be the one of a charge whose job is not known yet: it is
        # under way, its outcome is unknown, or it was given up as such.
        jobless = [e for e in entries if e.receipt.job_id is None]
        suspects = [e for e in jobless if e.mark is not Mark.INTENT]
        unknown = [c for c in self.emulator.charges if c.job_id not in known]
        assert len(unknown) <= len(suspects), "a charge that the journal lost"
        for entry in entries:
            key = entry.receipt.key
            if key in self.ended:
                assert entry == self.ended[key], "an end that was none"
            elif entry.mark is Mark.CLOSED and entry.receipt.job_id is not None:
                self.ended[key] = entry

    def teardown(self) -> None:
        """Close everything."""
        ShiftedClock.shift = timedelta()
        if hasattr(self, "kit"):
            self.run(self.kit.aclose())
            self.run(self.kill_calls())
            self.note_end()
            self.run(self.emulator.stop())
        self.run(self.loop.shutdown_asyncgens())
        self.loop.close()

    def note_end(self) -> None:
        """Count what the program came to."""
        self.count["charges"] = self.count.get("charges", 0) + len(
            self.emulator.charges
        )
        self.count["ends"] = self.count.get("ends", 0) + len(self.ended)


def main(programs: int) -> None:
    """Run so many programs; the first that breaks a promise is shown."""
    began = time.perf_counter()
    logging.disable(logging.WARNING)
    personakit.receipt.datetime = ShiftedClock  # type: ignore[misc]
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
    print(f"{dict(sorted(Program.count.items()))} in {took:.0f} s")
    print("paid twice 0, lost 0, ends that were none 0: each would have stopped it")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else PROGRAMS)
