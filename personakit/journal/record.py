"""The record of one paid submit: what is known of it, and what it may have cost.

Two values tell about the money. The state says what is known of the submit. The open
attempts are the paid requests that were started and whose outcome nobody knows; a
record may have some in any state, for example when a second paid request was sent on
purpose while the outcome of the first was unknown.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import attrs

from personakit.errors import PersonaKitError
from personakit.models import JobState, Result, Snapshot
from personakit.receipt import Receipt
from personakit.requests import JobRequest
from personakit.serialization import load_failure, load_request, load_result


class SubmitState(StrEnum):
    """What is known of a submit."""

    INTENT = "intent"
    """Nothing is under way."""
    SENDING = "sending"
    """One attempt may be on its way. Written before the first byte."""
    UNKNOWN = "unknown"
    """It was sent and its answer is lost: perhaps it was charged."""
    ACCEPTED = "accepted"
    """It was charged, and its job id is known."""
    ENDED = "ended"
    """The job has ended; its result or failure is kept and was not delivered yet."""
    DELIVERING = "delivering"
    """The same, while a ``deliver()`` block runs."""
    DELIVERED = "delivered"
    """The caller has had the result."""
    REFUSED = "refused"
    """It was not charged."""
    ABANDONED = "abandoned"
    """Perhaps it was charged; the user gave it up."""


WITH_JOB = frozenset(
    {
        SubmitState.ACCEPTED,
        SubmitState.ENDED,
        SubmitState.DELIVERING,
        SubmitState.DELIVERED,
    }
)
"""States in which the service is known to have taken the job on."""
SETTLED = frozenset({SubmitState.DELIVERED, SubmitState.REFUSED, SubmitState.ABANDONED})
"""States in which nothing is left to do."""

UNNAMED = "~"
"""First character of the names of accounts that the user gave none."""
INTERNAL = "\x1f"
"""A character that caller keys made by this package have, and those of users do not."""


@attrs.frozen
class Account:
    """Whose submits and personas these are. Accounts in one journal share nothing.

    Attributes:
        provider: Name of the service.
        address: Base address of the service.
        name: The name that the user gave the account, or a fingerprint of its key.
    """

    provider: str
    address: str
    name: str


@attrs.frozen
class Attempt:
    """A paid request whose outcome is not known.

    Attributes:
        number: Which attempt of its record it was, from 1.
        sent_at: When it was started, aware UTC, by the journal's clock.
    """

    number: int
    sent_at: datetime


@attrs.frozen
class SubmitRecord:
    """What a journal keeps of one submit.

    Attributes:
        receipt: Names the record; holds the job id once that is known.
        account: To whom it belongs.
        state: What is known of it.
        attempt: How many attempts and deliveries were begun. It is the fence: a step
            that was planned for another number comes too late.
        open: The attempts whose outcome is not known.
        worker: Name of the process that works on it, None if none does.
        is_held: True while that process is alive, which may be this one. Computed by
            the journal when it reads the record.
        caller_key: The caller's own key, None if not set.
        fingerprint: Digest of what was asked for. Unlike the request it is kept for
            good.
        extra_of: The key of the record of which this is an additional job, None for
            most: one submit was accepted twice.
        is_shared: True when another record has the same job id, because the service
            answered two submits with one.
        made_at: When it was first written, by the journal's clock.
        ended_at: When its job was read to have ended, or it was refused or abandoned;
            None before.
        delivered_at: When its result was delivered, None before.
    """

    receipt: Receipt
    account: Account
    state: SubmitState
    attempt: int = 0
    open: tuple[Attempt, ...] = ()
    worker: str | None = None
    is_held: bool = attrs.field(default=False, eq=False)
    caller_key: str | None = None
    fingerprint: str = ""
    extra_of: str | None = None
    is_shared: bool = False
    made_at: datetime | None = attrs.field(default=None, eq=False)
    ended_at: datetime | None = attrs.field(default=None, eq=False)
    delivered_at: datetime | None = attrs.field(default=None, eq=False)
    # As they are, or as the text of a row, which is read when it is first needed.
    _request: JobRequest[Any] | str | None = attrs.field(
        default=None, eq=False, alias="request"
    )
    _result: Result | str | None = attrs.field(default=None, eq=False, alias="result")
    _failure: PersonaKitError | str | None = attrs.field(
        default=None, eq=False, alias="failure"
    )

    @property
    def key(self) -> str:
        """The key of its receipt."""
        return self.receipt.key

    def awaits(self, attempt: int) -> bool:
        """Return whether the outcome of an attempt is not known yet."""
        return any(one.number == attempt for one in self.open)

    @property
    def shown_key(self) -> str | None:
        """The caller's own key if a user chose it, else None."""
        return show_key(self.caller_key)

    @property
    def content(
        self,
    ) -> tuple[
        JobRequest[Any] | str | None, Result | str | None, PersonaKitError | str | None
    ]:
        """Request, result and failure, each as it is or as the text of a row."""
        return self._request, self._result, self._failure

    @property
    def request(self) -> JobRequest[Any] | None:
        """What was asked for; None if it is too large to keep, or no longer kept."""
        if isinstance(self._request, str):
            return load_request(self.receipt.kind, self._request)
        return self._request

    @property
    def result(self) -> Result | None:
        """What the job made; None before its end, on failure, or if not kept."""
        if isinstance(self._result, str):
            return load_result(self.receipt.kind, self._result)
        return self._result

    @property
    def failure(self) -> PersonaKitError | None:
        """Why the job made nothing; None before its end, and when it made something."""
        if isinstance(self._failure, str):
            return load_failure(self._failure)
        return self._failure

    @property
    def snapshot(self) -> Snapshot[Result] | None:
        """The end of the job as it is kept, None if none is."""
        job_id = self.receipt.job_id or ""
        if (result := self.result) is not None:
            return Snapshot(job_id, JobState.COMPLETED, "kept", result=result)
        if (failure := self.failure) is not None:
            failure = attrs.evolve(failure, receipt=self.receipt)
            return Snapshot(job_id, JobState.FAILED, "kept", failure=failure)
        return None


def show_key(caller_key: str | None) -> str | None:
    """Return a caller key if a user chose it, else None."""
    return None if caller_key is None or INTERNAL in caller_key else caller_key
