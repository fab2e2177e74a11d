"""Callers who leave while the journal is being written: what is begun is taken back."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from personakit import JournalError, MusicRequest, PersonaKitError
from personakit.jobs.submit import LEASE_MARGIN
from personakit.journal import Account, MemoryJournal, SubmitState
from personakit.journal.steps import Accept, Begin, Start, Step, Verdict
from tests.conftest import connect

IDEA = MusicRequest(idea="a rainy night")


class SlowJournal(MemoryJournal):
    """Writes at once, and answers late; by then the caller may have left."""

    def __init__(self, slow: type[Step]) -> None:
        super().__init__()
        self.slow: type[Step] | None = slow

    async def apply(self, account: Account, step: Step) -> Verdict:
        verdict = await super().apply(account, step)
        if self.slow is not None and isinstance(step, self.slow):
            await asyncio.sleep(5)
        return verdict


async def find_state(journal, kit, key: str) -> SubmitState | None:
    """Return the state under a caller key."""
    account = (await kit._here()).account
    record = await journal.find_by_caller_key(account, key)
    return None if record is None else record.state


@asynccontextmanager
async def accept_in_silence() -> AsyncIterator[int]:
    """Accept connections and never say a word, so that no TLS handshake ends."""

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()

    async with await asyncio.start_server(read, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_intent_that_comes_after_the_deadline_is_withdrawn(emulator):
    """The error says that nothing was sent, and the key is free for the next caller."""
    journal = SlowJournal(Begin)
    async with connect(emulator, journal=journal) as kit:
        with pytest.raises(JournalError, match="Nothing was sent") as caught:
            await kit.submit(IDEA, key="order 1", timeout=1)
        await asyncio.sleep(10)
        state = await find_state(journal, kit, "order 1")
        journal.slow = None
        job = await kit.submit(IDEA, key="order 1", timeout=1)

    assert caught.value.retry_safe
    assert state is SubmitState.REFUSED
    assert [charge.job_id for charge in emulator.charges] == [job.id]


@pytest.mark.parametrize("slow", [Begin, Start])
async def test_cancelled_caller_sends_nothing(emulator, slow):
    """A cancellation before the first byte stops the request, and frees the key."""
    journal = SlowJournal(slow)
    async with connect(emulator, journal=journal) as kit:
        call = asyncio.create_task(kit.submit(IDEA, key="order 1"))
        await asyncio.sleep(1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.sleep(10)
        state = await find_state(journal, kit, "order 1")

    assert state is SubmitState.REFUSED
    assert emulator.count("submit") == 0


async def test_start_that_comes_after_the_deadline_sends_nothing(emulator):
    """The error says that nothing was charged, and nothing is charged afterwards."""
    journal = SlowJournal(Start)
    async with connect(emulator, journal=journal) as kit:
        with pytest.raises(PersonaKitError, match="Nothing was charged") as caught:
            await kit.submit(IDEA, key="order 1", timeout=1)
        await asyncio.sleep(10)
        state = await find_state(journal, kit, "order 1")

    assert caught.value.retry_safe
    assert state is SubmitState.REFUSED
    assert emulator.count("submit") == 0


class UnclearJournal(MemoryJournal):
    """Writes a start, but cannot say so: the connection broke after the commit."""

    async def apply(self, account: Account, step: Step) -> Verdict:
        verdict = await super().apply(account, step)
        if isinstance(step, Start):
            raise JournalError("The connection broke.")
        return verdict


async def test_start_that_may_be_written_is_taken_back(emulator):
    """Nothing was sent, so the record must not say that something may be charged."""
    journal = UnclearJournal()
    async with connect(emulator, journal=journal) as kit:
        with pytest.raises(JournalError):
            await kit.submit(IDEA, key="order 1")
        await asyncio.sleep(1)
        state = await find_state(journal, kit, "order 1")

    assert state is SubmitState.REFUSED
    assert emulator.count("submit") == 0


async def test_closing_while_connecting_sends_nothing(emulator):
    """A request that never got a connection is not charged, and not in doubt."""
    journal = MemoryJournal()
    async with accept_in_silence() as port:
        address = f"https://127.0.0.1:{port}"
        kit = connect(emulator, base_url=address, journal=journal)
        call = asyncio.create_task(kit.submit(IDEA, key="order 1"))
        await asyncio.sleep(1)
        await kit.aclose()
        with pytest.raises(PersonaKitError, match="Nothing was charged"):
            await call
        state = await find_state(journal, kit, "order 1")
        await kit.aclose()

    assert state is SubmitState.REFUSED


class LateJournal(MemoryJournal):
    """Takes its time before it writes a job id."""

    async def apply(self, account: Account, step: Step) -> Verdict:
        if isinstance(step, Accept):
            await asyncio.sleep(5)
        return await super().apply(account, step)


async def test_job_id_is_durable_before_it_is_returned(emulator):
    """A caller who has a job may die at once: the journal has the job as well."""
    journal = LateJournal()
    async with connect(emulator, journal=journal) as kit:
        await kit.submit(IDEA, key="order 1")
        state = await find_state(journal, kit, "order 1")

    assert state is SubmitState.ACCEPTED


async def test_process_without_a_lease_sends_nothing(emulator):
    """Others may take a process whose lease is over for dead, so it must not pay."""
    journal = MemoryJournal()
    journal.lease_end = time.monotonic() + LEASE_MARGIN - 0.01
    async with connect(emulator, journal=journal) as kit:
        with pytest.raises(PersonaKitError, match="Nothing was charged"):
            await kit.submit(IDEA, key="order 1", timeout=3)
        journal.lease_end = math.inf
        await kit.submit(IDEA, key="order 1", timeout=3)

    assert emulator.count("submit") == 1
