"""What most tests need: an emulator, and a client that speaks to it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from personakit import PersonaKit, TrackRef
from personakit.emulator import Emulator
from personakit.providers.base import Provider
from tests.postgres import MISSING, Server, find_programs, serve


def pytest_configure(config: pytest.Config):
    """Say that there is no event loop yet, and what cannot be tested here.

    looptime asks for the current one before each test, and Python 3.11 would make one
    for the first synchronous test that nobody closes.
    """
    asyncio.set_event_loop(None)
    if find_programs() is None and "CI" not in os.environ:
        config.option.cov_fail_under = 0  # what is skipped covers nothing


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Run a PostgreSQL server; only a developer's machine may lack one."""
    if find_programs() is None and "CI" not in os.environ:
        pytest.skip(MISSING)
    with serve() as server:
        yield server


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """Run the emulated service in real service time, which virtual time skips."""
    async with Emulator() as running:
        yield running


@pytest.fixture
async def kit(emulator: Emulator) -> AsyncIterator[PersonaKit]:
    """Open a client of the emulated service."""
    async with connect(emulator) as client:
        yield client


def connect(
    emulator: Emulator, provider: str | Provider = "evolink", **options: object
) -> PersonaKit:
    """Make a client of the emulated service."""
    address = emulator.url("evolink")
    options = {"api_key": emulator.api_key, "base_url": address, **options}
    return PersonaKit(provider, **options)


@contextmanager
def in_thread(emulator: Emulator) -> Iterator[Emulator]:
    """Run an emulator in a thread and a real-time loop of its own."""
    started, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        async with emulator:
            started.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    started.wait(timeout=5)
    try:
        yield emulator
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def service() -> Iterator[Emulator]:
    """Run a very fast emulator beside the test."""
    with in_thread(Emulator(speed=200)) as emulator:
        yield emulator


@pytest.fixture
def source(emulator: Emulator) -> TrackRef:
    """Put the source song of the persona specification's examples into the service."""
    song = emulator.seed_song(
        job_id="task-unified-1774169216-ocqaqde7",
        track_id="4fcc4507-a7ae-4441-ad8a-465c2f61d5bb",
    )
    return TrackRef(song.job_id, song.track_id)
