"""Paid requests, and what the journal says of them when something goes wrong."""

from __future__ import annotations

import asyncio
import math

import attrs
import pytest

from personakit import (
    JournalError,
    MusicRequest,
    OutcomeUnknown,
    PersonaKit,
    PersonaKitError,
    RateLimited,
    ServiceUnavailable,
)
from personakit.emulator import Fault
from personakit.http.messages import Call
from personakit.jobs.engine import VERDICT_TIME
from personakit.journal import Account, MemoryJournal, SubmitState
from personakit.journal.steps import (
    Accept,
    Begin,
    End,
    Lose,
    NotSent,
    Start,
    Step,
    Verdict,
)
from personakit.providers.evolink import Evolink
from tests.conftest import connect
from tests.journals import open_states
from tests.servers import raw_server

IDEA = MusicRequest(idea="a rainy night")


@pytest.mark.parametrize("processed", [True, False])
async def test_lost_answer_is_an_unknown_outcome_at_once(emulator, processed):
    """Whether the request arrived or not, it is sent once."""
    emulator.inject(Fault.drop(processed=processed), on="submit")
    async with connect(emulator) as kit:
        with pytest.raises(OutcomeUnknown) as caught:
            await kit.submit(IDEA)
        marks = await open_states(kit)

    assert caught.value.charged == "unknown"
    assert not caught.value.retry_safe
    assert marks == ((caught.value.receipt, SubmitState.UNKNOWN),)
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
        [(receipt, _)] = await open_states(kit)
        job_id = emulator.charges[0].job_id
        account = (await kit._here()).account
        await journal.apply(account, Accept(receipt.key, 1, job_id))
        job = await call

        assert job.id == job_id
        assert len(await job) == 2
    assert emulator.count("submit") == 1


class Failing(MemoryJournal):
    """A journal that fails at one kind of step for a while."""

    def __init__(self, step: type[Step], times: float = math.inf) -> None:
        super().__init__()
        self.step, self.times = step, times

    async def apply(self, account: Account, step: Step) -> Verdict:
        if isinstance(step, self.step) and self.times > 0:
            self.times -= 1
            raise JournalError("No space left on device.")
        return await super().apply(account, step)


@pytest.mark.parametrize("step", [Begin, Start])
async def test_without_a_durable_intent_nothing_is_sent(emulator, step):
    """A journal that fails before the request stops it."""
    async with connect(emulator, journal=Failing(step)) as kit:
        with pytest.raises(JournalError) as caught:
            await kit.submit(IDEA)

        assert await open_states(kit) == ()
    assert caught.value.charged == "no"
    assert emulator.exchanges == ()


async def test_job_that_cannot_be_written_down_is_still_given(emulator, caplog):
    """It was paid for, so the caller gets it; the log says what is missing."""
    async with connect(emulator, journal=Failing(Accept)) as kit:
        job = await kit.submit(IDEA)
        tracks = await job

    assert len(tracks) == 2
    assert f"accept of {job.receipt.key}, job {job.id}, is not written" in caplog.text
    assert f"accept of {job.receipt.key}, job {job.id}, was never written" in (
        caplog.text
    )


async def test_job_that_is_written_down_late_is_found(emulator, caplog):
    """A job id that a journal could not take at once is written as soon as it can."""
    journal = Failing(Accept, times=5)
    async with connect(emulator, journal=journal) as kit:
        job = await kit.submit(IDEA, key="k")
        before = await journal.unsettled(None)
        await asyncio.sleep(15)
        after = await journal.unsettled(None)
        again = await kit.submit(IDEA, key="k")

    assert [record.receipt.job_id for record in before] == [None]
    assert [record.receipt.job_id for record in after] == [job.id]
    assert again.id == job.id
    assert len(emulator.charges) == 1
    assert "was never written" not in caplog.text


async def test_end_that_cannot_be_written_down_is_still_told(emulator, caplog):
    """The result matters more than its line in the journal."""
    async with connect(emulator, journal=Failing(End)) as kit:
        tracks = await kit.generate(idea="rain")
        [(receipt, state)] = await open_states(kit)

    assert len(tracks) == 2
    assert state is SubmitState.ACCEPTED
    assert f"end of {receipt.key} is not written" in caplog.text


