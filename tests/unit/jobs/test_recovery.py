"""Submits whose outcome is unknown, and every way out of that."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

import attrs
import pytest

from personakit import (
    InvalidRequest,
    MusicRequest,
    NotFound,
    OutcomeUnknown,
    PersonaKitError,
    PersonaRequest,
)
from personakit.emulator import Fault
from personakit.journal import MemoryJournal, SubmitState
from personakit.journal.steps import Accept, Begin, Bind, Lose, Start, Step
from personakit.receipt import Ability, Receipt
from tests.conftest import connect
from tests.contract.worlds import connect as connect_to
from tests.contract.worlds import seed
from tests.journals import open_states, put, restart

IDEA = MusicRequest(idea="a rainy night")
SONG = MusicRequest(lyrics="[Verse]\nBlue", style="jazz", title="Blue hour")
DAY = timedelta(days=1)
END = 200.0
"""Seconds after which every job has ended, so that the service tells its texts."""


async def lose(kit, emulator, request=IDEA) -> Receipt:
    """Submit, and lose the answer."""
    emulator.inject(Fault.drop(), on="submit")
    with pytest.raises(OutcomeUnknown) as caught:
        await kit.submit(request)
    return caught.value.receipt


async def test_pending_tells_what_was_lost(kit, emulator):
    """The journal has the receipt, its state, and what was asked for."""
    receipt = await lose(kit, emulator)
    await kit.submit(IDEA)
    [record] = await kit.pending()

    assert record.receipt == receipt
    assert record.state is SubmitState.UNKNOWN
    assert record.request == IDEA
    assert [attempt.number for attempt in record.open] == [1]


async def test_only_match_of_the_list_is_adopted(kit, emulator):
    """A list with one job that fits settles the matter, without another charge."""
    await kit.generate(idea="another job, known to the journal")
    receipt = await lose(kit, emulator, SONG)
    await asyncio.sleep(END)
    job = await kit.reconcile(receipt)

    assert job.receipt == attrs.evolve(receipt, job_id=emulator.charges[1].job_id)
    assert len(await job) == 2
    assert await kit.pending() == ()
    assert len(emulator.charges) == 2


async def test_two_lost_ones_are_not_told_apart(kit, emulator):
    """Where two receipts could be either of two jobs, nothing is decided."""
    receipts = [await lose(kit, emulator, SONG) for _ in range(2)]
    await asyncio.sleep(END)

    assert [await kit.reconcile(receipt) for receipt in receipts] == [None, None]
    assert len(await kit.pending()) == 2


async def test_two_unclaimed_jobs_are_not_told_apart(kit, emulator):
    """Somebody else's job of the same kind and time leaves it open."""
    receipt = await lose(kit, emulator, SONG)
    async with connect(emulator) as other:
        await other.submit(SONG)
    await asyncio.sleep(END)

    assert await kit.reconcile(receipt) is None
    assert await kit.reconcile(receipt, by_time_alone=True) is None


async def test_other_texts_are_another_job(kit, emulator):
    """Of two unclaimed jobs the one with the texts of the submit is its job."""
    receipt = await lose(kit, emulator, SONG)
    async with connect(emulator) as other:
        await other.submit(attrs.evolve(SONG, title="Red", lyrics="Stones", style="x"))
    await asyncio.sleep(END)
    job = await kit.reconcile(receipt)

    assert job is not None
    assert job.id == emulator.charges[0].job_id


async def test_time_alone_needs_the_callers_word(kit, emulator):
    """A job of which no text is told is taken only by a caller who says so."""
    receipt = await lose(kit, emulator, SONG)
    cautious = await kit.reconcile(receipt)
    job = await kit.reconcile(receipt, by_time_alone=True)

    assert cautious is None
    assert job is not None
    assert job.id == emulator.charges[0].job_id


async def test_other_kinds_and_times_do_not_fit(kit, emulator):
    """An empty list proves nothing, and neither does one without a match."""
    source = seed(emulator, "evolink")  # completed long ago
    emulator.inject(Fault.drop(processed=False), on="submit")
    with pytest.raises(OutcomeUnknown) as caught:
        await kit.submit(IDEA)
    persona = PersonaRequest(source, name="n", description="d")
    await connect_and_submit(emulator, persona)

    assert await kit.reconcile(caught.value.receipt) is None
    assert [record.state for record in await kit.pending()] == [SubmitState.UNKNOWN]


