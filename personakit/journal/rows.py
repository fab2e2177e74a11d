"""Entries and personas as rows of a database table, and back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from personakit.archive import dump, load_request, load_result
from personakit.journal.entry import Entry, Mark
from personakit.models import Persona, TrackRef
from personakit.receipt import Ability, Receipt

COLUMNS = "key, provider, kind, at, job_id, mark, request, result, wish, sender"
"""Of the table of submits, in the order of `to_row`."""
PERSONA_COLUMNS = "provider, id, name, description, style, source_job, source_track"
"""Of the table of personas, in the order of `to_persona_row`."""


def to_row(entry: Entry) -> tuple[str | int | None, ...]:
    """Return an entry as the columns of its row."""
    receipt = entry.receipt
    return (
        receipt.key,
        receipt.provider,
        receipt.kind.value,
        int(receipt.at.timestamp()),
        receipt.job_id,
        entry.mark.value,
        dump(entry.request),
        dump(entry.result),
        entry.wish,
        entry.sender,
    )


def to_entry(row: Sequence[Any], *, is_held: bool = False) -> Entry:
    """Read an entry back."""
    key, provider, kind, at, job_id, mark, request, result, wish, sender = row
    ability = Ability(kind)
    return Entry(
        Receipt(provider, ability, key, datetime.fromtimestamp(at, UTC), job_id),
        Mark(mark),
        load_request(ability, request),
        load_result(ability, result),
        wish,
        sender,
        is_held,
    )


def to_persona_row(persona: Persona) -> tuple[str | None, ...]:
    """Return a persona as the columns of its row."""
    source = persona.source
    return (
        persona.provider,
        persona.id,
        _clean(persona.name),
        _clean(persona.description),
        _clean(persona.style),
        None if source is None else source.job_id,
        None if source is None else source.track_id,
    )


def _clean(text: str | None) -> str | None:
    """Leave out what databases cannot keep: no whole characters, and the null."""
    if text is None:
        return None
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def to_persona(row: Sequence[Any]) -> Persona:
    """Read a persona back."""
    provider, persona_id, name, description, style, source_job, source_track = row
    source = TrackRef(source_job, source_track) if source_job else None
    return Persona(persona_id, provider, name, description, style, source)
