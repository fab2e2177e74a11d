"""Submits whose outcome is unknown, and every way out of that."""

from __future__ import annotations

import asyncio

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
from personakit.journal import Entry, Mark
from personakit.receipt import Ability, Receipt
from tests.conftest import connect
from tests.contract.worlds import connect as connect_to
from tests.contract.worlds import seed
from tests.journals import open_marks

IDEA = MusicRequest(idea="a rainy night")


async def lose(kit, emulator, request=IDEA) -> Receipt:
    """Submit, and lose the answer."""
    emulator.inject(Fault.drop(), on="submit")
    with pytest.raises(OutcomeUnknown) as caught:
        await kit.submit(request)
    return caught.value.receipt


async def test_pending_tells_what_was_lost(kit, emulator):
    """The journal has the receipt, its mark, and what was asked for."""
    receipt = await lose(kit, emulator)
    await kit.submit(IDEA)

    assert await kit.pending() == (Entry(receipt, Mark.UNKNOWN, IDEA),)


async def test_only_match_of_the_list_is_adopted(kit, emulator):
    """A list with one job that fits settles the matter, without another charge."""
    await kit.generate(idea="another job, known to the journal")
    receipt = await lose(kit, emulator)
    job = await kit.reconcile(receipt)

    assert job.receipt == attrs.evolve(receipt, job_id=emulator.charges[1].job_id)
    assert len(await job) == 2
    assert await kit.pending() == ()
    assert len(emulator.charges) == 2


async def test_two_lost_ones_are_not_told_apart(kit, emulator):
    """Where two receipts could be either of two jobs, nothing is decided."""
    receipts = [await lose(kit, emulator) for _ in range(2)]

    assert [await kit.reconcile(receipt) for receipt in receipts] == [None, None]
    assert len(await kit.pending()) == 2


async def test_two_unclaimed_jobs_are_not_told_apart(kit, emulator):
    """Somebody else's job of the same kind and time leaves it open."""
    receipt = await lose(kit, emulator)
    async with connect(emulator) as other:
        await other.submit(IDEA)

    assert await kit.reconcile(receipt) is None


async def test_other_kinds_and_times_do_not_fit(kit, emulator):
    """An empty list proves nothing, and neither does one without a match."""
    source = seed(emulator, "evolink")  # completed long ago
    emulator.inject(Fault.drop(processed=False), on="submit")
    with pytest.raises(OutcomeUnknown) as caught:
        await kit.submit(IDEA)
    persona = PersonaRequest(source, name="n", description="d")
    await connect_and_submit(emulator, persona)

    assert await kit.reconcile(caught.value.receipt) is None
    assert [entry.mark for entry in await kit.pending()] == [Mark.UNKNOWN]


async def connect_and_submit(emulator, request) -> None:
    async with connect(emulator) as other:
        await other.submit(request)


async def test_list_without_end_settles_nothing(kit, emulator, monkeypatch):
    """A list that is not read to its end cannot show that a match is the only one."""
    receipt = await lose(kit, emulator)
    monkeypatch.setattr("personakit.recovery.PAGES", 0)

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
    receipt = Receipt("evolink", Ability.MUSIC)
    await kit._journal.record(Entry(receipt, Mark.INTENT, IDEA))

    assert await kit.reconcile(receipt) is None
    assert emulator.exchanges == ()


async def test_report_settles_it(kit, emulator):
    """What a callback told the journal is found without asking anybody."""
    receipt = await lose(kit, emulator)
    told = attrs.evolve(receipt, job_id=emulator.charges[0].job_id)
    await kit._journal.record(Entry(told, Mark.ACCEPTED))
    job = await kit.reconcile(receipt)

    assert job.receipt == told


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
    assert await open_marks(kit) == ((job.receipt, Mark.ACCEPTED),)


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
    """What is given up is closed, and a job known already is not given up."""
    receipt, job = await lose(kit, emulator), await kit.submit(IDEA)
    await kit.abandon(receipt)
    with pytest.raises(InvalidRequest, match="has a job"):
        await kit.abandon(job.receipt)
    with pytest.raises(InvalidRequest, match="closed"):
        await kit.abandon(receipt)

    assert await kit.pending() == ()


async def test_resubmit_wants_a_yes(kit, emulator):
    """Paying again needs the caller's word; the old receipt is then closed."""
    receipt = await lose(kit, emulator)
    with pytest.raises(InvalidRequest, match="may have been paid") as caught:
        await kit.resubmit(receipt)
    assert caught.value.field == "accept_possible_double_charge"
    assert len(emulator.charges) == 1
    job = await kit.resubmit(receipt, accept_possible_double_charge=True)

    assert job.id == emulator.charges[1].job_id
    assert job.receipt.key != receipt.key
    assert await kit.pending() == ()
    with pytest.raises(InvalidRequest, match="has a job"):
        await kit.resubmit(job.receipt, accept_possible_double_charge=True)


async def test_resubmit_of_what_was_never_sent(kit, emulator):
    """An intent that a crash left behind is sent without further ado."""
    receipt = Receipt("evolink", Ability.MUSIC)
    await kit._journal.record(Entry(receipt, Mark.INTENT, IDEA))
    job = await kit.resubmit(receipt)

    assert [charge.job_id for charge in emulator.charges] == [job.id]
    assert await kit.pending() == ()


async def test_resubmit_needs_the_request(kit, emulator):
    """What was wanted must be known."""
    receipt = Receipt("evolink", Ability.UPLOAD)
    await kit._journal.record(Entry(receipt, Mark.UNKNOWN))

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
