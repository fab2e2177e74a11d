"""What every store of submits, personas and durations offers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, TypeAlias

from personakit.errors import JournalError
from personakit.journal.record import Account, SubmitRecord
from personakit.journal.steps import Step, Verdict
from personakit.models import Persona

Duration: TypeAlias = tuple[str, float]
"""The kind of a job, and the logarithm of its duration as `History` measures it."""

RETENTION = 30 * 24 * 3600.0
"""Seconds after delivery for which a request and its result are kept."""


def clash(name: str) -> JournalError:
    """Make the error for renaming an account to one that used the same caller keys."""
    return JournalError(
        f"The account {name} cannot take this account's submits: both used the same "
        "key= for a submit. Nothing was renamed. Choose another name."
    )


class Journal(Protocol):
    """Where receipts, requests, results and personas are kept.

    A journal that processes share also offers what `personakit.ratelimit.shared.Shared`
    names. A caller bounds a method by cancelling it: the method then returns at once,
    even if the store hangs. What it had begun may have been written all the same.

    All methods raise JournalError if the store cannot be used now.
    """

    @property
    def worker(self) -> str:
        """Name of this process among those that share the journal."""
        ...

    @property
    def lease_end(self) -> float:
        """Until when others take this process for alive, by ``time.monotonic()``.

        ``math.inf`` if no other process can use the journal.
        """
        ...

    async def apply(self, account: Account, step: Step) -> Verdict:
        """Take a step by the rule `personakit.journal.rules.apply`, durably.

        `Begin` finds its record by the caller key if it has one; every other step finds
        it by the receipt's key. A record of another account is not found.
        """
        ...

    async def find(self, account: Account, key: str) -> SubmitRecord | None:
        """Return the record of a receipt's key, None if there is none."""
        ...

    async def find_by_caller_key(
        self, account: Account, caller_key: str
    ) -> SubmitRecord | None:
        """Return the record under the caller's own key, None if there is none."""
        ...

    async def unsettled(self, account: Account | None) -> tuple[SubmitRecord, ...]:
        """Return what is not delivered, refused or abandoned, oldest first.

        Rows that cannot be read are reported in the log and left out.

        Args:
            account: Whose; None for all accounts of all services.
        """
        ...

    async def claim(
        self,
        account: Account,
        *,
        keys: Collection[str] | None = None,
        limit: int | None = None,
    ) -> tuple[SubmitRecord, ...]:
        """Take the step `Claim` on what it fits, and return those, oldest first.

        Args:
            account: Whose.
            keys: Of the receipts, None for all.
            limit: At most so many, None for all.
        """
        ...

    async def known_jobs(
        self, account: Account, job_ids: Collection[str]
    ) -> frozenset[str]:
        """Return those of the job ids that belong to a record in any state."""
        ...

    async def accounts(self, provider: str, address: str) -> Mapping[str, int]:
        """Return the accounts of a service by name, with their unsettled submits."""
        ...

    async def rename_account(self, account: Account, name: str) -> int:
        """Give everything of an account to the one of another name; return the submits.

        Raises:
            JournalError: both accounts used the same caller key; nothing was changed.
        """
        ...

    async def remember(self, account: Account, persona: Persona) -> None:
        """Keep a persona, in place of what was kept of it before."""
        ...

    async def personas(self, account: Account) -> tuple[Persona, ...]:
        """Return the personas of an account, oldest first."""
        ...

    async def forget(self, account: Account, persona_id: str) -> bool:
        """Forget a persona, and return whether it was known."""
        ...

    async def note(self, durations: Sequence[Duration]) -> None:
        """Keep how long jobs took."""
        ...

    async def durations(self) -> tuple[Duration, ...]:
        """Return how long jobs took, oldest first, as far as it is still kept."""
        ...

    async def aclose(self) -> None:
        """Close files, connections and threads; a later call opens them again."""
        ...
