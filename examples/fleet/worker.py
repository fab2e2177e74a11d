"""A worker: as many as you like, on as many machines.

DATABASE_URL=postgresql://... EVOLINK_API_KEY=... python examples/fleet/worker.py
"""

import asyncio

from tasks import app, tasks


async def main() -> None:
    """Work until told to stop; the tasks of workers that died are taken over."""
    async with app.open_async():
        await tasks.run_worker(lease=4)


if __name__ == "__main__":
    asyncio.run(main())
