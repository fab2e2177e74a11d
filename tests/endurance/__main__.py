"""Run everything that counts losses; exit with 1 if anything was wrong.

    python -m tests.endurance [FACTOR]

Without a factor it takes a few minutes; 10 makes it ten times as thorough.
"""

from __future__ import annotations

import asyncio
import sys

from tests.endurance import batches, faults, fleet, kills, limits, programs


def main(factor: int) -> int:
    """Run all of it, so many times as thorough as usual."""
    print("Kills", flush=True)
    wrong = asyncio.run(kills.main(kills.REPETITIONS * factor))
    print("\nFaults", flush=True)
    wrong += faults.main(faults.REPETITIONS * factor)
    print("\nA batch", flush=True)
    wrong += asyncio.run(batches.main(batches.JOBS * factor))
    print("\nA fleet", flush=True)
    wrong += asyncio.run(fleet.main(fleet.JOBS * factor))
    print("\nOne limit for all", flush=True)
    wrong += asyncio.run(limits.main(limits.STARTS * factor))
    print("\nPrograms", flush=True)
    programs.main(programs.PROGRAMS * factor)
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
