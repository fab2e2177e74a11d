"""Order songs, from anywhere that reaches the database.

    DATABASE_URL=postgresql://... python examples/fleet/order.py 20

Ordered again under the same number, a song is not paid again.
"""

import asyncio
import sys

from tasks import app, tasks

from personakit import MusicRequest


async def main(count: int) -> None:
    """Make the tables of the queue where they are missing, and defer the songs."""
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        for number in range(count):
            song = MusicRequest(idea=f"Song {number} of a long night")
            await tasks.submit(song, key=f"order-{number}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