async def test_outcome_that_cannot_be_written_down_is_still_told(emulator, caplog):
    """The error says all that matters, and after a crash ``sending`` says the same."""
    emulator.inject(Fault.drop(), on="submit")
    async with connect(emulator, journal=Failing(Lose)) as kit:
        with pytest.raises(OutcomeUnknown):
            await kit.submit(IDEA)
        [(receipt, state)] = await open_states(kit)

    assert state is SubmitState.SENDING
    assert f"lose of {receipt.key} is not written" in caplog.text


async def test_pause_between_attempts_is_an_intent(emulator):
    """While a refused submit waits for its next attempt, nothing is under way."""
    emulator.inject(Fault.status(429, retry_after=60), on="submit")
    async with connect(emulator) as kit:
        call = asyncio.create_task(kit.submit(IDEA))
        await asyncio.sleep(30)
        [(_, state)] = await open_states(kit)
        await call

    assert state is SubmitState.INTENT


async def test_given_up_submit_is_settled(emulator):
    """When the deadline comes between refusals, nothing is left to look for."""
    emulator.inject(Fault.status(429), on="submit", times=99)
    async with connect(emulator) as kit:
        with pytest.raises(RateLimited):
            await kit.submit(IDEA, timeout=30)

        assert await open_states(kit) == ()
        assert await kit.pending() == ()


async def test_result_does_not_need_the_journal(emulator):
    """A token is followed to its end even where the journal cannot be read."""

    class Unreadable(MemoryJournal):
        async def find(self, account, key):
            raise JournalError("The disk is gone.")

    async with connect(emulator, journal=Unreadable()) as kit:
        job = await kit.submit(IDEA)
        tracks = await kit.attach(job.token)

    assert len(tracks) == 2


class Slow(MemoryJournal):
    """A journal that takes a while for one kind of step."""

    def __init__(self, step: type[Step], seconds: float) -> None:
        super().__init__()
        self.step, self.seconds = step, seconds

    async def apply(self, account: Account, step: Step) -> Verdict:
        if isinstance(step, self.step):
            await asyncio.sleep(self.seconds)
        return await super().apply(account, step)


async def test_intent_that_is_late_is_withdrawn(emulator):
    """A journal that does not answer in time stops the submit, and nothing is left."""
    async with connect(emulator, journal=Slow(Begin, 10)) as kit:
        with pytest.raises(JournalError, match="before the deadline") as caught:
            await kit.submit(IDEA, timeout=3)
        took = asyncio.get_running_loop().time()
        await asyncio.sleep(20)

        assert await open_states(kit) == ()
        assert await kit.pending() == ()
    assert (caught.value.charged, caught.value.retry_safe) == ("no", True)
    assert took == pytest.approx(3, abs=0.01)
    assert emulator.exchanges == ()


async def test_late_answer_about_a_key_takes_nothing_back(emulator):
    """A call that did not wait for the journal leaves the job of its key alone."""
    journal = Slow(Begin, 0)
    async with connect(emulator, journal=journal) as kit:
        job = await kit.submit(IDEA, key="k")
        journal.seconds = 10
        with pytest.raises(JournalError):
            await kit.submit(IDEA, key="k", timeout=3)
        await asyncio.sleep(20)

        assert await open_states(kit) == ((job.receipt, SubmitState.ACCEPTED),)


async def test_start_that_is_late_sends_nothing(emulator):
    """Where the journal takes the start too late, the request is not sent at all."""
    async with connect(emulator, journal=Slow(Start, 10)) as kit:
        with pytest.raises(ServiceUnavailable, match="deadline passed") as caught:
            await kit.submit(IDEA, timeout=3)
        took = asyncio.get_running_loop().time()
        await asyncio.sleep(20)

        assert await open_states(kit) == ()
    assert caught.value.charged == "no"
    assert took <= 3.1
    assert emulator.exchanges == ()


async def test_closing_before_the_request_is_sent_says_so(emulator):
    """A client that is closed while the journal hangs has sent nothing."""
    kit = connect(emulator, journal=Slow(Start, 1000))
    call = asyncio.create_task(kit.submit(IDEA))
    await asyncio.sleep(1)
    await kit.aclose()
    with pytest.raises(PersonaKitError, match="closed before this was sent") as caught:
        await call

    assert caught.value.charged == "no"
    assert caught.value.receipt is not None
    assert emulator.exchanges == ()


