"""Submits whose answer is lost: asked for again by their key where that is safe."""

from __future__ import annotations

import asyncio

import pytest

from personakit import JournalError, MusicRequest, OutcomeUnknown, RateLimited
from personakit.emulator import Emulator, Fault
from personakit.journal import Entry, Mark, MemoryJournal
from personakit.limits import Limit, Limits
from personakit.providers.evolink import Evolink
from personakit.receipt import Receipt
from tests.conftest import connect
from tests.journals import open_marks

IDEA = MusicRequest(idea="a rainy night")


@pytest.fixture
async def keyed():
    """Run an emulator that heeds keys."""
    async with Emulator(replay_keys=True) as running:
        yield running


def dialect(**changes) -> Evolink:
    return Evolink(replay_keys=True, **changes)


@pytest.mark.parametrize("processed", [True, False])
async def test_lost_answer_is_asked_for_by_its_key(keyed, processed):
    """Whether the first request arrived or not, there is one job and one charge."""
    keyed.inject(Fault.drop(processed=processed), on="submit")
    async with connect(keyed, dialect()) as kit:
        job = await kit.submit(IDEA)
        tracks = await job

    assert keyed.count("submit") == 2
    assert [charge.job_id for charge in keyed.charges] == [job.id]
    assert len(tracks) == 2
    keys = {dict(e.headers).get("Idempotency-Key") for e in keyed.exchanges[:2]}
    assert keys == {job.receipt.key}


async def test_refusal_after_a_lost_answer_proves_nothing(keyed):
    """What later attempts are told does not undo that the first may be paid."""
    keyed.inject(Fault.drop(), on="submit")
    keyed.inject(Fault.status(429), on="submit", times=99)
    async with connect(keyed, dialect()) as kit:
        with pytest.raises(OutcomeUnknown, match="earlier attempt is lost") as caught:
            await kit.submit(IDEA, timeout=60)
        marks = await open_marks(kit)

    assert caught.value.charged == "unknown"
    assert not caught.value.retry_safe
    assert marks == ((caught.value.receipt, Mark.UNKNOWN),)
    assert keyed.count("submit") > 2


async def test_no_room_after_a_lost_answer_proves_nothing(keyed):
    """Where the account's limit leaves no room to ask again, the outcome is unknown."""
    keyed.inject(Fault.drop(), on="submit")
    limits = Limits(starts=Limit(1, 500))
    async with connect(keyed, dialect(), limits=limits) as kit:
        with pytest.raises(OutcomeUnknown, match="no room before") as caught:
            await kit.submit(IDEA, timeout=60)

        assert await open_marks(kit) == ((caught.value.receipt, Mark.UNKNOWN),)
    assert keyed.count("submit") == len(keyed.charges) == 1


async def test_forgotten_key_is_not_used(keyed):
    """Once the service may have forgotten the key, nothing is sent again."""
    keyed.inject(Fault.drop(), on="submit")
    async with connect(keyed, dialect(key_life=0)) as kit:
        with pytest.raises(OutcomeUnknown):
            await kit.submit(IDEA)

    assert keyed.count("submit") == len(keyed.charges) == 1


async def test_keys_are_off_by_default(keyed):
    """No page of Evolink tells of keys, so that none is sent unless asked for."""
    keyed.inject(Fault.drop(), on="submit")
    async with connect(keyed) as kit:
        with pytest.raises(OutcomeUnknown):
            await kit.submit(IDEA)

    assert keyed.count("submit") == 1
    assert "Idempotency-Key" not in dict(keyed.exchanges[0].headers)


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