async def connect_and_submit(emulator, request) -> None:
    async with connect(emulator) as other:
        await other.submit(request)


async def test_list_without_end_settles_nothing(kit, emulator, monkeypatch):
    """A list that is not read to its end cannot show that a match is the only one."""
    receipt = await lose(kit, emulator)
    monkeypatch.setattr("personakit.jobs.reconcile.PAGES", 0)

    with pytest.raises(PersonaKitError, match="too long"):
        await kit.reconcile(receipt)


async def test_service_without_list_leaves_it_open(emulator):
    """Where nothing can be asked, the answer is None, and nothing is sent."""
    async with connect_to(emulator, "sunoapi") as kit:
        receipt = await lose(kit, emulator)
        sent = len(emulator.exchanges)

        assert await kit.reconcile(receipt) is None
        assert len(emulator.exchanges) == sent


async def test_what_was_never_sent_is_not_looked_for(kit, emulator):
    """An intent has no job."""
    receipt = await put(kit, SubmitState.INTENT, IDEA)
    restart(kit)

    assert await kit.reconcile(receipt) is None
    assert emulator.exchanges == ()


async def test_report_settles_it(kit, emulator):
    """What a callback told the journal is found without asking anybody."""
    receipt = await lose(kit, emulator)
    job_id = emulator.charges[0].job_id
    account = (await kit._here()).account
    await kit._journal.apply(account, Accept(receipt.key, 1, job_id))
    sent = len(emulator.exchanges)
    job = await kit.reconcile(receipt)

    assert job.receipt == attrs.evolve(receipt, job_id=job_id)
    assert len(emulator.exchanges) == sent


async def test_adopt(kit, emulator):
    """A job that was found by hand is taken for the submit's, once it can be read."""
    receipt = await lose(kit, emulator)
    job_id = emulator.charges[0].job_id
    with pytest.raises(NotFound):
        await kit.adopt(receipt, "task-unified-1-unknown0")
    with pytest.raises(InvalidRequest, match="job_id"):
        await kit.adopt(receipt, "no id of Evolink")
    job = await kit.adopt(receipt, job_id)

    assert job.id == job_id
    assert await open_states(kit) == ((job.receipt, SubmitState.ACCEPTED),)


async def test_adopted_job_belongs_to_one_receipt(kit, emulator):
    """A job that another receipt has is not adopted by a second."""
    job = await kit.submit(IDEA)
    receipt = await lose(kit, emulator)

    with pytest.raises(InvalidRequest, match="belong to another receipt"):
        await kit.adopt(receipt, job.id)


async def test_adopted_persona_is_its_id(emulator):
    """What a service answers at once is adopted by its own id."""
    async with connect_to(emulator, "sunoapi") as kit:
        request = PersonaRequest(seed(emulator, "sunoapi"), name="n", description="d")
        receipt = await lose(kit, emulator, request)
        job = await kit.adopt(receipt, "persona-from-the-dashboard")
        persona = await job

        assert (persona.id, persona.name) == ("persona-from-the-dashboard", "n")
        assert await kit.personas.get("n") == persona
        assert await kit.pending() == ()


async def test_abandon(kit, emulator):
    """What is given up is settled, and a job known already is not given up."""
    receipt, job = await lose(kit, emulator), await kit.submit(IDEA)
    await kit.abandon(receipt)
    with pytest.raises(InvalidRequest, match="is accepted by now"):
        await kit.abandon(job.receipt)
    with pytest.raises(InvalidRequest, match="this one is abandoned"):
        await kit.abandon(receipt)

    assert await kit.pending() == ()


