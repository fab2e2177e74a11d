"""The paid part of a call: intent to the journal, one POST that counts, its answer.

The journal knows of every step before it is taken, and the request belongs to the
client, not to the caller: neither cancellation nor a deadline tears it.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import attrs

from personakit.errors import (
    JournalError,
    OutcomeUnknown,
    PersonaKitError,
    RateLimited,
)
from personakit.journal import Entry, Mark
from personakit.models import JobState, Persona, Result, Snapshot
from personakit.receipt import Receipt
from personakit.requests import JobRequest
from personakit.retry import attempt_call, repeat
from personakit.wire import Call
from personakit.workflows import Engine, check_ability

_log = logging.getLogger("personakit")


class Contended(Exception):
    """Another process sends what has the same key; nothing was sent here."""


async def submit(
    engine: Engine,
    request: JobRequest[Any],
    *,
    deadline: float,
    key: str | None = None,
    wish: str | None = None,
) -> tuple[Receipt, Snapshot[Result]]:
    """Start a job: exactly one paid request that counts.

    Args:
        engine: Of the running loop.
        request: What is wanted.
        deadline: Loop time up to which refusals may be answered by another attempt.
        key: Of the receipt, 32 hexadecimal digits that no other submit has; None for
            new ones.
        wish: The caller's own key, for the journal; None for none.

    Returns:
        The receipt with its job id, and the first snapshot; it is final where the
        service answers with the result itself.

    Raises:
        InvalidRequest: a rule is broken; nothing was sent.
        JournalError: the intent cannot be written; nothing was sent.
        OutcomeUnknown: the answer to the paid request is lost.
        Contended: another process sends under the same key, or has done so.
        PersonaKitError: the service refused, or was never reached.
    """
    check_ability(engine.provider, request.ability)
    receipt = Receipt(engine.provider.name, request.ability)
    sender = receipt.key  # nobody else has it
    if key is not None:
        receipt = attrs.evolve(receipt, key=key)
    submission = _Submission(engine, request, receipt, sender, wish)
    try:
        await submission.begin()
        snapshot = await repeat(submission.attempt, deadline=deadline)
    except BaseException:
        if not submission.is_sending:  # refused, or cancelled between two attempts
            await engine.own(submission.give_up(), receipt, math.inf)
        raise
    return receipt.with_job(snapshot.job_id or None), snapshot


@attrs.define(eq=False)
class _Submission:
    """One submit on its way.

    Attributes:
        receipt: Its trace.
        sender: By which the journal tells it from others with the same key.
        wish: The caller's own key, None for none.
        is_sending: True from before a paid request until it was surely refused.
        call: The paid request.
    """

    engine: Engine
    request: JobRequest[Any]
    receipt: Receipt
    sender: str | None
    wish: str | None = None
    is_sending: bool = attrs.field(default=False, init=False)
    call: Call[Snapshot[Result]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        provider = self.engine.provider
        address = self.engine.address(self.receipt)
        self.call = provider.build_submit(self.request, callback_url=address)

    async def begin(self) -> None:
        """Write down what is wanted."""
        entry = Entry(self.receipt, Mark.INTENT, self.request, wish=self.wish)
        await self.engine.journal.record(entry)

    async def attempt(self, within: float) -> Snapshot[Result]:
        """Send once, for a caller who has so many seconds."""
        try:  # nothing is under way before there is room for it
            await self.engine.starts.enter(within)
        except RateLimited as error:
            return await self._explain(error)
        self.is_sending = True
        return await self.engine.own(self._send(), self.receipt, within)

    def _entry(self, mark: Mark) -> Entry:
        return Entry(self.receipt, mark, sender=self.sender)

    async def give_up(self) -> None:
        """Write down that nothing more will be sent."""
        await self._note(Mark.CLOSED)

    async def _send(self) -> Snapshot[Result]:
        """Send, and leave in the journal whatever came of it."""
        engine = self.engine
        try:
            with engine.starts:
                stands = await engine.journal.record(self._entry(Mark.SENDING))
                if stands.sender != self.sender:
                    raise Contended
                snapshot = await attempt_call(engine.transport, self.call, math.inf)
        except PersonaKitError as error:
            return await self._explain(error)
        await self._accept(snapshot)
        return snapshot

    async def _explain(self, error: PersonaKitError) -> Snapshot[Result]:
        """Write down what an error means; raise it, unless a callback knew better."""
        if not isinstance(error, OutcomeUnknown):
            await self._note(Mark.INTENT if error.retry_safe else Mark.CLOSED)
            self.is_sending = False
            raise attrs.evolve(
                error, receipt=self.receipt, provider=self.engine.provider.name
            )
        stands = await self._note(Mark.UNKNOWN)
        if stands is not None and stands.receipt.job_id is not None:
            return Snapshot(stands.receipt.job_id, JobState.QUEUED, "reported")
        raise attrs.evolve(
            error,
            receipt=self.receipt,
            provider=self.engine.provider.name,
            retry_safe=False,
        )

    async def _accept(self, snapshot: Snapshot[Result]) -> None:
        """Write down the job's id, or the result that was answered at once."""
        receipt = self.receipt.with_job(snapshot.job_id or None)
        result = snapshot.result
        if result is not None:
            result = self.request.complete(result)
        try:
            if isinstance(result, Persona):
                await self.engine.journal.remember(result)
            await self.engine.journal.record(
                Entry(receipt, Mark.ACCEPTED, result=result)
            )
        except JournalError as error:  # it was paid for, so the caller must have it
            _log.error("Job %s is not written down: %s", receipt.token, error)

    async def _note(self, mark: Mark) -> Entry | None:
        """Write a mark down where possible; what is to be raised matters more."""
        try:
            return await self.engine.journal.record(self._entry(mark))
        except JournalError as error:
            _log.error("%s is not written down as %s: %s", self.receipt, mark, error)
            return None
