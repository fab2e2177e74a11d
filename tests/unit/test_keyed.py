"""Submits under a key of the caller's: paid once, whoever comes again."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from personakit import (
    CoverRequest,
    InsufficientCredits,
    InvalidRequest,
    MusicRequest,
    OutcomeUnknown,
    PersonaKitError,
    RateLimited,
    WaitTimeout,
)
from personakit.emulator import Fault
from personakit.journal import Entry, Mark, MemoryJournal
from personakit.limits import Limit, Limits
from personakit.receipt import Receipt
from tests.conftest import connect
from tests.contract.worlds import connect as connect_to
from tests.contract.worlds import seed

SONG = MusicRequest(idea="a rainy night")


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
    with pytest.raises(InvalidRequest, match="key"):
        await kit.submit(CoverRequest("https://x.example/a.mp3", style="s"), key="k")

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
    """Tells that another process has what is not accepted yet."""

    owner: bool = True

    async def find(self, key: str) -> Entry | None:
        entry = await super().find(key)
        return entry and attrs.evolve(entry, is_held=self.owner)


async def begin_elsewhere(kit, journal, mark: Mark) -> Receipt:
    """Leave in the journal what another process is doing under the key "k"."""
    name, _ = await kit._find_latest("k")
    receipt = Receipt("evolink", SONG.ability, name)
    await journal.record(Entry(receipt, mark, SONG, sender="other"))
    return receipt


async def test_waits_for_who_sends(emulator):
    """While another process that is alive sends, its job is waited for."""
    journal = SharedJournal()
    async with connect(emulator, journal=journal) as kit:
        receipt = await begin_elsewhere(kit, journal, Mark.SENDING)
        waiting = asyncio.create_task(kit.submit(SONG, key="k"))
        await asyncio.sleep(2)
        named = receipt.with_job("task-unified-1")
        await journal.record(Entry(named, Mark.ACCEPTED))
        job = await waiting

    assert job.id == "task-unified-1"
    assert emulator.charges == ()


async def test_wait_for_who_sends_has_an_end(emulator):
    """At the deadline nothing was sent here, and the error says why."""
    journal = SharedJournal()
    async with connect(emulator, journal=journal) as kit:
        await begin_elsewhere(kit, journal, Mark.INTENT)
        with pytest.raises(PersonaKitError, match="just now") as caught:
            await kit.submit(SONG, key="k", timeout=3)

    assert caught.value.retry_safe
    assert caught.value.charged == "no"
    assert emulator.charges == ()


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
        with pytest.raises(RateLimited):
            await kit.submit(SONG, key="k", timeout=45)
        [outcome] = await asyncio.gather(first, return_exceptions=True)
        open_jobs = [job.key async for job in kit.resume()]
        if is_lost:
            assert isinstance(outcome, OutcomeUnknown)
            with pytest.raises(OutcomeUnknown):
                await kit.submit(SONG, key="k")
        else:
            assert open_jobs == [None, "k"]
            assert (await kit.submit(SONG, key="k")).id == outcome.id

    assert len(emulator.charges) == 2


class RivalJournal(MemoryJournal):
    """Lets another process send just before we would, and be accepted."""

    async def record(self, entry: Entry) -> Entry:
        if entry.mark is Mark.SENDING and entry.sender != "rival":
            await super().record(attrs.evolve(entry, sender="rival"))
            stands = await super().record(entry)
            named = entry.receipt.with_job("task-unified-1")
            await super().record(Entry(named, Mark.ACCEPTED))
            return stands
        return await super().record(entry)


async def test_who_comes_second_does_not_send(emulator):
    """The journal lets one of two send; the other takes up the job."""
    async with connect(emulator, journal=RivalJournal()) as kit:
        job = await kit.submit(SONG, key="k")

    assert job.id == "task-unified-1"
    assert emulator.charges == ()


async def test_lost_answer_is_found_where_the_service_tells(kit, emulator):
    """Submitted again, a lost job is taken up if the service shows it."""
    emulator.inject(Fault.drop(), on="submit")
    with pytest.raises(OutcomeUnknown):
        await kit.submit(SONG, key="k")
    job = await kit.submit(SONG, key="k")

    assert [charge.job_id for charge in emulator.charges] == [job.id]


@attrs.define
class LateJournal(MemoryJournal):
    """Answers once with what was true before."""

    late: Entry | None = None

    async def find(self, key: str) -> Entry | None:
        late, self.late = self.late, None
        return late or await super().find(key)


async def test_sending_that_ends_while_it_is_looked_up(emulator):
    """What has been accepted meanwhile is no lost answer."""
    journal = LateJournal()
    async with connect(emulator, journal=journal) as kit:
        job = await kit.submit(SONG, key="k")
        journal.late = Entry(attrs.evolve(job.receipt, job_id=None), Mark.SENDING, SONG)
        again = await kit._submit_once(SONG, "k", deadline=1e9)

    assert again.id == job.id
    assert len(emulator.charges) == 1


async def test_who_died_before_sending_is_followed(emulator):
    """An intent that nobody has any more is sent."""
    journal = SharedJournal(owner=False)
    async with connect(emulator, journal=journal) as kit:
        await begin_elsewhere(kit, journal, Mark.INTENT)
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