async def test_resubmit_wants_a_yes(kit, emulator):
    """Paying again needs the caller's word; the receipt then has the new job."""
    receipt = await lose(kit, emulator)
    with pytest.raises(InvalidRequest, match="may have been paid") as caught:
        await kit.resubmit(receipt)
    assert caught.value.field == "accept_possible_double_charge"
    assert len(emulator.charges) == 1
    job = await kit.resubmit(receipt, accept_possible_double_charge=True)

    assert job.id == emulator.charges[1].job_id
    assert job.receipt.key == receipt.key
    assert await kit.pending() == ()
    with pytest.raises(InvalidRequest, match="has a job"):
        await kit.resubmit(job.receipt, accept_possible_double_charge=True)


async def test_resubmit_of_what_was_never_sent(kit, emulator):
    """An intent that a crash left behind is sent without an acceptance."""
    receipt = await put(kit, SubmitState.INTENT, IDEA)
    restart(kit)
    job = await kit.resubmit(receipt)

    assert [charge.job_id for charge in emulator.charges] == [job.id]
    assert job.receipt.key == receipt.key
    assert await kit.pending() == ()


async def test_resubmit_needs_the_request(kit, emulator):
    """What was wanted must be known."""
    receipt, account = Receipt("evolink", IDEA.ability), (await kit._here()).account
    for step in (
        Begin(receipt, None, None, ""),
        Start(receipt.key, 0),
        Lose(receipt.key, 1),
    ):
        await kit._journal.apply(account, step)

    with pytest.raises(InvalidRequest, match="what was wanted"):
        await kit.resubmit(receipt, accept_possible_double_charge=True)


@pytest.mark.parametrize("receipt", [Receipt("evolink", Ability.MUSIC)])
async def test_receipts_of_elsewhere(kit, receipt):
    """A receipt that this journal does not have is refused by name."""
    for settle in (kit.reconcile, kit.abandon, kit.resubmit):
        with pytest.raises(InvalidRequest, match="must be in this journal"):
            await settle(receipt)


async def test_resumed_jobs_know_their_request(emulator, kit):
    """A job that is taken up from the journal yields what the caller would have got."""
    source = seed(emulator, "evolink")
    call = asyncio.create_task(
        kit.create_persona(source, name="Jazz", description="Warm")
    )
    await asyncio.sleep(1)
    call.cancel()
    [job] = [job async for job in kit.resume()]
    persona = await job

    assert (persona.name, persona.source) == ("Jazz", source.ref)
    assert await kit.personas.list() == (persona,)
    assert [job async for job in kit.resume()] == []


async def test_attached_job_asks_the_journal(emulator, kit):
    """A token alone is enough where the journal knows the rest."""
    lyrics = "[Verse]\nRain"
    job = await kit.submit(MusicRequest(lyrics=lyrics, style="jazz", title="Mine"))
    tracks = await kit.attach(job.token)

    assert {track.lyrics for track in tracks} == {lyrics}


async def test_result_given_at_once_survives(emulator):
    """What is told only once is kept until it has been seen."""
    async with connect_to(emulator, "musicmint") as kit:
        source = seed(emulator, "musicmint")
        emulator.inject(Fault.slow(9), on="submit")
        call = asyncio.create_task(kit.separate_stems(source))
        await asyncio.sleep(0.5)
        call.cancel()
        await asyncio.sleep(400)
        [job] = [job async for job in kit.resume()]
        stems = await job

        assert stems.vocals.audio_url is not None
        assert [job async for job in kit.resume()] == []


async def test_attached_job_that_has_ended_needs_no_reading(emulator, kit):
    """The journal has the result of a job that has ended, until it is pruned."""
    job = await kit.submit(IDEA)
    async for _ in job.updates():
        pass
    reads = emulator.count("read")
    tracks = await kit.attach(job.token)

    assert len(tracks) == 2
    assert emulator.count("read") == reads


async def test_job_that_was_gone_is_looked_for_when_it_is_attached(emulator, kit):
    """That a service did not know a job is no reason not to ask it once more."""
    job = await kit.submit(IDEA)
    emulator.inject(Fault.status(404), on="read", times=None)
    with pytest.raises(NotFound):
        await job
    emulator.clear_faults()

    assert len(await kit.attach(job.token)) == 2


async def test_resume_gives_no_more_than_wanted(kit):
    """The oldest come first, and the others stay for later."""
    jobs = [await kit.submit(IDEA) for _ in range(3)]

    assert [job.id async for job in kit.resume(limit=1)] == [jobs[0].id]
    assert [job.id async for job in kit.resume(limit=0)] == []