async def test_job_is_given_at_the_deadline_though_the_journal_hangs(emulator):
    """A job that was accepted is returned in time; its id is written when it can be."""
    async with connect(emulator, journal=Slow(Accept, 10)) as kit:
        job = await kit.submit(IDEA, timeout=3)
        took = asyncio.get_running_loop().time()
        await asyncio.sleep(20)

        assert await open_states(kit) == ((job.receipt, SubmitState.ACCEPTED),)
    assert took <= 3.1


async def test_refusal_that_cannot_be_written_down_is_not_repeated(emulator):
    """Without a durable record of a further attempt there is none."""
    emulator.inject(Fault.status(429), on="submit", times=2)
    async with connect(emulator, journal=Failing(NotSent, times=1)) as kit:
        with pytest.raises(RateLimited) as caught:
            await kit.submit(IDEA)
        await asyncio.sleep(5)

        assert await open_states(kit) == ()
    assert (caught.value.charged, caught.value.retry_safe) == ("no", False)
    assert emulator.count("submit") == 1


async def test_refusal_after_the_caller_left_ends_it(kit, emulator):
    """A refused request whose caller is gone is not sent once more."""
    late = attrs.evolve(Fault.status(429), deliver=Fault.slow(3).deliver)
    emulator.inject(late, on="submit")
    call = asyncio.create_task(kit.submit(IDEA))
    await asyncio.sleep(1)
    call.cancel()
    await asyncio.sleep(60)

    assert await open_states(kit) == ()
    assert emulator.count("submit") == 1


async def test_result_comes_at_the_deadline_though_the_journal_hangs(emulator):
    """An end that cannot be written in time does not hold up the result."""
    loop = asyncio.get_running_loop()
    async with connect(emulator, journal=Slow(End, 300)) as kit:
        job = await kit.submit(IDEA)
        tracks = await job.result(timeout=100)
        took = loop.time()

    assert len(tracks) == 2
    assert took <= 100.1


@pytest.mark.parametrize("has_deadline", [True, False])
async def test_paid_request_outlives_its_caller(emulator, has_deadline):
    """Neither a deadline nor a cancellation ends a request under way; its job comes."""
    emulator.inject(Fault.slow(10), on="submit")
    async with connect(emulator) as kit:
        call = asyncio.create_task(kit.submit(IDEA, timeout=3 if has_deadline else 99))
        if not has_deadline:
            await asyncio.sleep(3)
            call.cancel()
        [outcome] = await asyncio.gather(call, return_exceptions=True)
        left_at = asyncio.get_running_loop().time()
        [(receipt, state)] = await open_states(kit)
        await asyncio.sleep(10)
        [job] = [job async for job in kit.resume()]

    assert state is SubmitState.SENDING
    assert job.id == emulator.charges[0].job_id
    assert emulator.count("submit") == 1
    if has_deadline:
        assert isinstance(outcome, OutcomeUnknown)
        assert "deadline came while a paid" in str(outcome)
        assert outcome.receipt.key == receipt.key == job.receipt.key
        assert left_at == pytest.approx(3 + VERDICT_TIME, abs=0.01)
    else:
        assert isinstance(outcome, asyncio.CancelledError)


async def test_client_that_is_closed_while_it_connects_paid_nothing():
    """Before the first byte a close is no unknown outcome, and leaves nothing open."""
    journal = MemoryJournal()

    async def be_silent(source: asyncio.StreamReader, _: object) -> None:
        await source.read()

    async with raw_server(handler=be_silent) as heard:
        url = heard.url.replace("http:", "https:")
        async with PersonaKit(
            "evolink", api_key="k", base_url=url, journal=journal
        ) as kit:
            calling = asyncio.create_task(kit.submit(IDEA))
            while not heard.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        [error] = await asyncio.gather(calling, return_exceptions=True)

    assert isinstance(error, PersonaKitError)
    assert error.charged == "no"
    assert await open_states(journal) == ()
