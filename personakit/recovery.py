"""What becomes of submits whose outcome is unknown: found, adopted, given up, repeated.

A lost answer is never followed by the same request again unless the caller says so.
What finds the job is, in this order: the journal, to which a callback may have told it;
the service's list of jobs. A list may show the job, but proves nothing by not showing
it.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import attrs

from personakit.errors import PersonaKitError, refuse
from personakit.job import Job
from personakit.journal import Entry, Mark
from personakit.models import Listed, Result, Snapshot
from personakit.receipt import Ability, Receipt
from personakit.requests import JobRequest
from personakit.wire import SUBMIT_TIMEOUT
from personakit.workflows import Engine, ask, deadline_in

CLOCK_SKEW = timedelta(seconds=60)
"""How far the service's clock may be from ours."""
PAGES = 20
"""Pages of the service's list that are looked through at the most."""
LOOK_TIMEOUT = 60.0
"""Seconds for finding out what became of a submit."""

_OPEN = {Mark.INTENT, Mark.SENDING, Mark.UNKNOWN}
_LATEST = timedelta(seconds=SUBMIT_TIMEOUT) + CLOCK_SKEW


class Recovery(ABC):
    """What `PersonaKit` offers for finding jobs again."""

    @property
    @abstractmethod
    def provider(self) -> str:
        """Name of the service."""

    @abstractmethod
    async def _here(self) -> Engine:
        """Return the engine of the running loop."""

    @abstractmethod
    def deadline_in(self, timeout: float | None) -> float:
        """Turn seconds from now, None for the client's own, into loop time."""

    @abstractmethod
    def _take_up(
        self, entry: Entry, latest: Snapshot[Result] | None = None
    ) -> Job[Result]:
        """Make the handle of what the journal knows, with a newer reading if any."""

    @abstractmethod
    async def submit(
        self, request: JobRequest[Any], *, timeout: float | None = None
    ) -> Job[Any]:
        """Start a job with exactly one paid request."""

    async def resume(self, *, limit: int | None = None) -> AsyncGenerator[Job[Result]]:
        """Yield every job of the journal that has not been seen to end, oldest first.

        That includes those whose caller was cancelled before it got its `Job`, and
        those of earlier runs where the journal is a file. Processes that share a
        database each get jobs of their own: those that no other one has that is alive.
        What has no job id yet is told by `pending`.

        Args:
            limit: At most so many, None for all: a share, where others resume as well.
        """
        engine = await self._here()
        for entry in await engine.journal.claim(self.provider, limit=limit):
            if entry.mark is Mark.ACCEPTED:
                yield self._take_up(entry)

    async def pending(self) -> tuple[Entry, ...]:
        """Return the submits of which no job is known, oldest first.

        Their ``mark`` tells: ``intent`` was never sent, ``unknown`` was sent and its
        answer is lost, ``sending`` is under way just now, here or in another process,
        or it was when that died. `reconcile`, `adopt`, `abandon` and `resubmit`
        settle them.
        """
        engine = await self._here()
        entries = await engine.journal.unfinished(self.provider)
        return tuple(entry for entry in entries if entry.mark in _OPEN)

    async def reconcile(
        self, receipt: Receipt, *, timeout: float = LOOK_TIMEOUT
    ) -> Job[Result] | None:
        """Look for the job of a submit whose outcome is unknown; pays nothing new.

        Args:
            receipt: Of an `OutcomeUnknown`, or of `pending`.
            timeout: Seconds.

        Returns:
            The job, which the journal knows from now on; None when it is still not
            known whether there is one. Where the service only lists its jobs, the one
            is taken that alone fits in kind and time and belongs to no other receipt
            of this journal.

        Raises:
            InvalidRequest: the journal has no such receipt, or its end.
            PersonaKitError: the service cannot be asked just now.
        """
        engine, deadline = await self._here(), deadline_in(timeout)
        entry = await _find_open(engine, receipt)
        if entry.mark is Mark.ACCEPTED:
            return self._take_up(entry)
        if entry.mark is Mark.INTENT:
            return None
        if Ability.JOBS not in engine.provider.abilities:
            return None
        line = await _find_listed(engine, entry, deadline)
        if line is None:
            return None
        return self._take_up(await _bind(engine, entry, line.snapshot.job_id))

    async def adopt(
        self, receipt: Receipt, job_id: str, *, timeout: float = LOOK_TIMEOUT
    ) -> Job[Result]:
        """Say which job a submit became, as found on the service's own pages.

        Args:
            receipt: Of an `OutcomeUnknown`, or of `pending`.
            job_id: The service's id of the job; of what it answers at once, a persona
                say, the id of that.
            timeout: Seconds for reading the job once.

        Raises:
            InvalidRequest: the journal has no such receipt, or knows its job, or the
                job belongs to another one.
            NotFound: the service knows no such job.
        """
        engine, deadline = await self._here(), deadline_in(timeout)
        entry = await _find_open(engine, receipt)
        named = entry.receipt.with_job(job_id)
        if engine.provider.recall(named) is None:
            await read_once(engine, named, deadline)
        return self._take_up(await _bind(engine, entry, job_id))

    async def abandon(self, receipt: Receipt) -> None:
        """Give up on a submit of which no job is known; what it cost is lost.

        Should its job be reported later after all, it comes up in `resume`.

        Raises:
            InvalidRequest: the journal has no such receipt, or knows its job.
        """
        engine = await self._here()
        entry = await _find_open(engine, receipt)
        if entry.mark is Mark.ACCEPTED:
            raise refuse("receipt", "has a job", "Await that: kit.attach(...)")
        await engine.journal.record(attrs.evolve(entry, mark=Mark.CLOSED))

    async def resubmit(
        self,
        receipt: Receipt,
        *,
        accept_possible_double_charge: bool = False,
        timeout: float | None = None,
    ) -> Job[Result]:
        """Submit anew what a receipt was for, and give up on the receipt.

        Args:
            receipt: Of `pending`, or of an `OutcomeUnknown`.
            accept_possible_double_charge: Must be True unless nothing was sent: the
                lost submit may have been paid for, and this one will be.
            timeout: As for `submit`.

        Raises:
            InvalidRequest: that is not accepted, or the journal does not know what was
                asked for.
        """
        engine = await self._here()
        entry = await _find_open(engine, receipt)
        if entry.mark is Mark.ACCEPTED:
            raise refuse("receipt", "has a job", "Await that: kit.attach(...)")
        if entry.request is None:
            raise refuse("receipt", "does not tell what was wanted", "Submit that anew")
        if entry.mark is not Mark.INTENT and accept_possible_double_charge is not True:
            raise refuse(
                "accept_possible_double_charge",
                "must be True, since the lost submit may have been paid for",
                "Call reconcile first, or accept it",
            )
        job = await self.submit(entry.request, timeout=timeout)
        await engine.journal.record(attrs.evolve(entry, mark=Mark.CLOSED))
        return job


