"""See it happen: two workers on the emulator, one of them killed while it works.

    DATABASE_URL=postgresql://... python examples/fleet/main.py

No song is lost, and none is paid twice.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from personakit.emulator import Emulator

HERE = Path(__file__).parent
SONGS = 20


async def start(script: str, *words: str) -> Process:
    """Run one of the scripts beside this one."""
    path = str(HERE / script)
    return await asyncio.create_subprocess_exec(
        sys.executable, path, *words, stdout=PIPE
    )


async def listen(worker: Process, done: dict[str, str]) -> None:
    """Take note of what a worker delivers."""
    async for line in worker.stdout or ():
        order, _, what = line.decode().split(maxsplit=2)
        print(f"worker {worker.pid} delivers {order}")
        done[order] = what.strip()


async def main() -> None:
    """Order songs, kill a worker, and count what comes of it."""
    async with Emulator(speed=15, credits=10_000) as emulator:
        os.environ["EVOLINK_BASE_URL"] = emulator.url("evolink")
        os.environ["EVOLINK_API_KEY"] = emulator.api_key
        await (await start("order.py", str(SONGS))).wait()
        done: dict[str, str] = {}
        workers = [await start("worker.py") for _ in range(2)]
        listening = [asyncio.create_task(listen(worker, done)) for worker in workers]
        while len(emulator.charges) < SONGS:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)  # all songs are being made
        workers[0].send_signal(signal.SIGKILL)
        print(f"worker {workers[0].pid} is killed")
        while len(done) < SONGS:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        workers[1].terminate()
        await asyncio.gather(*listening, *(worker.wait() for worker in workers))
        made = sum(what.startswith("http") for what in done.values())
        print(f"{SONGS} orders, {len(emulator.charges)} paid, {made} songs")


if __name__ == "__main__":
    asyncio.run(main())
