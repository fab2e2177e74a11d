"""Second processes for tests: each has a client of its own on a shared journal."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from personakit.emulator import Emulator

ROOT = Path(__file__).parents[1]


async def until(condition: Callable[[], object]) -> None:
    """Wait until something holds in another thread or process."""
    while not condition():  # noqa: ASYNC110 - nothing there tells this loop
        await asyncio.sleep(0.01)


@attrs.frozen
class Worker:
    """A running process; see `tests.worker` for what it can do."""

    process: asyncio.subprocess.Process

    def send(self, name: str, **arguments: object) -> None:
        """Give it something to do."""
        line = json.dumps({"name": name, **arguments})
        self.process.stdin.write(f"{line}\n".encode())

    async def read(self) -> Any:
        """Return its next answer, None if it died."""
        line = await self.process.stdout.readline()
        return json.loads(line) if line else None

    async def ask(self, name: str, **arguments: object) -> Any:
        """Have something done and return the answer, None if it died of it."""
        self.send(name, **arguments)
        return await self.read()


@asynccontextmanager
async def working(
    emulator: Emulator, journal: object, **settings: object
) -> AsyncIterator[Worker]:
    """Start a process.

    Args:
        emulator: The service.
        journal: Path or URL.
        settings: ``dies``: name of a step, and ``"before"`` or ``"after"`` it;
            ``days``: by which its clock is ahead.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", "-m", "tests.worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    worker = Worker(process)
    first = {
        "api_key": emulator.api_key,
        "address": emulator.url("evolink"),
        "journal": str(journal),
        **settings,
    }
    process.stdin.write(f"{json.dumps(first)}\n".encode())
    try:
        ready = await worker.read()
        assert ready == "ready"
        yield worker
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 10)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
