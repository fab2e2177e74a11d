"""The steps that change a record, what a rule may depend on, and what comes of it.

Each step names its record by `key`. Its `attempt` is the number that the caller has
seen or was given; if the record has another one by then, the step comes too late.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

import attrs

from personakit.errors import PersonaKitError
from personakit.journal.record import Account, SubmitRecord
from personakit.models import Result
from personakit.receipt import Receipt
from personakit.requests import JobRequest


@attrs.frozen
class Begin:
    """Write down what is wanted, or find what was submitted under the same caller key.

    It wins if there is no record yet, if the last submit under the caller key was
    refused or abandoned, or if the process died that wanted to send it.
    """

    receipt: Receipt
    caller_key: str | None
    request: JobRequest[Any] | None
    fingerprint: str

    @property
    def key(self) -> str:
        """Of the record, unless there is one under the caller key."""
        return self.receipt.key


@attrs.frozen
class Start:
    """Begin the attempt ``attempt + 1``. The paid request may follow when it wins.

    Attributes:
        key: Of the record.
        attempt: The last one.
        after_unknown: True to start it although an earlier one may have been charged.
    """

    key: str
    attempt: int
    after_unknown: bool = False


@attrs.frozen
class Accept:
    """Write down the job of an attempt. A job id, once known, is never dropped.

    Attributes:
        key: Of the record.
        attempt: Which was accepted.
        job_id: Of the job; None where the service answered at once without an id.
        result: What the service answered at once, None for a job.
        receipt: Of an attempt that the journal may not know, because its record is
            lost; None to write nothing then.
        by_callback: True if a callback says so: it cannot name the job of another
            record.
    """

    key: str
    attempt: int
    job_id: str | None
    result: Result | None = None
    receipt: Receipt | None = None
    by_callback: bool = False


@attrs.frozen
class Refuse:
    """Write down that an attempt was refused, so that it was not charged."""

    key: str
    attempt: int


@attrs.frozen
class NotSent:
    """Write down that no byte of an attempt left, so that it was not charged.

    Attributes:
        key: Of the record.
        attempt: Which was not sent.
        goes_on: True if the caller will start another one.
    """

    key: str
    attempt: int
    goes_on: bool = False


@attrs.frozen
class Lose:
    """Write down that the answer to an attempt is lost.

    Attributes:
        key: Of the record.
        attempt: Whose answer it is.
        is_sender: False to say it of an attempt of a process that died.
    """

    key: str
    attempt: int
    is_sender: bool = True


@attrs.frozen
class Withdraw:
    """Give up what was not sent, because of a deadline or a cancellation.

    Attributes:
        key: Of the record.
        attempt: The last one.
        is_kept: True to leave the intent to be sent later, by `resubmit`.
    """

    key: str
    attempt: int
    is_kept: bool = False


@attrs.frozen
class Bind:
    """Write down which job a submit of unknown outcome became.

    Attributes:
        key: Of the record.
        attempt: The last one.
        job_id: Of the job, which must not belong to another record.
        is_rival: Returns whether the job may as well be that of another record with
            open attempts; None if the user names the job.
    """

    key: str
    attempt: int
    job_id: str
    is_rival: Callable[[SubmitRecord], bool] | None = attrs.field(
        default=None, eq=False
    )


@attrs.frozen
class Abandon:
    """Give up a submit of unknown outcome."""

    key: str
    attempt: int


@attrs.frozen
class End:
    """Write down how a job ended: its result, or its failure."""

    key: str
    result: Result | None = None
    failure: PersonaKitError | None = None


@attrs.frozen
class Take:
    """Begin to deliver a result, as the only one."""

    key: str


@attrs.frozen
class Deliver:
    """Write down that a result was delivered.

    Attributes:
        key: Of the record.
        attempt: That `Take` gave; None where the result was returned to a caller, who
            did not ask to be the only one.
    """

    key: str
    attempt: int | None = None


@attrs.frozen
class Return:
    """Write down that a delivery failed, so that it is tried again."""

    key: str
    attempt: int


@attrs.frozen
class Claim:
    """Work on a job, or on an end that was not delivered, unless another does."""

    key: str


Step: TypeAlias = (
    Begin
    | Start
    | Accept
    | Refuse
    | NotSent
    | Lose
    | Withdraw
    | Bind
    | Abandon
    | End
    | Take
    | Deliver
    | Return
    | Claim
)


class Loss(StrEnum):
    """Why a step changed nothing."""

    MOVED = "moved"
    """The record stands otherwise by now, or belongs to another process."""
    MISSING = "missing"
    """There is no such record."""
    BOUND = "bound"
    """The job belongs to another record."""
    RIVAL = "rival"
    """The job may as well be that of another record."""


@attrs.frozen
class Facts:
    """What a store reads beside the record, in the same transaction.

    Attributes:
        account: Whose record it is.
        me: Name of the process that takes the step.
        now: The time by the journal's clock, aware UTC.
        is_alive: Returns whether the process of that name is alive.
        holder: The key of the record that has the job id of the step, None if none
            has. Needed by `Accept` and `Bind`.
        others: The other records of the same account and kind with open attempts,
            whatever their state. Needed by `Bind`.
    """

    account: Account
    me: str
    now: datetime
    is_alive: Callable[[str], bool]
    holder: str | None = None
    others: Sequence[SubmitRecord] = ()

    def is_idle(self, record: SubmitRecord) -> bool:
        """Return whether no living process works on a record."""
        return record.worker is None or not self.is_alive(record.worker)

    def see(self, record: SubmitRecord | None) -> SubmitRecord | None:
        """Return a record with `is_held` as it is now; the same object if it is so."""
        if record is None or record.is_held is not self.is_idle(record):
            return record
        return attrs.evolve(record, is_held=not record.is_held)


@attrs.frozen
class Verdict:
    """What a step did.

    Attributes:
        record: As it stands now, changed or not; None if there is none.
        loss: Why nothing was changed, None if the step took effect.
        extra: A second record, for a job that came in addition to the record's own.
    """

    record: SubmitRecord | None
    loss: Loss | None = None
    extra: SubmitRecord | None = None

    @property
    def is_won(self) -> bool:
        """True if the step took effect."""
        return self.loss is None
