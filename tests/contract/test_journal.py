"""What every journal must do, whatever it keeps its entries in."""

from __future__ import annotations

import attrs
import pytest

from personakit.journal import Journal, Mark
from personakit.journal.memory import MemoryJournal
from personakit.receipt import Ability, Receipt


@pytest.fixture(params=[MemoryJournal])
def journal(request: pytest.FixtureRequest) -> Journal:
    """Make an empty journal of each kind."""
    return request.param()


async def test_empty_journal_has_nothing_unfinished(journal: Journal):
    """A new journal is empty."""
    assert await journal.unfinished() == ()


async def test_unfinished_receipts_come_oldest_first(journal: Journal):
    """What is not closed is returned with its last mark, in the order of writing."""
    first, second = (Receipt("evolink", Ability.MUSIC) for _ in range(2))
    accepted = attrs.evolve(first, job_id="task-unified-1")
    await journal.record(first, Mark.SENDING)
    await journal.record(second, Mark.UNKNOWN)
    await journal.record(accepted, Mark.ACCEPTED)

    assert await journal.unfinished() == (
        (accepted, Mark.ACCEPTED),
        (second, Mark.UNKNOWN),
    )


async def test_closed_receipts_are_not_unfinished(journal: Journal):
    """What is closed is found no more."""
    receipt = Receipt("evolink", Ability.PERSONA)
    await journal.record(receipt, Mark.ACCEPTED)
    await journal.record(receipt, Mark.CLOSED)

    assert await journal.unfinished() == ()
