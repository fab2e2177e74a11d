"""Rows: what goes into a table comes out of it."""

from __future__ import annotations

import pytest

from personakit import MusicRequest, Persona, TrackRef
from personakit.journal import Entry, Mark
from personakit.journal.rows import (
    COLUMNS,
    to_entry,
    to_persona,
    to_persona_row,
    to_row,
)
from personakit.receipt import Ability, Receipt


def test_entry():
    """Every column has its place, and an entry comes back whole."""
    receipt = Receipt("evolink", Ability.MUSIC, job_id="j")
    entry = Entry(receipt, Mark.ACCEPTED, MusicRequest(idea="a"), None, "order 1", "me")
    row = to_row(entry)
    held = to_entry(row, is_held=True)

    assert len(row) == len(COLUMNS.split(","))
    assert held == entry
    assert (held.wish, held.sender, held.is_held) == ("order 1", "me", True)


def test_hostile_text():
    """What no database can keep is left out; all else stays."""
    persona = Persona("p", "evolink", "A\0\ud800爵", "\udfff")
    kept = to_persona(to_persona_row(persona))
    request = MusicRequest(idea="A\0爵")
    row = to_row(Entry(Receipt("evolink", Ability.MUSIC), Mark.INTENT, request))

    assert (kept.name, kept.description) == ("A?爵", "?")
    assert all(isinstance(x, int | None) or x.isascii() for x in row)
    assert to_entry(row).request == request


@pytest.mark.parametrize("source", [None, TrackRef("j", "t")])
def test_persona(source):
    """A persona comes back with its source, if it has one."""
    persona = Persona("p", "evolink", "Jazz", "Warm", source=source)

    assert to_persona(to_persona_row(persona)) == persona
