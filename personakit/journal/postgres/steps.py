"""Steps on the submits of a PostgreSQL journal, several in one transaction.

The order of the statements matters. An UPDATE that waited for a row lock sees the new
row, but the table of workers as it was before the wait. Therefore all rows are locked
first, in the order of their ids, and the next statement reads who is alive and what
time it is. Rows and locks are taken in one order everywhere, so that processes do not
wait for each other in a circle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import attrs

from personakit.journal.postgres.connection import Connection
from personakit.journal.record import Account, SubmitRecord
from personakit.journal.rows import (
    CHANGING,
    COLUMNS,
    CONTENT,
    to_changing,
    to_content,
    to_record,
    to_records,
    to_row,
)
from personakit.journal.rules import apply
from personakit.journal.steps import Accept, Begin, Bind, Claim, Facts, Step, Verdict

Named: TypeAlias = tuple[Account, str]
"""An account, and a key, a caller key or a job id in it."""

ALIVE = """
    greatest(seen, pg_postmaster_start_time()) + lease > clock_timestamp()
"""
"""Condition on a row of workers. A restart of the server is no worker's fault: each has
its whole lease after it."""
OF_ACCOUNT = (
    "provider = %(provider)s AND address = %(address)s AND account = %(account)s"
)
"""Condition on a row, with the values of `name_account`."""
UNSETTLED = "state NOT IN ('delivered', 'refused', 'abandoned')"
SUBMIT_COLUMNS = ", ".join(COLUMNS)

_NEVER = datetime.min.replace(tzinfo=UTC)
_NUMBERS = frozenset({"attempt", "is_shared"})
_TIMES = frozenset({"at", "made_at", "ended_at", "delivered_at"})
_NAMES = "%(providers)s::text[], %(addresses)s::text[], %(accounts)s::text[]"


def _unnest(columns: Iterable[str]) -> str:
    """Return the rows of an array for each column."""
    types = {**dict.fromkeys(_NUMBERS, "int"), **dict.fromkeys(_TIMES, "float8")}
    arrays = ", ".join(f"%s::{types.get(column, 'text')}[]" for column in columns)
    return f"unnest({arrays})"


def _update(columns: Sequence[str]) -> str:
    changes = ", ".join(f"{column} = new.{column}" for column in columns)
    return (
        f"UPDATE personakit_submits AS old SET {changes} "  # noqa: S608
        f"FROM {_unnest(('id', *columns))} AS new (id, {', '.join(columns)}) "
        "WHERE old.id = new.id"
    )


_LOCK = "SELECT pg_advisory_xact_lock(number) FROM unnest(%s::bigint[]) AS number"
_READ = f"""
    SELECT {SUBMIT_COLUMNS} FROM personakit_submits WHERE id IN (
        SELECT unnest(%(ids)s::text[])
        UNION
        SELECT id FROM personakit_submits
        JOIN unnest({_NAMES}, %(caller_keys)s::text[])
            AS wanted (provider, address, account, caller_key)
        USING (provider, address, account, caller_key)
    )
    ORDER BY id FOR UPDATE
"""  # noqa: S608
_FACTS = f"""
    SELECT txid_current(), extract(epoch FROM clock_timestamp())::float8,
    ARRAY(SELECT name FROM personakit_workers WHERE {ALIVE}),
    pg_postmaster_start_time()::text
"""  # noqa: S608
_HOLDERS = f"""
    SELECT provider, address, account, job_id, id FROM personakit_submits
    JOIN unnest({_NAMES}, %(job_ids)s::text[])
        AS wanted (provider, address, account, job_id)
    USING (provider, address, account, job_id)
    ORDER BY is_shared DESC
"""  # noqa: S608
_FIND = f"SELECT {SUBMIT_COLUMNS} FROM personakit_submits WHERE id = ANY(%s)"  # noqa: S608
_OTHERS = f"""
    SELECT {SUBMIT_COLUMNS} FROM personakit_submits
    WHERE {OF_ACCOUNT} AND kind = %(kind)s AND open <> '[]' AND id <> %(id)s
