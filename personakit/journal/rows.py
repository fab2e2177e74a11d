"""Records and personas as rows of a database table, and back."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from personakit.journal.record import Account, Attempt, SubmitRecord, SubmitState
from personakit.models import Persona, TrackRef
from personakit.receipt import Ability, Receipt
from personakit.serialization import dump, dump_failure

FIXED = ("id", "provider", "address", "account", "caller_key", "extra_of")
CHANGING = (
    *("kind", "state", "attempt", "open", "worker", "job_id", "is_shared"),
    *("at", "made_at", "ended_at", "delivered_at", "fingerprint"),
)
CONTENT = ("request", "result", "failure")
COLUMNS = (*FIXED, *CHANGING, *CONTENT)
"""Of the table of submits, in the order of `to_row`."""
PERSONA_COLUMNS = (
    *("provider", "address", "account", "id", "name", "description", "style"),
    *("source_job", "source_track"),
)
"""Of the table of personas, in the order of `to_persona_row`."""

Value = str | int | float | None

_log = logging.getLogger("personakit")


def to_fixed(record: SubmitRecord) -> tuple[Value, ...]:
    """Return what never changes of a record."""
    account = record.account
    return (
        record.key,
        account.provider,
        account.address,
        account.name,
        record.caller_key,
        record.extra_of,
    )


def to_changing(record: SubmitRecord) -> tuple[Value, ...]:
    """Return what steps change of a record, but for its content."""
    return (
        record.receipt.kind.value,
        record.state.value,
        record.attempt,
        json.dumps([[one.number, one.sent_at.timestamp()] for one in record.open]),
        record.worker,
        record.receipt.job_id,
        int(record.is_shared),
        record.receipt.at.timestamp(),
        _seconds(record.made_at),
        _seconds(record.ended_at),
        _seconds(record.delivered_at),
        record.fingerprint,
    )


def to_content(record: SubmitRecord) -> tuple[Value, ...]:
    """Return what was asked for and what came of it, as text."""
    request, result, failure = record.content
    return (
        request if isinstance(request, str) else dump(request),
        result if isinstance(result, str) else dump(result),
        failure
        if failure is None or isinstance(failure, str)
        else dump_failure(failure),
    )


def to_row(record: SubmitRecord) -> tuple[Value, ...]:
    """Return a record as the columns of its row."""
    return (*to_fixed(record), *to_changing(record), *to_content(record))


def to_record(
    row: Sequence[Any], is_held: Callable[[str | None], bool]
) -> SubmitRecord:
    """Read a record back; its content is read when it is first needed.

    Args:
        row: `COLUMNS`.
        is_held: Returns whether the process of that name is alive; takes None too.

    Raises:
        ValueError: the row is none that this version writes.
    """
    named = dict(zip(COLUMNS, row, strict=True))
    try:
        job_id, worker = named["job_id"], named["worker"]
        receipt = Receipt(
            named["provider"],
            Ability(named["kind"]),
            named["id"],
            datetime.fromtimestamp(int(named["at"]), UTC),
            job_id,
        )
        return SubmitRecord(
            receipt,
            Account(named["provider"], named["address"], named["account"]),
            SubmitState(named["state"]),
            attempt=int(named["attempt"]),
            open=tuple(
                Attempt(int(number), datetime.fromtimestamp(sent_at, UTC))
                for number, sent_at in json.loads(named["open"])
            ),
            worker=worker,
            is_held=is_held(worker),
            caller_key=named["caller_key"],
            fingerprint=named["fingerprint"],
            extra_of=named["extra_of"],
            is_shared=bool(named["is_shared"]),
            made_at=_moment(named["made_at"]),
            ended_at=_moment(named["ended_at"]),
            delivered_at=_moment(named["delivered_at"]),
            request=named["request"],
            result=named["result"],
            failure=named["failure"],
        )
    except (TypeError, OverflowError, OSError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def to_records(
    rows: Iterable[Sequence[Any]], is_held: Callable[[str | None], bool]
) -> list[SubmitRecord]:
    """Read records back; rows that cannot be read are reported and left out."""
    records: list[SubmitRecord] = []
    for row in rows:
        try:
            records.append(to_record(row, is_held))
        except ValueError as error:
            _report(str(row[0]), str(error))
    return records


@lru_cache(maxsize=1000)  # once each, however often they are read
def _report(key: str, reason: str) -> None:
    _log.error("Row %.40r of the journal cannot be read: %.200s", key, reason)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def to_persona_row(account: Account, persona: Persona) -> tuple[str | None, ...]:
    """Return a persona as the columns of its row."""
    source = persona.source
    return (
        account.provider,
        account.address,
        account.name,
        persona.id,
        _clean(persona.name),
        _clean(persona.description),
        _clean(persona.style),
        None if source is None else source.job_id,
        None if source is None else source.track_id,
    )


def _clean(text: str | None) -> str | None:
    """Leave out what databases cannot keep: halves of characters, and the null."""
    if text is None:
        return None
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def to_persona(row: Sequence[Any]) -> Persona:
    """Read a persona back."""
    provider, _, _, persona_id, name, description, style, job, track = row
    source = TrackRef(job, track) if job else None
    return Persona(persona_id, provider, name, description, style, source)
