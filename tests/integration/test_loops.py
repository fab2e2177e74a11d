"""One client in several event loops, and nothing left open by any."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from pathlib import Path

import aiohttp
import pytest

from personakit import MusicRequest, PersonaKit
from tests.conftest import connect

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("closes", [True, False], ids=["closed", "left to the loop"])
def test_three_runs_with_one_client(service, closes):
    """The same client serves one loop after the other and leaves nothing open."""
    kit = connect(service)

    async def sing() -> int:
        tracks = await kit.generate(idea="a rainy night")
        if closes:
            await kit.aclose()
        return len(tracks)

    results = [asyncio.run(sing()) for _ in range(3)]
    gc.collect()

    assert results == [2, 2, 2]
    assert len(service.charges) == 3


def test_two_threads_with_one_client(service):
    """Two loops at the same time do not disturb each other."""
    kit = connect(service)
    results: list[int] = []

    def work() -> None:
        async def sing() -> None:
            async with kit:
                results.append(len(await kit.generate(idea="a rainy night")))

        asyncio.run(sing())

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()

    assert results == [2, 2]


def test_job_may_be_awaited_in_a_later_loop(service):
    """A handle made in one loop is awaited in another."""
    kit = connect(service)
    job = asyncio.run(kit.submit(MusicRequest(idea="a rainy night")))
    tracks = asyncio.run(job.result())

    assert len(tracks) == 2


def test_development_mode_is_silent(service):
    """Python's development mode with all warnings as errors has nothing to say."""
    script = (
        "import asyncio\n"
        "from personakit import PersonaKit\n"
        f"kit = PersonaKit('evolink', api_key={service.api_key!r},\n"
        f"                 base_url={service.url('evolink')!r})\n"
        "for _ in range(2):\n"
        "    asyncio.run(kit.generate(idea='a rainy night'))\n"
    )
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", script]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=30, cwd=ROOT, check=False
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


async def test_borrowed_session_serves_all_and_stays_open(emulator):
    """With the caller's session the main job works, and the session is the caller's."""
    async with aiohttp.ClientSession() as session:
        async with connect(emulator, session=session) as kit:
            tracks = await kit.generate(idea="a rainy night")

        assert len(tracks) == 2
        assert not session.closed


def test_making_a_client_needs_no_loop_and_opens_nothing():
    """A client may be made at import time."""
    kit = PersonaKit("evolink", api_key="sk-canary")

    assert repr(kit) == "<PersonaKit evolink at https://api.evolink.ai>"
