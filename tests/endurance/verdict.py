"""How the counts of what must not happen are told."""

from __future__ import annotations

from collections.abc import Mapping


def tell(wrong: Mapping[str, int]) -> int:
    """Print each count, and return their sum."""
    for name, number in wrong.items():
        print(f"{name:>22} {number}  (must be 0)")
    return sum(wrong.values())
