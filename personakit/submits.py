"""The paid part of a call: intent to the journal, one POST that counts, its answer.

The journal knows of every step before it is taken, and the request belongs to the
client, not to the caller: neither cancellation nor a deadline tears it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from datetime import UTC, datetime
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
    except BaseException as error:
        if not submission.is_sending:  # refused, or cancelled between two attempts
            await engine.own(submission.give_up(), receipt, math.inf)
        if isinstance(error, OutcomeUnknown):
            error.retry_safe = False  # under a key of its own, that is
        raise
    return receipt.with_job(snapshot.job_id or None), snapshot


async def replay(engine: Engine, entry: Entry, *, deadline: float) -> Entry | None:
    """Ask for a lost answer by the same request under the same key.

    Args:
        engine: Of the running loop.
        entry: Of a submit that was sent.
        deadline: Loop time.

    Returns:
        The entry with its job; None where the service heeds no keys, may have forgotten
        this one, or the journal does not know what was asked for.

    Raises:
        OutcomeUnknown: there was no good answer again.
    """
    rule, request = engine.provider.replay, entry.request
    age = (datetime.now(UTC) - entry.receipt.at).total_seconds()
    if rule is None or request is None or not 0 <= age < rule.life:
        return None
    submission = _Submission(engine, request, entry.receipt, entry.sender, is_lost=True)
    forgotten = asyncio.get_running_loop().time() + rule.life - age
    await repeat(submission.attempt, deadline=min(deadline, forgotten))
    return await engine.journal.find(entry.receipt.key)


@attrs.define(eq=False)
class _Submission:
    """One submit on its way.

    Attributes:
        receipt: Its trace.
        sender: By which the journal tells it from others with the same key.
        wish: The caller's own key, None for none.
        is_lost: True once the answer to one was lost: whatever a further attempt with
            the same key is told, the first may have been paid.
        is_sending: True from before a paid request until it was surely refused.
        call: The paid request.
        replay_until: Loop time up to which the service knows the key of the first
            attempt, so that a lost answer may be asked for again.
    """

    engine: Engine
    request: JobRequest[Any]
    receipt: Receipt
    sender: str | None
    wish: str | None = None
    is_lost: bool = False
    is_sending: bool = attrs.field(default=False, init=False)
    call: Call[Snapshot[Result]] = attrs.field(init=False)
    replay_until: float = attrs.field(default=-math.inf, init=False)

    def __attrs_post_init__(self) -> None:
        provider = self.engine.provider
        address = self.engine.address(self.receipt)
        self.call = provider.build_submit(self.request, callback_url=address)
        if (replay := provider.replay) is not None:
            self.call = _put_key(self.call, replay.sent_in, self.receipt.key)
            self.replay_until = asyncio.get_running_loop().time() + replay.life

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
        if not isinstance(error, OutcomeUnknown) and not self.is_lost:
            await self._note(Mark.INTENT if error.retry_safe else Mark.CLOSED)
            self.is_sending = False
            raise attrs.evolve(
                error, receipt=self.receipt, provider=self.engine.provider.name
            )
        self.is_lost = True
        stands = await self._note(Mark.UNKNOWN)
        if stands is not None and stands.receipt.job_id is not None:
            return Snapshot(stands.receipt.job_id, JobState.QUEUED, "reported")
        raise attrs.evolve(
            _as_lost(error),
            receipt=self.receipt,
            provider=self.engine.provider.name,
            retry_safe=asyncio.get_running_loop().time() < self.replay_until,
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


def _put_key(
    call: Call[Snapshot[Result]], header: str, key: str
) -> Call[Snapshot[Result]]:
    return attrs.evolve(
        call, request=attrs.evolve(call.request, headers=((header, key),))
    )


def _as_lost(error: PersonaKitError) -> OutcomeUnknown:
    """Return an error as what it means once an earlier answer was lost."""
    if isinstance(error, OutcomeUnknown):
        return error
    return OutcomeUnknown(
        "The answer to an earlier attempt is lost, and a later one under the same key "
        f"was refused: {error.message}",
        code=error.code,
        status=error.status,
        request_id=error.request_id,
        retry_after=error.retry_after,
    )
