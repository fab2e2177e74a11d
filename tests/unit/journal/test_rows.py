"""Rows: what goes into a table comes out of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import attrs
import pytest

from personakit import JobFailed, Persona, TrackRef
from personakit.journal import Attempt, SubmitRecord, SubmitState
from personakit.journal.rows import (
    CHANGING,
    COLUMNS,
    CONTENT,
    FIXED,
    PERSONA_COLUMNS,
    to_changing,
    to_content,
    to_fixed,
    to_persona,
    to_persona_row,
    to_record,
    to_records,
    to_row,
)
from personakit.receipt import Ability, Receipt
from tests.unit.journal.stores import ME, REQUEST, TRACKS

NOW = datetime(2026, 11, 21, 12, 0, 0, 250_000, UTC)
RECORD = SubmitRecord(
    Receipt("evolink", Ability.MUSIC, at=NOW.replace(microsecond=0), job_id="j"),
    ME,
    SubmitState.DELIVERING,
    attempt=3,
    open=(Attempt(1, NOW), Attempt(3, NOW)),
    worker="me",
    caller_key="order 1",
    fingerprint="f" * 32,
    extra_of="0" * 32,
    is_shared=True,
    made_at=NOW,
    ended_at=NOW,
    request=REQUEST,
    result=TRACKS,
)


def test_record_comes_back_whole():
    """Every column has its place, and nothing of a record is lost."""
    row = to_row(RECORD)
    read = to_record(row, "me".__eq__)
    compared = ("made_at", "ended_at", "delivered_at", "request", "result", "failure")

    assert len(row) == len(COLUMNS)
    assert read == RECORD
    assert read.is_held
    assert [getattr(read, n) for n in compared] == [
        getattr(RECORD, n) for n in compared
    ]
    assert to_row(read) == row


def test_parts_of_a_row_fit_their_columns():
    """A row is what never changes, what steps change, and what is large."""
    parts = (to_fixed(RECORD), to_changing(RECORD), to_content(RECORD))

    assert [*map(len, parts)] == [len(FIXED), len(CHANGING), len(CONTENT)]
    assert sum(parts, ()) == to_row(RECORD)


def test_failure_comes_back():
    """Why a job failed is kept as text, and its text is kept as it is."""
    failed = attrs.evolve(RECORD, result=None, failure=JobFailed("No.", code="E7"))
    read = to_record(to_row(failed), lambda _: False)

    assert read.failure is not None
    assert (read.failure.code, read.result, read.is_held) == ("E7", None, False)
    assert to_content(read) == to_content(failed)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("state", "postponed"),
        ("kind", "dance"),
        ("at", 1e300),
        ("at", float("inf")),
        ("at", float("nan")),
        ("at", None),
        ("made_at", -1e300),
        ("made_at", "yesterday"),
        ("ended_at", 1e17),
        ("attempt", "many"),
        ("attempt", None),
        ("open", "[" * 100_000),
        ("open", "nonsense"),
        ("open", "{}" * 2),
        ("open", "[[1]]"),
        ("open", "[[1, 1e300]]"),
        ("open", "7"),
        ("open", f"[[{'9' * 5000}, 0]]"),
        ("open", None),
    ],
)
def test_unreadable_row_is_reported_once_and_passed_over(column, value, caplog):
    """J2: one row that cannot be read hides none of the others."""
    good = to_row(attrs.evolve(RECORD, receipt=attrs.evolve(RECORD.receipt, key="ok")))
    key = f"{column}={value!r:.30}"
    named = {**dict(zip(COLUMNS, to_row(RECORD), strict=True)), "id": key}
    bad = tuple({**named, column: value}.values())
    with pytest.raises(ValueError, match=r"\w"):
        to_record(bad, lambda _: False)
    read = [to_records([good, bad, good], lambda _: False) for _ in range(3)]

    assert [len(records) for records in read] == [2, 2, 2]
    assert len(caplog.records) == 1
    assert key[:38] in caplog.text


def test_hostile_result_is_written_in_ascii():
    """Half a character in a title breaks no store: the JSON is ASCII."""
    tracks = (attrs.evolve(TRACKS[0], title="A\0\ud800"),)
    _, text, _ = to_content(attrs.evolve(RECORD, result=tracks))

    assert isinstance(text, str)
    assert text.isascii()
    assert json.loads(text)[0]["title"] == "A\0\ud800"


def test_hostile_text_of_a_persona():
    """What no database can keep is left out of a persona; all else stays."""
    persona = Persona("p", "evolink", "A\0\ud800爵", "\udfff")
    kept = to_persona(to_persona_row(ME, persona))

    assert (kept.name, kept.description) == ("A?爵", "?")


@pytest.mark.parametrize("source", [None, TrackRef("j", "t")])
def test_persona(source):
    """A persona comes back with its source, if it has one."""
    persona = Persona("p", "evolink", "Jazz", "Warm", source=source)
    row = to_persona_row(ME, persona)

    assert len(row) == len(PERSONA_COLUMNS)
    assert to_persona(row) == persona
