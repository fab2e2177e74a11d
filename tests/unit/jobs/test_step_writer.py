"""What happened to paid submits is written, late if need be, and never out of order."""

from __future__ import annotations

import asyncio
import logging

import pytest

from personakit import JournalError
from personakit.jobs.step_writer import FIRST_PAUSE, LONGEST_PAUSE, StepWriter
from personakit.journal import Account, MemoryJournal, SubmitState
from personakit.journal.steps import Accept, Begin, Deliver, End, Start, Withdraw
from personakit.models import Persona
from personakit.receipt import Receipt
from personakit.requests import MusicRequest
from personakit.serialization import make_fingerprint

ACCOUNT = Account("evolink", "https://x.example", "a")
IDEA = MusicRequest(idea="rain")
ENDED = Persona("p", "evolink")


class Away(MemoryJournal):
    """A journal that is away, or does not answer, as long as a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away, self.hangs = False, False
        self.tries: list[float] = []

    async def apply(self, account, step):
        self.tries.append(asyncio.get_running_loop().time())
        if self.hangs:
            await asyncio.Event().wait()
        if self.is_away:
            raise JournalError("The disk is full.")
        return await super().apply(account, step)


@pytest.fixture
def journal():
    return Away()


@pytest.fixture
def writer(journal):
    return StepWriter(journal, ACCOUNT)


async def start(writer: StepWriter) -> str:
    """Write down a submit that is being sent, and return its key."""
    receipt = Receipt("evolink", IDEA.ability)
    await writer.write(Begin(receipt, None, IDEA, make_fingerprint(IDEA)))
    await writer.write(Start(receipt.key, 0))
    return receipt.key


async def find_state(journal: MemoryJournal, key: str) -> SubmitState:
    record = await journal.find(ACCOUNT, key)
    assert record is not None
    return record.state


async def test_step_is_written_at_once(writer, journal):
    """While the journal answers, its verdict comes back."""
    key = await start(writer)
    verdict = await writer.write(Accept(key, 1, "j"))

    assert verdict.is_won
    assert verdict.record.state is SubmitState.ACCEPTED


async def test_steps_are_kept_in_order_until_they_are_written(writer, journal, caplog):
    """What a journal does not take is written again, and what follows waits for it."""
    key = await start(writer)
    journal.is_away = True
    first = await writer.write(Accept(key, 1, "j"))
    await asyncio.sleep(FIRST_PAUSE / 2)
    journal.is_away = False
    then = await writer.write(End(key, ENDED))
    writer.put(Deliver(key))
    await writer.flush()
    before = await find_state(journal, key)
    await asyncio.sleep(2 * FIRST_PAUSE)
    after = await find_state(journal, key)
    verdict = await writer.write(Deliver(key))

    assert (first, then) == (None, None)
    assert before is SubmitState.SENDING
    assert after is SubmitState.DELIVERED
    assert verdict.record.receipt.job_id == "j"
    assert f"accept of {key}, job j, is not written yet: The disk is full" in (
        caplog.text
    )


async def test_other_records_do_not_wait(writer, journal):
    """A record whose steps are late holds up no other."""
    late, other = await start(writer), await start(writer)
    journal.is_away = True
    await writer.write(Accept(late, 1, "j"))
    journal.is_away = False
    verdict = await writer.write(Accept(other, 1, "k"))

    assert verdict.is_won


async def test_pauses_grow_to_a_limit(writer, journal):
    """A journal that stays away is not asked all the time, but never given up."""
    key = await start(writer)
    journal.is_away = True
    await writer.write(Accept(key, 1, "j"))
    await asyncio.sleep(600)
    pauses = [b - a for a, b in zip(journal.tries, journal.tries[1:], strict=False)]
    journal.is_away = False
    await asyncio.sleep(LONGEST_PAUSE)

    assert pauses[-1] == pytest.approx(LONGEST_PAUSE)
    assert len(pauses) < 80
    assert await find_state(journal, key) is SubmitState.ACCEPTED


async def test_cancelled_call_does_not_cancel_the_step(writer, journal):
    """A caller who leaves while the journal does not answer leaves the step behind."""
    key = await start(writer)
    journal.hangs = True
    writing = asyncio.create_task(writer.write(Accept(key, 1, "j")))
    await asyncio.sleep(1)
    journal.hangs = False
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await asyncio.sleep(1)

    assert await find_state(journal, key) is SubmitState.ACCEPTED


async def test_flush_waits_for_what_was_put(writer, journal):
    """After it a reader of the journal sees what happened before."""
    receipt = Receipt("evolink", IDEA.ability)
    await writer.write(Begin(receipt, None, IDEA, make_fingerprint(IDEA)))
    writer.put(Withdraw(receipt.key, 0))
    await writer.flush()

    assert await find_state(journal, receipt.key) is SubmitState.REFUSED
    await writer.flush()


async def test_closing_waits_for_late_steps(writer, journal, caplog):
    """A journal that comes back in time loses nothing."""
    key = await start(writer)
    journal.is_away = True
    await writer.write(Accept(key, 1, "j"))
    asyncio.get_running_loop().call_later(2, setattr, journal, "is_away", False)
    await writer.aclose(5)

    assert await find_state(journal, key) is SubmitState.ACCEPTED
    assert "never written" not in caplog.text


@pytest.mark.parametrize("hangs", [True, False])
async def test_closing_reports_what_was_never_written(writer, journal, caplog, hangs):
    """A journal that does not come back is not waited for without end."""
    key, loop = await start(writer), asyncio.get_running_loop()
    journal.is_away, journal.hangs = True, hangs
    writer.put(Accept(key, 1, "j"))
    began = loop.time()
    with caplog.at_level(logging.ERROR):
        await writer.aclose(5)

    assert loop.time() - began == pytest.approx(5, abs=0.1)
    assert f"accept of {key}, job j, was never written" in caplog.text
    assert asyncio.all_tasks() == {asyncio.current_task()}
