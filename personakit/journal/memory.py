"""A journal that lasts as long as the client."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import attrs

from personakit.journal.entry import Duration, Entry, Mark, merge, select
from personakit.models import Persona

KEPT = 10_000
"""Closed entries that are kept, without what was asked for; older ones are dropped."""


@attrs.define
class MemoryJournal:
    """Keeps what is unfinished, and of what is closed the latest."""

    _open: dict[str, Entry] = attrs.field(factory=dict[str, Entry], init=False)
    _closed: dict[str, Entry] = attrs.field(factory=dict[str, Entry], init=False)
    _personas: dict[tuple[str, str], Persona] = attrs.field(
        factory=dict[tuple[str, str], Persona], init=False
    )

    async def record(self, entry: Entry) -> Entry:
        """Keep an entry."""
        key = entry.receipt.key
        now = merge(self._open.get(key) or self._closed.pop(key, None), entry)
        if now.mark is not Mark.CLOSED:
            self._open[key] = now
            return now
        self._open.pop(key, None)
        self._closed[key] = attrs.evolve(now, request=None)
        while len(self._closed) > KEPT:
            del self._closed[next(iter(self._closed))]
        return now

    async def find(self, key: str) -> Entry | None:
        """Return what is kept under that key."""
        return self._open.get(key) or self._closed.get(key)

    async def unfinished(self, provider: str) -> tuple[Entry, ...]:
        """Return what is open, oldest first."""
        entries = self._open.values()
        return tuple(e for e in entries if e.receipt.provider == provider)

    async def claim(
        self,
        provider: str,
        *,
        keys: Collection[str] | None = None,
        limit: int | None = None,
    ) -> tuple[Entry, ...]:
        """Return what is open: nobody else can work on it."""
        entries = await self.unfinished(provider)
        return select(entries, keys, limit)

    async def known_jobs(
        self, provider: str, job_ids: Collection[str]
    ) -> frozenset[str]:
        """Look through everything that is kept."""
        receipts = [e.receipt for e in (*self._open.values(), *self._closed.values())]
        known = {r.job_id for r in receipts if r.provider == provider and r.job_id}
        return frozenset(known.intersection(job_ids))

    async def remember(self, persona: Persona) -> None:
        """Keep a persona."""
        self._personas[persona.provider, persona.id] = persona

    async def personas(self, provider: str) -> tuple[Persona, ...]:
        """Return the personas of a service, oldest first."""
        return tuple(p for p in self._personas.values() if p.provider == provider)

    async def forget(self, provider: str, persona_id: str) -> bool:
        """Forget a persona."""
        return self._personas.pop((provider, persona_id), None) is not None

    async def note(self, durations: Sequence[Duration]) -> None:
        """Do nothing: a client's own history lives as long as this."""

    async def durations(self) -> tuple[Duration, ...]:
        """Return nothing, for the same reason."""
        return ()

    async def aclose(self) -> None:
        """Nothing to let go of: a client that is used again knows its jobs still."""
