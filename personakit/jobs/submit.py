"""The paid part of a call: intent to the journal, one POST that counts, its answer.

The journal knows of each step before it is taken. The POST belongs to the client, not
to the caller: neither a cancellation nor a deadline tears it once its first byte has
left. Before that byte both stop it, and the error says that nothing was charged.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Any

import attrs

from personakit.errors import (
    JournalError,
    OutcomeUnknown,
    PersonaKitError,
    too_late,
)
from personakit.http.retry import attempt_call, repeat
from personakit.jobs.engine import VERDICT_TIME, Engine
from personakit.journal import SubmitRecord, SubmitState
from personakit.journal.steps import (
    Accept,
    Begin,
    Lose,
    NotSent,
    Refuse,
    Start,
    Verdict,
    Withdraw,
)
from personakit.models import JobState, Persona, Result, Snapshot
from personakit.receipt import Receipt
from personakit.requests import JobRequest
from personakit.serialization import make_fingerprint

LEASE_MARGIN = 0.5
"""Seconds before the end of the lease from which on no paid request is begun."""

_log = logging.getLogger("personakit")


class KeyInUse(Exception):
    """Another process or a callback has moved the record; nothing was sent here."""


@attrs.frozen
class Submitted:
    """A submit that was accepted.

    Attributes:
        receipt: With the job id.
        snapshot: The first one; it is final if the service answered with the result.
        sent_at: Loop time at which the paid request was begun.
    """

    receipt: Receipt
    snapshot: Snapshot[Result]
    sent_at: float


async def begin(
    engine: Engine,
    receipt: Receipt,
    request: JobRequest[Any],
    *,
    caller_key: str | None,
    deadline: float,
) -> Verdict:
    """Write down what is wanted, or find what there is under the same key.

    Raises:
        ServiceUnavailable: the deadline has passed.
        JournalError: the journal cannot be written, or not before the deadline.
    """
    loop = asyncio.get_running_loop()
    # A cancellation that was requested before takes effect here, and no later.
    await asyncio.sleep(0)
    if loop.time() >= deadline:
        raise too_late()
    fingerprint = make_fingerprint(request)
    step = Begin(receipt, caller_key, request, fingerprint)
    beginning = loop.create_task(engine.journal.apply(engine.account, step))

    def withdraw(done: asyncio.Task[Verdict]) -> None:
        verdict = None if done.cancelled() or done.exception() else done.result()
        if verdict is not None and verdict.is_won and verdict.record is not None:
            record = verdict.record
            engine.writer.put(Withdraw(record.key, record.attempt))

    try:
        async with asyncio.timeout_at(None if deadline == math.inf else deadline):
            return await asyncio.shield(beginning)
    except TimeoutError:
        beginning.add_done_callback(withdraw)
        raise JournalError(
            "The journal did not answer before the deadline. Nothing was sent.",
            retry_safe=True,
        ) from None
    except asyncio.CancelledError:
        beginning.add_done_callback(withdraw)
        raise


async def send(
    engine: Engine,
    record: SubmitRecord,
    request: JobRequest[Any],
    *,
    deadline: float,
    is_kept: bool = False,
) -> Submitted:
    """Send what was begun: exactly one paid request that counts.

    Args:
        engine: Of the running loop.
        record: In the state INTENT; or UNKNOWN, if the user accepts that both the lost
            request and this one may be charged.
        request: What is wanted.
        deadline: Loop time after which nothing is sent.
        is_kept: True to leave the intent in the journal if nothing is sent.

    Raises:
        JournalError: the journal cannot be written; nothing was sent.
        OutcomeUnknown: the answer to the paid request is lost.
        Contended: another process sends under the same key, or has done so.
        PersonaKitError: the service refused, or was never reached.
    """
    submission = _Submission(engine, record, request, deadline, is_kept)
    try:
        return await repeat(submission.attempt, deadline=deadline)
    except PersonaKitError as error:
        if error.receipt is not None:
            raise
        raise submission.name(error) from None
    finally:
        submission.withdraw()


@attrs.define(eq=False)
class _Submission:
    """A submit on its way.

    Attributes:
        record: As this submission last saw it.
        deadline: Loop time after which nothing is sent.
        is_kept: True to leave the intent in the journal if nothing is sent.
        is_left: True once the caller no longer waits.
        may_be_sent: True from right before the first byte of the current attempt.
        accepted: The outcome, once the answer was read.
    """

    engine: Engine
    record: SubmitRecord
    request: JobRequest[Any]
    deadline: float
    is_kept: bool
    is_left: bool = False
    may_be_sent: bool = False
    accepted: Submitted | None = None

    def withdraw(self) -> None:
        """Give up what is not sent; of what is sent, `_send` writes the outcome."""
        if self.record.state is SubmitState.INTENT:
            self._put_withdrawal(self.record.attempt)

    def _put_withdrawal(self, attempt: int) -> None:
        step = Withdraw(self.record.key, attempt, self.is_kept)
        self.engine.writer.put(step)

    def _put_not_sent(self, attempt: int) -> None:
        """Write later that an attempt was not sent, and that no other follows."""
        self.engine.writer.put(NotSent(self.record.key, attempt, goes_on=True))
        self._put_withdrawal(attempt)

    def name(self, error: PersonaKitError) -> PersonaKitError:
        """Return an error with the receipt and the name of the service."""
        return attrs.evolve(
            error, receipt=self.record.receipt, provider=self.engine.provider.name
        )

    async def attempt(self) -> Submitted:
        """Send once."""
        engine, loop = self.engine, asyncio.get_running_loop()
        # Nothing is under way before the account's limit has room for it.
        await engine.starts.acquire(self.deadline)
        caller = asyncio.current_task()
        cancels = 0 if caller is None else caller.cancelling()

        def is_left() -> bool:
            is_cancelled = caller is not None and caller.cancelling() > cancels
            return self.is_left or is_cancelled

        sending = loop.create_task(self._send(is_left))
        engine.sendings.add(sending)
        sending.add_done_callback(engine.sendings.discard)
        until = None if self.deadline == math.inf else self.deadline + VERDICT_TIME
        try:
            async with asyncio.timeout_at(until):
                return await asyncio.shield(sending)
        except TimeoutError:
            self._leave(sending)
            if self.accepted is not None:  # only the journal does not answer
                return self.accepted
            raise self._explain_absence("The deadline came", too_late()) from None
        except asyncio.CancelledError:
            self._leave(sending)
            if sending.cancelled() and not (caller and caller.cancelling() > cancels):
                closed = PersonaKitError("The client was closed before this was sent.")
                raise self._explain_absence("The client was closed", closed) from None
            raise

    def _leave(self, sending: asyncio.Task[Submitted]) -> None:
        self.is_left = True
        sending.add_done_callback(_report_orphan)

    def _explain_absence(self, event: str, unsent: PersonaKitError) -> PersonaKitError:
        """Return the error for a caller who leaves before the outcome is known.

        Args:
            event: Why it leaves, as the beginning of a sentence.
            unsent: The error if no byte can have left.
        """
        if not self.may_be_sent:
            return self.name(unsent)
        return self.name(
            OutcomeUnknown(
                f"{event} while a paid request was under way. As long as the client is "
                "open, its answer still goes to the journal: call resume() later."
            )
        )

    async def _send(self, is_left: Callable[[], bool]) -> Submitted:
        """Send, and write down what came of it."""
        with self.engine.starts:
            await self._start()
            key, number = self.record.key, self.record.attempt
            sent_at = asyncio.get_running_loop().time()
            try:
                snapshot = await self._post(is_left)
            except PersonaKitError as error:
                return await self._fail(error, number, sent_at)
            except BaseException:  # the client was closed
                if self.may_be_sent:
                    self.engine.writer.put(Lose(key, number))
                else:
                    self._put_not_sent(number)
                raise
        return await self._accept(snapshot, number, sent_at)

    async def _start(self) -> None:
        """Begin an attempt; the POST may follow."""
        engine, before = self.engine, self.record
        after_unknown = before.state is SubmitState.UNKNOWN
        step = Start(before.key, before.attempt, after_unknown)
        self.may_be_sent = False
        # From here on `_send` decides what is written, not `withdraw`.
        self.record = attrs.evolve(before, state=SubmitState.SENDING)
        try:
            verdict = await engine.journal.apply(engine.account, step)
        except BaseException:  # it may be written all the same
            self._put_not_sent(before.attempt + 1)
            self._put_withdrawal(before.attempt)
            raise
        if verdict.record is None or not verdict.is_won:
            raise KeyInUse
        self.record = verdict.record

    async def _post(self, is_left: Callable[[], bool]) -> Snapshot[Result]:
        engine, record = self.engine, self.record

        def may_send() -> bool:
            lease_end = engine.journal.lease_end - LEASE_MARGIN
            self.may_be_sent = not is_left() and time.monotonic() < lease_end
            return self.may_be_sent

        address = engine.address(record.receipt, record.attempt)
        call = engine.provider.build_submit(self.request, callback_url=address)
        return await attempt_call(
            engine.transport, call, deadline=self.deadline, may_send=may_send
        )

    async def _fail(
        self, error: PersonaKitError, number: int, sent_at: float
    ) -> Submitted:
        """Write down what an error means; raise it, unless a callback was quicker."""
        key, writer = self.record.key, self.engine.writer
        if isinstance(error, OutcomeUnknown):
            error = attrs.evolve(error, retry_safe=False)
            verdict = await writer.write(Lose(key, number))
            record = self.record if verdict is None else verdict.record or self.record
            if (job_id := record.receipt.job_id) is not None:
                queued = Snapshot[Result](job_id, JobState.QUEUED, "reported")
                return Submitted(record.receipt, queued, sent_at)
        elif error.retry_safe:
            self.may_be_sent = False
            verdict = await writer.write(NotSent(key, number, goes_on=True))
            if verdict is None:  # so no further attempt can be begun
                error = attrs.evolve(error, retry_safe=False)
            if verdict is None or self.is_left:
                self._put_withdrawal(number)
            else:
                self.record = attrs.evolve(self.record, state=SubmitState.INTENT)
        else:
            await writer.write(Refuse(key, number))
        raise self.name(error)

    async def _accept(
        self, snapshot: Snapshot[Result], number: int, sent_at: float
    ) -> Submitted:
        """Write down the job's id, or the result that was answered at once."""
        engine, record = self.engine, self.record
        result, job_id = snapshot.result, snapshot.job_id or None
        if result is not None:
            result = self.request.complete(result)
            snapshot = attrs.evolve(snapshot, result=result)
        receipt = record.receipt.with_job(job_id)
        self.accepted = Submitted(receipt, snapshot, sent_at)
        await engine.writer.write(Accept(record.key, number, job_id, result))
        if isinstance(result, Persona):
            await engine.remember(result)
        return self.accepted


def _report_orphan(task: asyncio.Task[Submitted]) -> None:
    """Log what became of a request whose caller is gone."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("A request whose caller left ended with: %s", error)
