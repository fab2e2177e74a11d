"""What tests ask of journals."""

from __future__ import annotations

from personakit import PersonaKit
from personakit.journal import Journal, Mark
from personakit.receipt import Receipt


async def open_marks(of: PersonaKit | Journal) -> tuple[tuple[Receipt, Mark], ...]:
    """Return what is not closed of a client's service, or of Evolink: oldest first."""
    journal = of._journal if isinstance(of, PersonaKit) else of
    provider = of.provider if isinstance(of, PersonaKit) else "evolink"
    return tuple(
        (entry.receipt, entry.mark) for entry in await journal.unfinished(provider)
    )
