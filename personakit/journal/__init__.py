"""The record of every submit, from before it is sent until its job has ended."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from personakit.receipt import Receipt


class Mark(StrEnum):
    """How far a submit has come."""

    SENDING = "sending"
    """It may be on its way. Written before the first byte; found after a crash, it
    means that the outcome is unknown."""
    ACCEPTED = "accepted"
    """The service gave it a job id."""
    UNKNOWN = "unknown"
    """It was sent, and its answer is lost."""
    CLOSED = "closed"
    """Nothing is left to find: it was refused, never sent, or its job has ended."""


class Journal(Protocol):
    """Where receipts are kept."""

    async def record(self, receipt: Receipt, mark: Mark) -> None:
        """Write a receipt and its mark; a paid request is sent only after this returns.

        Args:
            receipt: Replaces what was written before under the same ``key``.
            mark: How far its submit has come.
        """
        ...

    async def unfinished(self) -> tuple[tuple[Receipt, Mark], ...]:
        """Return every receipt that is not closed, oldest first."""
        ...
