"""A journal that lasts as long as the client."""

from __future__ import annotations

import attrs

from personakit.journal import Mark
from personakit.receipt import Receipt


@attrs.define
class MemoryJournal:
    """Keeps what is unfinished in memory, and forgets what is closed."""

    _entries: dict[str, tuple[Receipt, Mark]] = attrs.field(
        factory=dict[str, tuple[Receipt, Mark]], init=False
    )

    async def record(self, receipt: Receipt, mark: Mark) -> None:
        """Keep the receipt, or forget it once it is closed."""
        if mark is Mark.CLOSED:
            self._entries.pop(receipt.key, None)
        else:
            self._entries[receipt.key] = (receipt, mark)

    async def unfinished(self) -> tuple[tuple[Receipt, Mark], ...]:
        """Return what is kept, oldest first."""
        return tuple(self._entries.values())
