"""What becomes of submits whose outcome is unknown: found, adopted, given up, repeated.

A lost answer is never followed by the same request again unless the caller says so. The
job is found by the journal, to which a callback may have reported it, or by the
service's list of jobs. A list may show the job, but proves nothing by not showing it.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Any

from personakit.errors import PersonaKitError, invalid
from personakit.jobs.engine import JOURNAL_TIME, Engine, deadline_in, in_time
from personakit.jobs.job import Job
from personakit.jobs.reconcile import read_once, reconcile
from personakit.jobs.submit import KeyInUse, Submitted, send
from personakit.journal import SubmitRecord, SubmitState
from personakit.journal.record import SETTLED, UNNAMED, WITH_JOB
from personakit.journal.steps import Abandon, Bind, Lose, Loss, Withdraw
from personakit.models import Result
from personakit.receipt import Receipt
from personakit.requests import JobRequest
from personakit.validation import expect, expect_count

CALL_TIMEOUT = 60.0
"""Seconds for finding out what became of a submit."""

_log = logging.getLogger("personakit")


class Recovery(ABC):
    """What `PersonaKit` offers for finding jobs again."""

    _has_warned: bool = False

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
    def _resume_record(self, record: SubmitRecord) -> Job[Any]:
        """Make the handle of what the journal knows."""

    @abstractmethod
    def _job_of(
        self, submitted: Submitted, request: JobRequest[Any], caller_key: str | None
    ) -> Job[Any]:
        """Make the handle of a job that was accepted just now."""

    async def resume(self, *, limit: int | None = None) -> AsyncGenerator[Job[Result]]:
        """Yield every job whose result was not delivered, oldest first.

        A result is delivered when `Job.deliver` ended without an error, or when the
        caller of ``await job`` went on with it. So this yields jobs whose caller was
        cancelled before it got its `Job` or its result, and those of earlier runs if
        the journal is durable. A job that has ended has its result at once.

        Processes that share a journal each get jobs of their own: those that no other
        living process works on. Submits without a job id are in `pending`.

        Args:
            limit: Yield at most this many, None for all.
        """
        if limit is not None:
            expect_count("limit", limit, 0)
        engine, deadline = await self._here(), deadline_in(JOURNAL_TIME)
        await in_time(engine.writer.flush(), deadline)
        await self._warn_of_other_accounts(engine, deadline)
        claiming = engine.journal.claim(engine.account, limit=limit)
        for record in await in_time(claiming, deadline):
            yield self._resume_record(record)

    async def pending(self) -> tuple[SubmitRecord, ...]:
        """Return the submits whose outcome is unknown, oldest first.

        The ``state`` of each is ``intent`` if nothing was sent, because the process
        died before, or ``unknown`` if it was sent and its answer is lost. What a
        living process works on is not returned. `reconcile`, `adopt`, `abandon` and
        `resubmit` settle them.
        """
        engine, deadline = await self._here(), deadline_in(JOURNAL_TIME)
        await in_time(engine.writer.flush(), deadline)
        await self._warn_of_other_accounts(engine, deadline)
        poll = engine.journal.unsettled(engine.account)
        found = [
            await _lose_if_dead(engine, record, deadline)
            for record in await in_time(poll, deadline)
            if record.state not in WITH_JOB and not record.is_held
        ]
        return tuple(record for record in found if record.state not in WITH_JOB)

    async def _warn_of_other_accounts(self, engine: Engine, deadline: float) -> None:
        """Say once that another unnamed account has open work in the journal."""
        if self._has_warned:
            return
        self._has_warned = True
        account = engine.account
        counting = engine.journal.accounts(account.provider, account.address)
        for name, count in (await in_time(counting, deadline)).items():
            if count and name != account.name and name.startswith(UNNAMED):
                _log.warning(
                    "The journal has %d open submits of another %s account, %s. If "
                    "your API key changed, name the account: PersonaKit(account="
                    '"..."), after "personakit journal rename-account %s NAME".',
                    *(count, account.provider, name, name),
                )

    async def reconcile(
        self,
        receipt: Receipt,
        *,
        timeout: float = CALL_TIMEOUT,
        by_time_alone: bool = False,
    ) -> Job[Result] | None:
        """Look for the job of a submit whose outcome is unknown; pays nothing.

        If the service lists its jobs, a job is taken if it alone fits: in kind and
        time, in what the service tells of its title, style and lyrics, and if it can
        be no other submit's of this journal. Texts are told of finished songs only, so
        a later call may find what this one does not.

        Args:
            receipt: Of an `OutcomeUnknown`, or of `pending`.
            timeout: Seconds.
            by_time_alone: True to take a job of which the service tells no text. Only
                if nothing but this journal uses the account; else it may be a job of
                somebody else.

        Returns:
            The job, which the journal knows from now on; None if it is still not
            known whether there is one.

        Raises:
            InvalidRequest: the journal has no such receipt, or it is settled.
            PersonaKitError: the service cannot be asked now.
        """
        expect("receipt", receipt, "a Receipt", Receipt)
        engine, deadline = await self._here(), deadline_in(timeout)
        record = await reconcile(
            engine,
            await _find_open(engine, receipt, deadline),
            deadline,
            by_time_alone=by_time_alone,
        )
        return self._resume_record(record) if record.state in WITH_JOB else None

    async def adopt(
        self, receipt: Receipt, job_id: str, *, timeout: float = CALL_TIMEOUT
    ) -> Job[Result]:
        """Say which job a submit became, as found on the service's own pages.

        Args:
            receipt: Of an `OutcomeUnknown`, or of `pending`.
            job_id: The service's id of the job; if the service answers such a submit
                with the result itself, for example a persona, the id of that.
            timeout: Seconds for reading the job once.

        Raises:
            InvalidRequest: the journal has no such receipt, or knows its job, or the
                job belongs to another receipt.
            NotFound: the service knows no such job.
        """
        expect("receipt", receipt, "a Receipt", Receipt)
        expect("job_id", job_id, "text", str)
        engine, deadline = await self._here(), deadline_in(timeout)
        record = await _find_open(engine, receipt, deadline)
        named = record.receipt.with_job(job_id)
        if engine.provider.recall(named) is None:
            await read_once(engine, named, deadline)
        step = Bind(record.key, record.attempt, job_id)
        binding = engine.journal.apply(engine.account, step)
        verdict = await in_time(binding, deadline)
        if verdict.loss is Loss.BOUND:
            raise invalid(
                "job_id",
                "must not belong to another receipt",
                "Look at its own receipt",
            )
        if verdict.record is None or not verdict.is_won:
            raise _moved(verdict.record or record)
        return self._resume_record(verdict.record)

    async def abandon(self, receipt: Receipt) -> None:
        """Give up on a submit of which no job is known; what it cost is lost.

        If it was submitted under a key, submitting the key again may pay a second
        time. If its job is reported later after all, `resume` yields it.

        Raises:
            InvalidRequest: the journal has no such receipt, or knows its job.
        """
        expect("receipt", receipt, "a Receipt", Receipt)
        engine, deadline = await self._here(), deadline_in(JOURNAL_TIME)
        record = await _find_open(engine, receipt, deadline)
        shape = Withdraw if record.state is SubmitState.INTENT else Abandon
        step = shape(record.key, record.attempt)
        verdict = await in_time(engine.journal.apply(engine.account, step), deadline)
        if not verdict.is_won:
            raise _moved(verdict.record or record)

    async def resubmit(
        self,
        receipt: Receipt,
        *,
        accept_possible_double_charge: bool = False,
        timeout: float | None = None,
    ) -> Job[Result]:
        """Submit again what a receipt was for, under the same receipt and key.

        Args:
            receipt: Of `pending`, or of an `OutcomeUnknown`.
            accept_possible_double_charge: Must be True unless nothing was sent: the
                lost submit may have been paid for, and this one will be. Each
                acceptance pays for one submit. What the lost submit may have made
                comes up in `resume` only if the service reports it to a callback.
            timeout: As for `submit`. If nothing was sent, `pending` still has it.

        Raises:
            InvalidRequest: that is not accepted, or the journal does not know what was
                asked for.
        """
        expect("receipt", receipt, "a Receipt", Receipt)
        deadline = self.deadline_in(timeout)
        engine = await self._here()
        record = await _find_open(engine, receipt, deadline)
        is_unsent = record.state is SubmitState.INTENT and not record.open
        if record.state in WITH_JOB:
            raise invalid("receipt", "has a job", "Await that: kit.attach(...)")
        if not is_unsent and accept_possible_double_charge is not True:
            raise invalid(
                "accept_possible_double_charge",
                "must be True, since the lost submit may have been paid for",
                "Call reconcile first, or accept it",
            )
        request = record.request
        if request is None:
            raise invalid(
                "receipt", "does not tell what was wanted", "Submit that anew"
            )
        try:
            submitted = await send(
                engine, record, request, deadline=deadline, is_kept=True
            )
        except KeyInUse:
            finding = engine.journal.find(engine.account, receipt.key)
            latest = await in_time(finding, deadline)
            if latest is not None and latest.state in WITH_JOB:
                return self._resume_record(latest)
            raise _moved(latest or record) from None
        return self._job_of(submitted, request, record.caller_key)


def _moved(record: SubmitRecord) -> PersonaKitError:
    """Make the error for a receipt that another caller settled meanwhile."""
    return invalid(
        "receipt",
        f"must not be settled by somebody else, and is {record.state} by now",
        "Look at kit.pending() and kit.resume() again",
    )


async def _find_open(engine: Engine, receipt: Receipt, deadline: float) -> SubmitRecord:
    """Return the record of a receipt that may be settled.

    Raises:
        InvalidRequest: there is none, it is settled, or a living process works on it.
    """
    finding = engine.journal.find(engine.account, receipt.key)
    record = await in_time(finding, deadline)
    if record is None:
        raise invalid(
            "receipt",
            f"must be in this journal, and of this account of {engine.provider.name}",
            "Use the client and the journal that it was made with",
        )
    record = await _lose_if_dead(engine, record, deadline)
    if record.state in SETTLED:
        raise invalid(
            "receipt", f"must be open, and this one is {record.state}", "Nothing to do"
        )
    if record.is_held and record.state not in WITH_JOB:
        raise invalid(
            "receipt",
            "is being submitted by a living call or process",
            "Wait for its end",
        )
    return record


async def _lose_if_dead(
    engine: Engine, record: SubmitRecord, deadline: float
) -> SubmitRecord:
    """Write down that the answer is lost if the process died that waited for it."""
    if record.state is not SubmitState.SENDING or record.is_held:
        return record
    lost = Lose(record.key, record.attempt, is_sender=False)
    verdict = await in_time(engine.journal.apply(engine.account, lost), deadline)
    return verdict.record or record
