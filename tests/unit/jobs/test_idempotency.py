"""Submits under a key of the caller's: paid once, whoever comes again."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from personakit import (
    InsufficientCredits,
    InvalidRequest,
    MusicRequest,
    OutcomeUnknown,
    PersonaKitError,
    PersonaRequest,
    WaitTimeout,
)
from personakit.emulator import Fault
from personakit.journal import Account, MemoryJournal, SubmitState
from personakit.journal.steps import Accept, Start, Step, Verdict
from personakit.ratelimit.limits import Limit, Limits
from tests.conftest import connect
from tests.contract.worlds import connect as connect_to
from tests.contract.worlds import seed
from tests.journals import put, restart

SONG = MusicRequest(idea="a rainy night")
TOLD = MusicRequest(lyrics="[Verse]\nBlue", style="jazz", title="Blue hour")
"""The service tells the texts of this one, but only when it has ended."""


@pytest.fixture
def journal():
    return MemoryJournal()


async def test_second_submit_takes_up_the_first(emulator, journal):
    """In this process or a later one, the same key leads to the same job."""
    async with connect(emulator, journal=journal) as kit:
        first = await kit.submit(SONG, key="order 1")
        again = await kit.submit(SONG, key="order 1")
        other = await kit.submit(SONG, key="order 2")
    async with connect(emulator, journal=journal) as later:
        tracks = await (await later.submit(SONG, key="order 1"))

    assert first.id == again.id == tracks[0].job_id
    assert other.id != first.id
    assert len(emulator.charges) == 2


async def test_key_is_told_after_a_restart(emulator, journal):
    """Whose job it is, the journal knows, and a job without a key has none."""
    async with connect(emulator, journal=journal) as kit:
        first = await kit.submit(SONG, key="chat 42, message 7")
        again = await kit.submit(SONG, key="chat 42, message 7")
        other = await kit.submit(SONG)
    async with connect(emulator, journal=journal) as later:
        found = {job.id: job.key async for job in later.resume()}
        attached = later.attach(first.token)

    assert first.key == again.key == "chat 42, message 7"
    assert found == {first.id: first.key, other.id: None}
    assert attached.key is None


@pytest.mark.parametrize("key", ["", "a\nb", "a\0b", "\ud800", "x" * 251])
async def test_key_that_cannot_be_kept(kit, emulator, key):
    """A key that no journal can keep is refused, and nothing is sent."""
    with pytest.raises(InvalidRequest, match="key"):
        await kit.submit(SONG, key=key)

    assert emulator.charges == ()


async def test_many_at_once_pay_once(kit, emulator):
    """Whatever the race, one of them sends, and all have its job."""
    jobs = await asyncio.gather(*(kit.submit(SONG, key="k") for _ in range(10)))

    assert [charge.job_id for charge in emulator.charges] == [jobs[0].id]
    assert {job.id for job in jobs} == {jobs[0].id}


async def test_cancelled_caller_is_followed(kit, emulator):
    """Whoever comes again while the first request is under way gets its job."""
    emulator.inject(Fault.slow(3), on="submit")
    first = asyncio.create_task(kit.submit(SONG, key="k"))
    await asyncio.sleep(1)
    first.cancel()
    job = await kit.submit(SONG, key="k")

    assert [charge.job_id for charge in emulator.charges] == [job.id]


async def test_key_of_another_request_is_refused(kit, emulator):
    """A key that stands for something else costs nothing."""
    await kit.submit(SONG, key="k")
    with pytest.raises(InvalidRequest, match="key"):
        await kit.submit(attrs.evolve(SONG, idea="the sun"), key="k")
    persona = PersonaRequest(seed(emulator, "evolink"), name="n", description="d")
    with pytest.raises(InvalidRequest, match="key"):
        await kit.submit(persona, key="k")

    assert len(emulator.charges) == 1


async def test_refused_gets_another_chance(kit, emulator):
    """What was not paid for is submitted when it comes again."""
    emulator.inject(Fault.status(402), on="submit")
    with pytest.raises(InsufficientCredits):
        await kit.submit(SONG, key="k")
    job = await kit.submit(SONG, key="k")

    assert [charge.job_id for charge in emulator.charges] == [job.id]


async def test_lost_answer_is_not_paid_again(emulator):
    """It stays unknown, with the receipt of the first."""
    emulator.inject(Fault.drop(), on="submit")
    async with connect_to(emulator, "sunoapi") as kit:
        with pytest.raises(OutcomeUnknown) as first:
            await kit.submit(SONG, key="k")
        with pytest.raises(OutcomeUnknown) as second:
            await kit.submit(SONG, key="k")

    assert first.value.receipt.key == second.value.receipt.key
    assert len(emulator.charges) == 1


@attrs.define
class SharedJournal(MemoryJournal):
    """A journal that another process shares, which is alive."""

    def _is_alive(self, worker: str) -> bool:
        return worker in {self.worker, "other"}

    async def apply_elsewhere(self, account: Account, step: Step) -> Verdict:
        """Take a step as the other process."""
        mine, self.worker = self.worker, "other"
        try:
            return await super().apply(account, step)
        finally:
            self.worker = mine


class Elsewhere:
    """The other process as `put` uses it."""

    def __init__(self, journal: SharedJournal) -> None:
        self.apply = journal.apply_elsewhere


async def test_waits_for_who_sends(emulator):
    """While another process that is alive sends, its job is waited for."""
    journal = SharedJournal()
    async with connect(emulator, journal=journal) as kit:
        other = Elsewhere(journal)
        receipt = await put(kit, SubmitState.SENDING, SONG, caller_key="k", by=other)
        waiting = asyncio.create_task(kit.submit(SONG, key="k"))
        await asyncio.sleep(2)
        assert not waiting.done()
        accept = Accept(receipt.key, 1, "task-unified-1")
        await journal.apply_elsewhere((await kit._here()).account, accept)
        job = await waiting

    assert job.id == "task-unified-1"
    assert emulator.charges == ()


async def test_wait_for_who_sends_has_an_end(emulator):
    """At the deadline nothing was sent here, and the error says why."""
    journal = SharedJournal()
    async with connect(emulator, journal=journal) as kit:
        other = Elsewhere(journal)
        await put(kit, SubmitState.INTENT, SONG, caller_key="k", by=other)
        with pytest.raises(PersonaKitError, match="just now") as caught:
            await kit.submit(SONG, key="k", timeout=3)

    assert caught.value.retry_safe
    assert caught.value.charged == "no"
    assert emulator.charges == ()
    assert asyncio.get_running_loop().time() <= 3.1


@pytest.mark.parametrize("is_lost", [True, False], ids=["lost", "accepted"])
async def test_who_leaves_the_queue_takes_nothing_back(emulator, is_lost):
    """Of two that wait for their turn one sends; the other's end changes nothing."""
    limits = Limits(starts=Limit(1, 30))
    async with connect_to(emulator, "sunoapi", limits=limits) as kit:
        await kit.submit(SONG)  # nobody else has a turn for a while
        if is_lost:
            emulator.inject(Fault.drop(), on="submit")
        first = asyncio.create_task(kit.submit(SONG, key="k"))
        await asyncio.sleep(1)
        with pytest.raises(PersonaKitError, match="just now") as caught:
            await kit.submit(SONG, key="k", timeout=20)
        [outcome] = await asyncio.gather(first, return_exceptions=True)
        open_jobs = [job.key async for job in kit.resume()]
        if is_lost:
            assert isinstance(outcome, OutcomeUnknown)
            with pytest.raises(OutcomeUnknown):
                await kit.submit(SONG, key="k")
        else:
            assert open_jobs == [None, "k"]
            assert (await kit.submit(SONG, key="k")).id == outcome.id

    assert caught.value.charged == "no"
    assert len(emulator.charges) == 2