async def _find_open(engine: Engine, receipt: Receipt) -> Entry:
    entry = await engine.journal.find(receipt.key)
    if entry is None or entry.receipt.provider != engine.provider.name:
        raise refuse(
            "receipt",
            f"must be in this journal, and of {engine.provider.name}",
            "Use the client and the journal that it was made with",
        )
    if entry.mark is Mark.CLOSED:
        raise refuse("receipt", "must be open, and this one is closed", "Nothing to do")
    return entry


async def read_once(engine: Engine, receipt: Receipt, deadline: float) -> None:
    """Make sure that the service knows the job of a receipt, by one good reading.

    Raises:
        NotFound: it does not.
        InvalidRequest: this can be no job of it.
        PersonaKitError: it cannot be asked just now.
    """
    build = partial(engine.provider.build_read, receipt.job_id or "", receipt.kind)
    await ask(engine, receipt.kind, build, deadline=deadline)


async def _bind(engine: Engine, entry: Entry, job_id: str) -> Entry:
    """Write down which job a submit became."""
    if await engine.journal.known_jobs(engine.provider.name, [job_id]):
        raise refuse(
            "job_id", "must not belong to another receipt", "Look at its own receipt"
        )
    receipt = entry.receipt.with_job(job_id)
    return await engine.journal.record(
        attrs.evolve(entry, receipt=receipt, mark=Mark.ACCEPTED)
    )


async def _find_listed(engine: Engine, entry: Entry, deadline: float) -> Listed | None:
    """Return the one job of the service's list that this submit can have become."""
    rivals = [
        other
        for other in await engine.journal.unfinished(engine.provider.name)
        if other.mark in {Mark.SENDING, Mark.UNKNOWN}
        and other.receipt.key != entry.receipt.key
        and abs(other.receipt.at - entry.receipt.at) <= _LATEST
    ]
    if rivals:
        return None  # whose of them it is, nobody knows
    lines = await _list_since(engine, entry.receipt.at - CLOCK_SKEW, deadline)
    fitting = {
        line.snapshot.job_id: line
        for line in lines
        if line.kind is entry.receipt.kind and _is_near(line, entry.receipt.at)
    }
    known = await engine.journal.known_jobs(engine.provider.name, fitting)
    unclaimed = [line for job_id, line in fitting.items() if job_id not in known]
    return unclaimed[0] if len(unclaimed) == 1 else None


def _is_near(line: Listed, at: datetime) -> bool:
    made = line.created_at
    return made is not None and at - CLOCK_SKEW <= made <= at + _LATEST


async def _list_since(
    engine: Engine, earliest: datetime, deadline: float
) -> list[Listed]:
    """Read the service's list, newest first, as far back as that."""
    found: list[Listed] = []
    for page in itertools.islice(itertools.count(1), PAGES):
        build = partial(engine.provider.build_jobs, page)
        lines = await ask(engine, Ability.JOBS, build, deadline=deadline)
        found.extend(lines)
        times = [line.created_at for line in lines if line.created_at is not None]
        if not lines or (times and min(times) < earliest):
            return found
    # Without its end the list cannot show that a match is the only one.
    raise PersonaKitError("The service's list is too long to find the job in it.")
