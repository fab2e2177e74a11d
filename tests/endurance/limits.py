"""Four processes that share an account which allows 20 starts in 10 s.

python -m tests.endurance.limits [STARTS]
"""

from __future__ import annotations

import asyncio
import sys
import time

from personakit import MusicRequest, PersonaKit
from personakit.emulator import Emulator
from tests.endurance.verdict import tell
from tests.postgres import serve

STARTS = 60
PROCESSES = 4
ALLOWED = (20, 10.0)
SONG = MusicRequest(lyrics="[Verse]\nLa", style="pop", title="Song")


async def start(url: str, place: str, count: int) -> None:
    """Start so many jobs, as fast as the account allows."""
    async with PersonaKit(
        "sunoapi", api_key="emulator-key", base_url=url, journal=place
    ) as kit:
        await asyncio.gather(*(kit.submit(SONG) for _ in range(count)))


async def main(count: int) -> int:
    """Let all start at once, and return how often the service had to refuse."""
    began = time.perf_counter()
    with serve() as server:
        place = server.make_place()
        async with Emulator(credits=1e9, starts_limit=ALLOWED) as emulator:
            processes = [
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.endurance.limits", "--start"),
                    *(emulator.url("sunoapi"), place, str(count // PROCESSES)),
                )
                for _ in range(PROCESSES)
            ]
            codes = [await process.wait() for process in processes]
            refused, started = emulator.refused("submit"), len(emulator.charges)
    took = time.perf_counter() - began
    print(f"\nOne limit for all: {started} starts by {PROCESSES} processes ", end="")
    print(f"in {took:.0f} s, {ALLOWED[0]} in {ALLOWED[1]:g} s allowed")
    wrong = {
        "refused": refused,
        "not started": count - started,
        "failed processes": sum(code != 0 for code in codes),
    }
    return tell(wrong)


if __name__ == "__main__":
    if "--start" in sys.argv:
        address, schema, number_ = sys.argv[2:]
        asyncio.run(start(address, schema, int(number_)))
    else:
        given = int(sys.argv[1]) if len(sys.argv) > 1 else STARTS
        sys.exit(min(asyncio.run(main(given)), 1))
