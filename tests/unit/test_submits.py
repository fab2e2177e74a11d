"""Paid requests, and what the journal says of them when something goes wrong."""

from __future__ import annotations

import asyncio

import pytest

from personakit import JournalError, MusicRequest, OutcomeUnknown, RateLimited
from personakit.emulator import Fault
from personakit.journal import Entry, Mark, MemoryJournal
from personakit.providers.evolink import Evolink
from personakit.receipt import Receipt
from personakit.wire import Call
from tests.conftest import connect
from tests.journals import open_marks

IDEA = MusicRequest(idea="a rainy night")


@pytest.mark.parametrize("processed", [True, False])
async def test_lost_answer_is_an_unknown_outcome_at_once(emulator, processed):
    """Whether the request arrived or not, it is sent once."""
    emulator.inject(Fault.drop(processed=processed), on="submit")
    async with connect(emulator) as kit:
        with pytest.raises(OutcomeUnknown) as caught:
            await kit.submit(IDEA)
        marks = await open_marks(kit)

    assert caught.value.charged == "unknown"
    assert not caught.value.retry_safe
    assert marks == ((caught.value.receipt, Mark.UNKNOWN),)
    assert emulator.count("submit") == 1


class Careless(Evolink):
    """A dialect that calls an unknown outcome safe to repeat."""

    def build_submit(self, request, *, callback_url=None):
        def parse(_):
            raise OutcomeUnknown("Who knows.", retry_safe=True)

        return Call(super().build_submit(request).request, parse)


async def test_unknown_outcome_is_never_repeated(emulator):
    """Even where a dialect says so, what may be paid is not sent again."""
    async with connect(emulator, Careless()) as kit:
        with pytest.raises(OutcomeUnknown) as caught:
            await kit.submit(IDEA)

    assert not caught.value.retry_safe
    assert emulator.count("submit") == len(emulator.charges) == 1


async def test_report_that_comes_before_the_answer_is_lost(emulator):
    """When a callback has told the job already, a lost answer is no loss."""
    emulator.inject(Fault.hang(), on="submit")
    journal = MemoryJournal()
    async with connect(emulator, journal=journal) as kit:
        call = asyncio.create_task(kit.submit(IDEA))
        await asyncio.sleep(1)
        [(receipt, _)] = await open_marks(kit)
        job_id = emulator.charges[0].job_id
        told = Receipt("evolink", receipt.kind, receipt.key, receipt.at, job_id)
        await journal.record(Entry(told, Mark.ACCEPTED))
        job = await call

        assert job.id == job_id
        assert len(await job) == 2
    assert emulator.count("submit") == 1


class Failing(MemoryJournal):
    """A journal that fails at one mark."""

    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self.mark = mark

    async def record(self, entry: Entry) -> Entry:
        if entry.mark is self.mark:
            raise JournalError("No space left on device.")
        return await super().record(entry)


@pytest.mark.parametrize("mark", [Mark.INTENT, Mark.SENDING])
async def test_without_a_durable_intent_nothing_is_sent(emulator, mark):
    """A journal that fails before the request stops it."""
    async with connect(emulator, journal=Failing(mark)) as kit:
        with pytest.raises(JournalError):
            await kit.submit(IDEA)

        assert await open_marks(kit) == ()
    assert emulator.exchanges == ()


async def test_job_that_cannot_be_written_down_is_still_given(emulator, caplog):
    """It was paid for, so the caller gets it; the log says what is missing."""
    async with connect(emulator, journal=Failing(Mark.ACCEPTED)) as kit:
        job = await kit.submit(IDEA)
        tracks = await job

    assert len(tracks) == 2
    assert "is not written down" in caplog.text


async def test_end_that_cannot_be_written_down_is_still_told(emulator, caplog):
    """The result matters more than its line in the journal."""
    async with connect(emulator, journal=Failing(Mark.CLOSED)) as kit:
        tracks = await kit.generate(idea="rain")
        [(receipt, mark)] = await open_marks(kit)

    assert len(tracks) == 2
    assert mark is Mark.ACCEPTED
    assert f"end of job {receipt.job_id} is not written down" in caplog.text


async def test_outcome_that_cannot_be_written_down_is_still_told(emulator, caplog):
    """The error says all that matters, and after a crash ``sending`` says the same."""
    emulator.inject(Fault.drop(), on="submit")
    async with connect(emulator, journal=Failing(Mark.UNKNOWN)) as kit:
        with pytest.raises(OutcomeUnknown):
            await kit.submit(IDEA)
        [(_, mark)] = await open_marks(kit)

    assert mark is Mark.SENDING
    assert "not written down as unknown" in caplog.text


async def test_pause_between_attempts_is_an_intent(emulator):
    """While a refused submit waits for its next attempt, nothing is under way."""
    emulator.inject(Fault.status(429, retry_after=60), on="submit")
    async with connect(emulator) as kit:
        call = asyncio.create_task(kit.submit(IDEA))
        await asyncio.sleep(30)
        [(_, mark)] = await open_marks(kit)
        await call

    assert mark is Mark.INTENT


async def test_given_up_submit_is_closed(emulator):
    """When the deadline comes between refusals, nothing is left to look for."""
    emulator.inject(Fault.status(429), on="submit", times=99)
    async with connect(emulator) as kit:
        with pytest.raises(RateLimited):
            await kit.submit(IDEA, timeout=30)

        assert await open_marks(kit) == ()
        assert await kit.pending() == ()


async def test_result_does_not_need_the_journal(emulator):
    """A token is followed to its end even where the journal cannot be read."""

    class Unreadable(MemoryJournal):
        async def find(self, key: str) -> Entry | None:
            raise JournalError("The disk is gone.")

    async with connect(emulator, journal=Unreadable()) as kit:
        job = await kit.submit(IDEA)
        tracks = await kit.attach(job.token)

    assert len(tracks) == 2