async def test_what_is_under_way_is_not_settled_by_another(kit, emulator):
    """A receipt whose request is on its way is refused by every way out."""
    emulator.inject(Fault.slow(5), on="submit")
    call = asyncio.create_task(kit.submit(IDEA))
    await asyncio.sleep(1)
    [(receipt, _)] = await open_states(kit)
    for settle in (kit.reconcile, kit.abandon, kit.resubmit):
        with pytest.raises(InvalidRequest, match="living call or process"):
            await settle(receipt)
    job = await call

    assert job.receipt.key == receipt.key


async def test_what_a_dead_process_was_sending_is_pending(kit):
    """Nobody waits for its answer any more, so its outcome is unknown."""
    receipt = await put(kit, SubmitState.SENDING, IDEA)
    before = await kit.pending()
    restart(kit)
    [record] = await kit.pending()

    assert before == ()
    assert (record.receipt, record.state) == (receipt, SubmitState.UNKNOWN)


async def test_submits_of_other_times_are_no_rivals(kit, emulator):
    """An older submit of the same content cannot have become a job of now."""
    await lose_unheard(kit, emulator)
    journal = kit._journal
    for key, record in journal._records.items():  # virtual time does not age receipts
        sent = [attrs.evolve(o, sent_at=o.sent_at - DAY) for o in record.open]
        journal._records[key] = attrs.evolve(record, open=tuple(sent))
    receipt = await lose(kit, emulator, SONG)
    await asyncio.sleep(END)
    job = await kit.reconcile(receipt)

    assert job is not None
    assert job.id == emulator.charges[0].job_id


async def lose_unheard(kit, emulator) -> Receipt:
    """Submit, and lose the request before the service has it."""
    emulator.inject(Fault.drop(processed=False), on="submit")
    with pytest.raises(OutcomeUnknown) as caught:
        await kit.submit(SONG)
    return caught.value.receipt


class Overtaken(MemoryJournal):
    """A journal in which something happens right before one kind of step."""

    def __init__(self, step: type[Step]) -> None:
        super().__init__()
        self.step, self.event = step, None

    async def apply(self, account, step):
        if isinstance(step, self.step) and self.event is not None:
            event, self.event = self.event, None
            await event()
        return await super().apply(account, step)


async def test_adoption_that_comes_too_late_is_refused(emulator):
    """A receipt that is given up while its job is looked at is not adopted."""
    journal = Overtaken(Bind)
    async with connect(emulator, journal=journal) as kit:
        receipt = await lose(kit, emulator)
        journal.event = partial(kit.abandon, receipt)
        with pytest.raises(InvalidRequest, match="is abandoned by now"):
            await kit.adopt(receipt, emulator.charges[0].job_id)


async def test_report_right_before_a_resubmit_gives_its_job(emulator):
    """A job that becomes known in the last moment is not paid for again."""
    journal = Overtaken(Start)
    async with connect(emulator, journal=journal) as kit:
        receipt = await lose(kit, emulator)
        job_id = emulator.charges[0].job_id
        account = (await kit._here()).account
        accept = Accept(receipt.key, 1, job_id)
        journal.event = partial(journal.apply, account, accept)
        job = await kit.resubmit(receipt, accept_possible_double_charge=True)

    assert job.id == job_id
    assert len(emulator.charges) == 1


async def test_only_true_accepts_a_double_charge(kit, emulator):
    """What merely counts as true may be a slip, and is no acceptance."""
    receipt = await lose(kit, emulator)
    with pytest.raises(InvalidRequest, match="must be True"):
        await kit.resubmit(receipt, accept_possible_double_charge=1)

    assert emulator.count("submit") == 1


async def test_abandoned_intent_was_not_charged(kit):
    """Nothing was sent, so the record says that nothing was charged."""
    receipt = await put(kit, SubmitState.INTENT, IDEA)
    restart(kit)
    await kit.abandon(receipt)
    record = await kit._journal.find((await kit._here()).account, receipt.key)

    assert record.state is SubmitState.REFUSED
    assert await kit.pending() == ()
