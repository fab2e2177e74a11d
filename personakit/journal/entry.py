"""What a journal keeps of each submit, and how that may change."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

import attrs

from personakit.models import JobState, Persona, Result, Snapshot
from personakit.receipt import Receipt
from personakit.requests import JobRequest


class Mark(StrEnum):
    """How far a submit has come."""

    INTENT = "intent"
    """Nothing was sent so far. Found after a crash, it surely cost nothing."""
    SENDING = "sending"
    """It may be on its way. Written before the first byte; found after a crash, it
    means that the outcome is unknown."""
    UNKNOWN = "unknown"
    """It was sent, and its answer is lost."""
    ACCEPTED = "accepted"
    """The service gave it a job id, or its result at once."""
    CLOSED = "closed"
    """Nothing is left to do: it was refused, given up, or its job has ended."""


_NEXT: dict[Mark, frozenset[Mark]] = {
    Mark.INTENT: frozenset({Mark.SENDING, Mark.ACCEPTED, Mark.CLOSED}),
    Mark.SENDING: frozenset({Mark.INTENT, Mark.UNKNOWN, Mark.ACCEPTED, Mark.CLOSED}),
    Mark.UNKNOWN: frozenset({Mark.ACCEPTED, Mark.CLOSED}),
    Mark.ACCEPTED: frozenset({Mark.CLOSED}),
    Mark.CLOSED: frozenset(),
}


_SENT = {Mark.SENDING, Mark.UNKNOWN, Mark.ACCEPTED}


@attrs.frozen
class Entry:
    """One line of a journal.

    Attributes:
        receipt: Its ``key`` names the line.
        mark: How far the submit has come.
        request: What was asked for, None where that is not known or too large.
        result: What the service answered at once; None for a job, which can be read.
        wish: The caller's own key, under which it was submitted; None for none.
        sender: Who sends it, a word of its own for each submit; None before one does.
        is_held: True while another process that is alive works on it, as far as the
            journal can tell. It is never written.
    """

    receipt: Receipt
    mark: Mark
    request: JobRequest[Any] | None = None
    result: Result | None = None
    wish: str | None = None
    sender: str | None = attrs.field(default=None, eq=False)
    is_held: bool = attrs.field(default=False, eq=False)

    @property
    def snapshot(self) -> Snapshot[Result] | None:
        """The end of what the service answered at once, None for a job."""
        if self.result is None:
            return None
        job_id = self.receipt.job_id or ""
        return Snapshot(job_id, JobState.COMPLETED, "kept", result=self.result)


def merge(before: Entry | None, now: Entry) -> Entry:
    """Return what stands after `now` is written over `before`.

    A job id, once known, is never lost, and an end is an end. What was closed without
    one (given up, say) is opened again by a job id that comes late, since that job is
    paid for. From its sending on a submit belongs to its sender: another one, which
    has the same key and sends nothing, neither takes it back nor ends it.
    """
    if before is None:
        return now
    is_late = before.receipt.job_id is None and now.mark is Mark.ACCEPTED
    may_move = now.mark in _NEXT[before.mark] or (before.result is None and is_late)
    is_rival = now.sender not in {None, before.sender}
    if before.mark in _SENT and now.mark is not Mark.ACCEPTED and is_rival:
        may_move = False
    return Entry(
        before.receipt.with_job(before.receipt.job_id or now.receipt.job_id),
        now.mark if may_move else before.mark,
        before.request or now.request,
        before.result or now.result,
        before.wish or now.wish,
        now.sender if may_move and now.mark is Mark.SENDING else before.sender,
        before.is_held,
    )


def select(
    entries: tuple[Entry, ...], keys: Collection[str] | None, limit: int | None
) -> tuple[Entry, ...]:
    """Return the entries of those keys, at most so many; None for all."""
    if keys is not None:
        entries = tuple(entry for entry in entries if entry.receipt.key in keys)
    return entries[:limit]


Duration: TypeAlias = tuple[str, float]
"""The kind of a job, and the logarithm of its duration as `History` measures it."""


class Journal(Protocol):
    """Where receipts, requests and personas are kept.

    One that machines share also offers what `personakit.sharedlane.Shared` names.

    All methods raise JournalError where that is impossible just now.
    """

    async def record(self, entry: Entry) -> Entry:
        """Write an entry durably; a paid request is sent only after this returns.

        Returns:
            What stands now, by `merge`.
        """
        ...

    async def find(self, key: str) -> Entry | None:
        """Return the entry of a receipt's key, None where there is none."""
        ...

    async def unfinished(self, provider: str) -> tuple[Entry, ...]:
        """Return every entry of a service that is not closed, oldest first."""
        ...

    async def claim(
        self,
        provider: str,
        *,
        keys: Collection[str] | None = None,
        limit: int | None = None,
    ) -> tuple[Entry, ...]:
        """Take over what is not closed, and return it, oldest first.

        Where processes share a journal that can tell, nothing is returned on which
        another one works that is alive; what is, counts as ours from now on.

        Args:
            provider: Name of the service.
            keys: Of the receipts, None for all.
            limit: At most so many, None for all.
        """
        ...

    async def known_jobs(
        self, provider: str, job_ids: Collection[str]
    ) -> frozenset[str]:
        """Return those of the job ids that belong to any entry, closed ones too."""
        ...

    async def remember(self, persona: Persona) -> None:
        """Keep a persona; what is known of it is replaced where it was kept before."""
        ...

    async def personas(self, provider: str) -> tuple[Persona, ...]:
        """Return the personas of a service, oldest first."""
        ...

    async def forget(self, provider: str, persona_id: str) -> bool:
        """Forget a persona, and tell whether it was known."""
        ...

    async def note(self, durations: Sequence[Duration]) -> None:
        """Keep what jobs have taken, so that waiting is learned once and for all."""
        ...

    async def durations(self) -> tuple[Duration, ...]:
        """Return what jobs have taken, oldest first, as far as it is still kept."""
        ...

    async def aclose(self) -> None:
        """Let go of files and threads; a later call opens them anew."""
        ...