@attrs.define
class RivalJournal(SharedJournal):
    """Lets the other process send just before we would, and be accepted."""

    async def apply(self, account: Account, step: Step) -> Verdict:
        if isinstance(step, Start):
            self.worker = "mine, dead"
            await self.apply_elsewhere(account, step)
            self.worker = "mine"
            verdict = await super().apply(account, step)
            accept = Accept(step.key, step.attempt + 1, "task-unified-1")
            await self.apply_elsewhere(account, accept)
            return verdict
        return await super().apply(account, step)


async def test_who_comes_second_does_not_send(emulator):
    """The journal lets one of two send; the other takes the job of the first."""
    journal = RivalJournal()
    async with connect(emulator, journal=journal) as kit:
        restart(kit)
        job = await kit.submit(SONG, key="k")

    assert job.id == "task-unified-1"
    assert emulator.charges == ()


async def test_lost_answer_is_found_where_the_service_tells(kit, emulator):
    """Submitted again, a lost job is found if the service shows its texts."""
    emulator.inject(Fault.drop(), on="submit")
    with pytest.raises(OutcomeUnknown):
        await kit.submit(TOLD, key="k")
    with pytest.raises(OutcomeUnknown):  # no text is told before the end
        await kit.submit(TOLD, key="k")
    await asyncio.sleep(200)
    job = await kit.submit(TOLD, key="k")

    assert [charge.job_id for charge in emulator.charges] == [job.id]


async def test_who_died_while_sending_is_a_lost_answer(kit, emulator):
    """What a dead process was sending is not sent again, and not waited for."""
    receipt = await put(kit, SubmitState.SENDING, SONG, caller_key="k")
    restart(kit)
    with pytest.raises(OutcomeUnknown) as caught:
        await kit.submit(SONG, key="k", timeout=5)

    assert caught.value.receipt.key == receipt.key
    assert emulator.charges == ()


async def test_who_died_before_sending_is_followed(kit, emulator):
    """An intent of a dead process is sent."""
    await put(kit, SubmitState.INTENT, SONG, caller_key="k")
    restart(kit)
    job = await kit.submit(SONG, key="k")

    assert [charge.job_id for charge in emulator.charges] == [job.id]


@pytest.mark.parametrize("name", ["evolink", "musicmint"])
async def test_workflow_goes_on_where_it_ended(emulator, name):
    """A workflow under a key pays for each step once, however often it is begun."""
    song = MusicRequest(lyrics="[Verse]\nBlue", style="jazz", title="Blue hour")
    voice = {"voice_of": seed(emulator, name), "name": "V", "description": "warm"}
    async with connect_to(emulator, name) as kit:
        with pytest.raises(WaitTimeout):
            await kit.sing(song, **voice, key="k", timeout=5)
        begun = len(emulator.charges)
        first = await kit.sing(song, **voice, key="k")
        paid = len(emulator.charges)
        again = await kit.sing(song, **voice, key="k")
        other = await kit.generate(lyrics="[Verse]\nBlue", style="jazz", title="Blue")

    assert 0 < begun <= paid
    assert again.persona.id == first.persona.id
    assert [t.track_id for t in again.tracks] == [t.track_id for t in first.tracks]
    assert len(emulator.charges) == paid + 1
    assert other


async def test_who_joins_the_job_of_a_dead_process_works_on_it(kit, emulator):
    """Nobody else resumes a job that a submit under its key has returned."""
    first = await kit.submit(SONG, key="order 1")
    restart(kit)
    again = await kit.submit(SONG, key="order 1")
    account = (await kit._here()).account
    record = await kit._journal.find_by_caller_key(account, "order 1")

    assert again.id == first.id
    assert record.worker == kit._journal.worker