"""  # noqa: S608
_FREE = f"""
    {OF_ACCOUNT} AND {UNSETTLED} AND state IN ('accepted', 'ended', 'delivering')
    AND (%(keys)s::text[] IS NULL OR id = ANY(%(keys)s::text[]))
    AND (worker IS NULL OR worker = %(me)s OR NOT EXISTS (
        SELECT FROM personakit_workers WHERE name = worker AND {ALIVE}
    ))
    ORDER BY number LIMIT %(limit)s
"""
FIND_FREE = f"SELECT id FROM personakit_submits WHERE {_FREE}"  # noqa: S608
_CLAIM = f"""
    SELECT {SUBMIT_COLUMNS} FROM personakit_submits WHERE {_FREE}
    FOR UPDATE SKIP LOCKED
"""  # noqa: S608
_ADD = (
    f"INSERT INTO personakit_submits ({SUBMIT_COLUMNS}) "  # noqa: S608
    f"SELECT * FROM {_unnest(COLUMNS)}"
)
_CHANGE = _update(CHANGING)
_FILL = _update(CONTENT)


def name_account(account: Account) -> dict[str, Any]:
    """Return the values of `OF_ACCOUNT`."""
    return {
        "provider": account.provider,
        "address": account.address,
        "account": account.name,
    }


async def fetch(connection: Connection, query: str, values: Any) -> list[Any]:
    """Return the rows of a query that is made of constants."""
    read = await connection.execute(query.encode(), values)
    return await read.fetchall()


@attrs.define(eq=False)
class Group:
    """Steps that one transaction takes, one after the other.

    A `Bind` is alone in its group: what it asks of other records is not kept here.

    Attributes:
        me: Name of this process.
        steps: Each with its account.
        number: Of the transaction, None before it has one.
        server: When the server was started that gave the number.
        verdicts: What came of the steps, in their order.
        looked_at: Keys of the records that `claim` decided on or could not read.
    """

    me: str
    steps: Sequence[tuple[Account, Step]]
    number: int | None = attrs.field(default=None, init=False)
    server: str = attrs.field(default="", init=False)
    verdicts: list[Verdict] = attrs.field(factory=list[Verdict], init=False)
    looked_at: set[str] = attrs.field(factory=set[str], init=False)
    _now: datetime = attrs.field(default=_NEVER, init=False)
    _living: frozenset[str] = attrs.field(default=frozenset(), init=False)
    _before: dict[Named, SubmitRecord] = attrs.field(
        factory=dict[Named, SubmitRecord], init=False
    )
    _after: dict[Named, SubmitRecord] = attrs.field(
        factory=dict[Named, SubmitRecord], init=False
    )
    _caller_keys: dict[Named, str] = attrs.field(factory=dict[Named, str], init=False)
    _holders: dict[Named, str] = attrs.field(factory=dict[Named, str], init=False)

    async def run(self, connection: Connection) -> None:
        """Take the steps, in the transaction that the connection is in."""
        rows = await self._lock(connection)
        await self._read_facts(connection)
        self._see(to_record(row, self.is_alive) for row in rows)
        others = await self._read_others(connection)
        await self._read_holders(connection)
        self.verdicts = [
            self._apply(account, step, others) for account, step in self.steps
        ]
        await self._write(connection)

    async def claim(
        self, connection: Connection, names: dict[str, Any]
    ) -> list[SubmitRecord]:
        """Claim what is free and not locked by others, oldest first."""
        rows = await fetch(connection, _CLAIM, names)
        self.looked_at = {key for key, *_ in rows}
        await self._read_facts(connection)
        records = to_records(rows, self.is_alive)
        self._see(records)
        verdicts = [self._apply(r.account, Claim(r.key), ()) for r in records]
        await self._write(connection)
        return [v.record for v in verdicts if v.is_won and v.record is not None]

    def is_alive(self, worker: str | None) -> bool:
        """Return whether a process is alive."""
        return worker == self.me or worker in self._living

    async def _lock(self, connection: Connection) -> list[Any]:
        """Lock the records of the steps, and return their rows."""
        wanted = {
            (account, step.caller_key)
            for account, step in self.steps
            if isinstance(step, Begin) and step.caller_key is not None
        }
        if wanted:  # their records may not exist yet
            await connection.execute(_LOCK, (sorted(map(_number, wanted)),))
        names = _spread(wanted, "caller_keys")
        return await fetch(
            connection, _READ, {"ids": [step.key for _, step in self.steps], **names}
        )

    async def _read_facts(self, connection: Connection) -> None:
        [[number, now, living, server]] = await fetch(connection, _FACTS, ())
        self.number, self.server, self._living = number, server, frozenset(living)
        self._now = datetime.fromtimestamp(now, UTC)

    def _see(self, records: Iterable[SubmitRecord]) -> None:
        for record in records:
            self._before[record.account, record.key] = record
            self._keep(record)

    def _keep(self, record: SubmitRecord) -> None:
        account, job_id = record.account, record.receipt.job_id
        self._after[account, record.key] = record
        if record.caller_key is not None:
            self._caller_keys[account, record.caller_key] = record.key
        if job_id is not None:
            self._holders.setdefault((account, job_id), record.key)

    async def _read_others(self, connection: Connection) -> list[SubmitRecord]:
        """Return the records with open attempts that a `Bind` may ask about."""
        [(account, step), *_] = self.steps
        record = self._find(account, step)
        if not isinstance(step, Bind) or record is None:
            return []
        names = {"id": step.key, "kind": record.receipt.kind.value}
        rows = await fetch(connection, _OTHERS, {**names, **name_account(account)})
        # A rival that cannot be read must not be overlooked: the step fails then.
        return [to_record(row, self.is_alive) for row in rows]

    async def _read_holders(self, connection: Connection) -> None:
        """Find out who has the job ids.

        This comes after `_read_others`, or a record that is bound in between would be
        missed in both.
        """
        wanted = {
            (account, step.job_id)
            for account, step in self.steps
            if isinstance(step, Accept | Bind) and step.job_id is not None
        }
        if wanted:
            rows = await fetch(connection, _HOLDERS, _spread(wanted, "job_ids"))
            for *names, job_id, key in rows:
                self._holders[Account(*names), job_id] = key

    def _find(self, account: Account, step: Step) -> SubmitRecord | None:
        key: str | None = step.key
        if isinstance(step, Begin) and step.caller_key is not None:
            key = self._caller_keys.get((account, step.caller_key))
        return None if key is None else self._after.get((account, key))

    def _apply(
        self, account: Account, step: Step, others: Sequence[SubmitRecord]
    ) -> Verdict:
        holder = None
        if isinstance(step, Accept | Bind) and step.job_id is not None:
            holder = self._holders.get((account, step.job_id))
        facts = Facts(account, self.me, self._now, self.is_alive, holder, others)
        verdict = apply(self._find(account, step), step, facts)
        for record in (verdict.record, verdict.extra):
            if record is not None:
                self._keep(record)
        return verdict

    async def is_written(self, connection: Connection) -> bool:
        """Return whether anything that this group changed is there.

        One row is enough, since a transaction writes all or nothing.
        """
        changed = {
            after.key: to_changing(after)
            for name, after in self._after.items()
            if name not in self._before or after is not self._before[name]
        }
        rows = await fetch(connection, _FIND, (list(changed),))
        found = to_records(rows, self.is_alive)
        return any(to_changing(one) == changed[one.key] for one in found)

    async def _write(self, connection: Connection) -> None:
        """Write what has changed."""
        added: list[Sequence[Any]] = []
        changed: list[Sequence[Any]] = []
        filled: list[Sequence[Any]] = []
        for named, after in self._after.items():
            before = self._before.get(named)
            if before is None:
                added.append(to_row(after))
                continue
            if to_changing(before) != to_changing(after):
                changed.append((after.key, *to_changing(after)))
            if before.content != after.content:
                filled.append((after.key, *to_content(after)))
        for query, rows in ((_ADD, added), (_CHANGE, changed), (_FILL, filled)):
            if rows:
                arrays = [list(column) for column in zip(*rows, strict=True)]
                await connection.execute(query.encode(), arrays)


def _number(named: Named) -> int:
    """Return the number of the lock for a caller key."""
    account, caller_key = named
    words = (account.provider, account.address, account.name, caller_key)
    text = repr(words).encode("utf-8", "backslashreplace")
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _spread(wanted: Collection[Named], name: str) -> dict[str, list[str]]:
    """Return columns for accounts, and one more for what is wanted in them."""
    return {
        "providers": [account.provider for account, _ in wanted],
        "addresses": [account.address for account, _ in wanted],
        "accounts": [account.name for account, _ in wanted],
        name: [word for _, word in wanted],
    }
