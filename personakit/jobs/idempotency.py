"""Submits, with a key of the caller's or without: whoever comes second joins the first.

A process that died and was started again, a queue that delivers a task twice, two
machines with the same work: all of them lead to one paid request, because the journal
lets only one of them send.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextlib import suppress
from typing import Any, TypeVar

from personakit.errors import OutcomeUnknown, PersonaKitError, invalid
from personakit.jobs.engine import Engine, check_ability, in_time
from personakit.jobs.job import Job
from personakit.jobs.reconcile import reconcile
from personakit.jobs.recovery import Recovery
from personakit.jobs.submit import KeyInUse, Submitted, begin, send
from personakit.journal import SubmitRecord, SubmitState
from personakit.journal.record import WITH_JOB
from personakit.journal.steps import Lose
from personakit.receipt import Receipt
from personakit.requests import JobRequest, check_request
from personakit.serialization import make_fingerprint

T = TypeVar("T")

RETRY_PAUSE = 0.5
"""Seconds between two looks at what another call or process sends."""
KEY_LENGTH = 250
"""Characters of a caller's own key at most."""


class Keyed(Recovery):
    """What `PersonaKit` does for submits that may come twice."""

    @abstractmethod
    def _job_of(
        self, submitted: Submitted, request: JobRequest[T], caller_key: str | None
    ) -> Job[T]:
        """Make the handle of a job that was accepted just now."""

    async def submit(
        self,
        request: JobRequest[T],
        *,
        key: str | None = None,
        timeout: float | None = None,
    ) -> Job[T]:
        """Start a job with exactly one paid request, and do not wait for it.

        Args:
            request: Any of `PersonaRequest`, `MusicRequest` and their like.
            key: A text that names this order and no other, for example an order
                number. If it is submitted again under this key, by this process or by
                any that shares the journal, the first job is returned and nothing is
                paid. What was refused, or given up with `abandon`, is submitted again;
                what was given up may then be paid a second time. The journal keeps key
                and job id for good, request and result for its ``retention`` after
                delivery (30 days unless set). None submits in any case.
            timeout: Seconds up to which "too many requests" and unreachable services
                lead to another attempt, time in queues included; None for the
                client's own. Nothing is sent after it.

        Raises:
            InvalidRequest: a rule is broken, or the key stands for another request;
                nothing was sent.
            OutcomeUnknown: the answer to the paid request is lost, now or when it was
                first submitted under the key.
            PersonaKitError: the service refused, or was never reached.
        """
        check_request(request)
        deadline = self.deadline_in(timeout)
        caller_key = None if key is None else check_key(key)
        return await self._submit_once(request, deadline, caller_key)

    async def run(
        self, request: JobRequest[T], *, deadline: float, key: str | None = None
    ) -> T:
        """Submit a request and wait for its result.

        Args:
            request: What is wanted.
            deadline: Loop time.
            key: Under which it is submitted once; None to submit in any case.
        """
        job = await self._submit_once(request, deadline, key)
        return await job.result_by(deadline)

    async def _submit_once(
        self, request: JobRequest[T], deadline: float, caller_key: str | None = None
    ) -> Job[T]:
        """Submit a request, or join what was submitted under the same key.

        Raises:
            InvalidRequest: the key stands for another request.
            OutcomeUnknown: it was sent, now or before, and its answer is lost.
        """
        engine = await self._here()
        check_ability(engine.provider, request.ability)
        engine.provider.build_submit(request)  # refuses what breaks a rule
        receipt = Receipt(engine.provider.name, request.ability)
        while True:
            verdict = await begin(
                engine, receipt, request, caller_key=caller_key, deadline=deadline
            )
            if verdict.record is None:
                continue  # pragma: no cover - no store answers so
            if verdict.is_won:
                try:
                    submitted = await send(
                        engine, verdict.record, request, deadline=deadline
                    )
                except KeyInUse:
                    continue
                return self._job_of(submitted, request, caller_key)
            job = await self._join(engine, verdict.record, request, deadline)
            if job is not None:
                return job

    async def _join(
        self,
        engine: Engine,
        record: SubmitRecord,
        request: JobRequest[Any],
        deadline: float,
    ) -> Job[Any] | None:
        """Return the job of a submit under the same key; None to look again."""
        _compare(record, request)
        if record.state in WITH_JOB:
            claiming = engine.journal.claim(engine.account, keys=[record.key])
            await in_time(claiming, deadline)
            return self._resume_record(record)
        if record.state is SubmitState.SENDING and not record.is_held:
            lost = Lose(record.key, record.attempt, is_sender=False)
            await in_time(engine.journal.apply(engine.account, lost), deadline)
            return None
        if record.state is not SubmitState.UNKNOWN:
            await _wait_for(record, deadline)
            return None
        with suppress(PersonaKitError):  # it stays unknown if nobody can be asked now
            found = await reconcile(engine, record, deadline)
            if found.state in WITH_JOB:
                return self._resume_record(found)
        raise OutcomeUnknown(
            "This was submitted before, and its answer is lost.",
            receipt=record.receipt,
            provider=self.provider,
        )


def check_key(key: object, field: str = "key") -> str:
    """Return a key that journals can keep.

    Raises:
        InvalidRequest: it is none.
    """
    if isinstance(key, str) and 0 < len(key) <= KEY_LENGTH and key.isprintable():
        return key
    raise invalid(
        field,
        f"must be a text of 1 to {KEY_LENGTH} printable characters",
        "Change it",
    )


def _compare(record: SubmitRecord, request: JobRequest[Any]) -> None:
    """Refuse a key that was used for something else."""
    is_other = record.fingerprint not in {"", make_fingerprint(request)}
    if is_other or record.receipt.kind is not request.ability:
        raise invalid(
            "key", "must stand for one request, and had another", "Use a new one"
        )


async def _wait_for(record: SubmitRecord, deadline: float) -> None:
    if asyncio.get_running_loop().time() + RETRY_PAUSE >= deadline:
        raise PersonaKitError(
            "This is being submitted just now, by another call or process. This call "
            "sent nothing.",
            receipt=record.receipt,
            provider=record.receipt.provider,
            retry_safe=True,
        )
    await asyncio.sleep(RETRY_PAUSE)
