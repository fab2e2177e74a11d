"""The journal in memory forgets what is closed."""

from __future__ import annotations

from personakit.journal import Mark
from personakit.journal.memory import MemoryJournal
from personakit.receipt import Ability, Receipt


async def test_closed_receipts_take_no_memory():
    """A closed receipt is forgotten, even one that was never written before."""
    journal = MemoryJournal()
    receipt = Receipt("evolink", Ability.MUSIC)
    await journal.record(receipt, Mark.SENDING)
    await journal.record(receipt, Mark.CLOSED)
    await journal.record(Receipt("evolink", Ability.MUSIC), Mark.CLOSED)

    assert journal == MemoryJournal()
