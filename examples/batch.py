"""Many songs, each paid for once: stop it anywhere, run it again, and it goes on.

    python examples/batch.py titles.txt songs.jsonl

Needs EVOLINK_API_KEY; with EVOLINK_BASE_URL it works on the emulator.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from personakit import MusicRequest, PersonaKit


def read_requests(source: Path) -> Iterator[MusicRequest]:
    """Yield a request for each line, as there is room for it."""
    with source.open(encoding="utf-8") as lines:
        for line in lines:
            yield MusicRequest(idea=f"A song called {line.strip()}")


async def main(source: Path, out: Path) -> None:
    """Make all songs, and write down what became of each."""
    journal = source.with_suffix(".db")
    async with PersonaKit("evolink", journal=journal) as kit:
        with out.open("w", encoding="utf-8") as told:
            async for outcome in kit.batch(read_requests(source), name=source.name):
                links = [track.audio_url for track in outcome.result or ()]
                error = outcome.error and str(outcome.error)
                line = {"number": outcome.number, "links": links, "error": error}
                print(json.dumps(line), file=told, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
