"""A journal that lasts as long as the client."""

from __future__ import annotations

import math
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import attrs

from personakit.journal.base import Duration, clash
from personakit.journal.record import (
    SETTLED,
    Account,
    SubmitRecord,
    SubmitState,
)
from personakit.journal.rules import apply
from personakit.journal.steps import Accept, Begin, Bind, Claim, Facts, Step, Verdict
from personakit.models import Persona

KEPT = 10_000
"""Delivered submits without a caller key that are kept; older ones are dropped."""
SEND_WINDOW = timedelta(minutes=30)
"""Time after delivery in which they are kept in any case: another submit whose answer
is lost may be looked for among the jobs of this time."""


@attrs.define
class MemoryJournal:
    """Keeps all that is unsettled, every caller key, and of the rest the latest.

    Of a delivered submit the request is dropped; the result stays for submits under the
    same caller key.
    """

    worker: str = attrs.field(factory=lambda: uuid.uuid4().hex, init=False)
    lease_end: float = attrs.field(default=math.inf, init=False)
    _records: dict[str, SubmitRecord] = attrs.field(
        factory=dict[str, SubmitRecord], init=False
    )
    _settled: dict[str, SubmitRecord] = attrs.field(
        factory=dict[str, SubmitRecord], init=False
    )
    _caller_keys: dict[tuple[Account, str], str] = attrs.field(
        factory=dict[tuple[Account, str], str], init=False
    )
    _jobs: dict[tuple[Account, str], str] = attrs.field(
        factory=dict[tuple[Account, str], str], init=False
    )
    _open: set[str] = attrs.field(factory=set[str], init=False)
    _personas: dict[tuple[Account, str], Persona] = attrs.field(
        factory=dict[tuple[Account, str], Persona], init=False
    )

    async def apply(self, account: Account, step: Step) -> Verdict:
        """Take a step; nothing else happens meanwhile."""
        key = step.key
        if isinstance(step, Begin) and step.caller_key is not None:
            key = self._caller_keys.get((account, step.caller_key), key)
        record = self._get(account, key)
        verdict = apply(record, step, self._find_facts(account, record, step))
        for after in (verdict.record, verdict.extra):
            if after is not None and after is not record:
                self._keep(after)
        return verdict

    def _find_facts(
        self, account: Account, record: SubmitRecord | None, step: Step
    ) -> Facts:
        holder, others = None, list[SubmitRecord]()
        if isinstance(step, Accept | Bind) and step.job_id is not None:
            holder = self._jobs.get((account, step.job_id))
        if isinstance(step, Bind) and record is not None:
            found = (self._get(account, key) for key in self._open - {step.key})
            kind = record.receipt.kind
            others = [one for one in found if one and one.receipt.kind is kind]
        now = datetime.now(UTC)
        return Facts(account, self.worker, now, self._is_alive, holder, others)

    def _is_alive(self, worker: str) -> bool:
        return worker == self.worker

    def _get(self, account: Account, key: str) -> SubmitRecord | None:
        record = self._records.get(key) or self._settled.get(key)
        return record if record is not None and record.account == account else None

    def _keep(self, record: SubmitRecord) -> None:
        key, account = record.key, record.account
        if record.open:
            self._open.add(key)
        else:
            self._open.discard(key)
        if record.caller_key is not None:
            self._caller_keys[account, record.caller_key] = key
        if record.receipt.job_id is not None:
            self._jobs.setdefault((account, record.receipt.job_id), key)
        if record.state not in SETTLED or record.open:
            self._settled.pop(key, None)
            self._records[key] = record
            return
        self._records.pop(key, None)
        if record.state is SubmitState.DELIVERED:
            result = record.result if record.caller_key is not None else None
            record = attrs.evolve(record, request=None, result=result)
        self._settled[key] = record
        if len(self._settled) > KEPT:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        """Drop the oldest settled submit, unless its caller key must stay known."""
        key = next(iter(self._settled))
        oldest = self._settled.pop(key)
        ended_at = oldest.delivered_at or oldest.ended_at or datetime.now(UTC)
        if oldest.caller_key is not None and oldest.state is not SubmitState.REFUSED:
            self._records[key] = attrs.evolve(oldest, result=None)
        elif datetime.now(UTC) - ended_at < SEND_WINDOW:
            self._settled[key] = oldest
        else:
            self._forget(oldest)

    def _forget(self, record: SubmitRecord) -> None:
        account, job_id = record.account, record.receipt.job_id
        if job_id is not None and self._jobs.get((account, job_id)) == record.key:
            del self._jobs[account, job_id]
        if record.caller_key is not None:
            del self._caller_keys[account, record.caller_key]

    async def find(self, account: Account, key: str) -> SubmitRecord | None:
        """Return the record of that key."""
        return self._get(account, key)

    async def find_by_caller_key(
        self, account: Account, caller_key: str
    ) -> SubmitRecord | None:
        """Return the record under that caller key."""
        key = self._caller_keys.get((account, caller_key))
        return None if key is None else self._get(account, key)

    async def unsettled(self, account: Account | None) -> tuple[SubmitRecord, ...]:
        """Return what is not settled, oldest first."""
        return tuple(
            record
            for record in self._records.values()
            if account in {None, record.account} and record.state not in SETTLED
        )

    async def claim(
        self,
        account: Account,
        *,
        keys: Collection[str] | None = None,
        limit: int | None = None,
    ) -> tuple[SubmitRecord, ...]:
        """Return what is to be awaited or delivered: nobody else can work on it."""
        claimed: list[SubmitRecord] = []
        for record in await self.unsettled(account):
            if limit is not None and len(claimed) >= limit:
                break
            if keys is None or record.key in keys:
                verdict = await self.apply(account, Claim(record.key))
                if verdict.is_won and verdict.record is not None:
                    claimed.append(verdict.record)
        return tuple(claimed)

    async def known_jobs(
        self, account: Account, job_ids: Collection[str]
    ) -> frozenset[str]:
        """Return those of the job ids that belong to a record."""
        return frozenset(job for job in job_ids if (account, job) in self._jobs)

    async def accounts(self, provider: str, address: str) -> Mapping[str, int]:
        """Return the accounts of a service, with their unsettled submits."""
        counts: dict[str, int] = {}
        for record in (*self._settled.values(), *self._records.values()):
            of = record.account
            if (of.provider, of.address) == (provider, address):
                is_left = record.state not in SETTLED
                counts[of.name] = counts.get(of.name, 0) + is_left
        return counts

    async def rename_account(self, account: Account, name: str) -> int:
        """Give everything of an account to the one of another name."""
        new = attrs.evolve(account, name=name)
        records = [*self._settled.values(), *self._records.values()]
        moved = [record for record in records if record.account == account]
        if any((new, record.caller_key) in self._caller_keys for record in moved):
            raise clash(name)
        for record in moved:
            self._forget(record)
            self._keep(attrs.evolve(record, account=new))
        for persona in await self.personas(account):
            del self._personas[account, persona.id]
            self._personas[new, persona.id] = persona
        return len(moved)

    async def remember(self, account: Account, persona: Persona) -> None:
        """Keep a persona."""
        self._personas[account, persona.id] = persona

    async def personas(self, account: Account) -> tuple[Persona, ...]:
        """Return the personas of an account, oldest first."""
        return tuple(p for (of, _), p in self._personas.items() if of == account)

    async def forget(self, account: Account, persona_id: str) -> bool:
        """Forget a persona."""
        return self._personas.pop((account, persona_id), None) is not None

    async def note(self, durations: Sequence[Duration]) -> None:
        """Do nothing: a client's own history lives as long as this."""

    async def durations(self) -> tuple[Duration, ...]:
        """Return nothing, for the same reason."""
        return ()

    async def aclose(self) -> None:
        """Nothing to let go of: a client that is used again knows its jobs still."""
