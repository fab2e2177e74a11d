"""The journal in memory forgets old ends, and never what is open."""

from __future__ import annotations

from personakit import MusicRequest
from personakit.journal import Entry, Mark, MemoryJournal, memory
from personakit.receipt import Ability, Receipt


async def test_old_ends_are_dropped(monkeypatch):
    """Of what is closed only the latest is kept, without what was asked for."""
    monkeypatch.setattr(memory, "KEPT", 2)
    journal = MemoryJournal()
    receipts = [Receipt("evolink", Ability.MUSIC) for _ in range(4)]
    for receipt in receipts:
        await journal.record(Entry(receipt, Mark.INTENT, MusicRequest(idea="rain")))
    for receipt in receipts[:3]:
        await journal.record(Entry(receipt, Mark.CLOSED))
    found = [await journal.find(receipt.key) for receipt in receipts]

    assert found[0] is None
    assert found[1:3] == [Entry(receipt, Mark.CLOSED) for receipt in receipts[1:3]]
    assert found[3] is not None
    assert found[3].request == MusicRequest(idea="rain")
