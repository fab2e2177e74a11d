"""Run everything that counts losses; exit with 1 if anything was wrong.

    python -m tests.endurance [FACTOR]

Without a factor it takes a few minutes; 10 makes it ten times as thorough, with more
than 4,000 kills. `tests.endurance.mutants` and `tests.endurance.rules` run alone.
"""

from __future__ import annotations

import asyncio
import sys

from tests.endurance import batches, crashes, faults, fleet, kills, limits, programs


async def run_in_real_time(factor: int) -> int:
    """Run what mostly waits for clocks, sockets and disks, some of it at once."""
    wrong = sum(
        await asyncio.gather(
            crashes.main(factor, ["sqlite"]),
            crashes.main(factor, ["postgres"]),
            limits.main(limits.STARTS * factor),
        )
    )
    wrong += sum(
        await asyncio.gather(
            kills.main(kills.REPETITIONS * factor),
            batches.main(batches.JOBS * factor),
        )
    )
    return wrong + await fleet.main(fleet.JOBS * factor)


def main(factor: int) -> int:
    """Run all of it, so many times as thorough as usual."""
    wrong = asyncio.run(run_in_real_time(factor))
    wrong += faults.main(faults.REPETITIONS * factor)
    programs.main(programs.PROGRAMS * factor)
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
