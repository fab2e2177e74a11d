"""A result is delivered when its caller has had it, and brought again until then."""

from __future__ import annotations

import asyncio

import pytest

from personakit import (
    AlreadyDelivered,
    JobFailed,
    JournalError,
    MusicRequest,
    Track,
    WaitTimeout,
)
from personakit.emulator import Fault
from personakit.journal import MemoryJournal, SubmitState
from personakit.journal.steps import End, Take
from tests.conftest import connect

SONG = MusicRequest(lyrics="[Verse]\nBlue", style="jazz", title="Blue hour")


class Unlucky(Exception):
    """What a block may raise."""


async def find_left(kit) -> list[str]:
    """Return the ids of the jobs that are not delivered."""
    return [job.id async for job in kit.resume()]


async def test_block_that_ends_delivers(kit):
    """After the block there is nothing to resume."""
    job = await kit.submit(SONG)
    async with job.deliver() as tracks:
        inside = await find_left(kit)

    assert len(tracks) == 2
    assert inside == []
    assert await find_left(kit) == []


async def test_block_that_raises_is_tried_again(kit, emulator):
    """The result of a block that failed is resumed, without another reading."""
    job = await kit.submit(SONG)
    with pytest.raises(Unlucky):
        async with job.deliver():
            raise Unlucky
    reads = emulator.count("read")
    [again] = [one async for one in kit.resume()]
    async with again.deliver() as tracks:
        pass

    assert tracks[0].job_id == job.id
    assert emulator.count("read") == reads
    assert await find_left(kit) == []


async def test_block_that_is_cancelled_is_tried_again(kit):
    """A block that is cancelled has not delivered."""
    job, begun = await kit.submit(SONG), asyncio.Event()

    async def send() -> None:
        async with job.deliver():
            begun.set()
            await asyncio.sleep(99)

    sending = asyncio.create_task(send())
    await begun.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending

    assert await find_left(kit) == [job.id]


async def test_second_delivery_is_refused_with_the_result(kit):
    """What was delivered is delivered for good; the error has the result."""
    job = await kit.submit(SONG)
    async with job.deliver() as tracks:
        pass
    with pytest.raises(AlreadyDelivered) as caught:
        async with kit.attach(job.token).deliver():
            raise AssertionError

    assert [t.track_id for t in caught.value.result] == [t.track_id for t in tracks]
    assert caught.value.receipt.job_id == job.id
    assert caught.value.charged == "yes"


async def test_awaited_job_is_delivered(kit):
    """A caller of ``await job`` has the result; a block after it learns that."""
    job = await kit.submit(SONG)
    tracks = await job
    await asyncio.sleep(0)
    left = await find_left(kit)
    with pytest.raises(AlreadyDelivered) as caught:
        async with job.deliver():
            raise AssertionError

    assert left == []
    assert caught.value.result == tracks


async def test_two_blocks_at_once_are_one_after_the_other(kit):
    """The second block waits for the first, and is refused if that delivered."""
    job, order = await kit.submit(SONG), list[str]()

    async def send(name: str, *, fails: bool) -> None:
        async with job.deliver():
            order.append(name)
            await asyncio.sleep(5)
            if fails:
                raise Unlucky

    ends = await asyncio.gather(
        send("first", fails=True),
        send("second", fails=False),
        return_exceptions=True,
    )
    with pytest.raises(AlreadyDelivered):
        await send("third", fails=False)

    assert order == ["first", "second"]
    assert isinstance(ends[0], Unlucky)
    assert ends[1] is None


async def test_wait_for_another_block_has_an_end(kit):
    """A block that waits for another one gives up at its deadline."""
    job, loop = await kit.submit(SONG), asyncio.get_running_loop()
    async with job.deliver():
        began = loop.time()
        with pytest.raises(WaitTimeout):
            async with job.deliver(timeout=3):
                raise AssertionError

    assert loop.time() - began <= 3.1


async def test_failed_job_is_delivered_by_raising(kit, emulator):
    """A failure that the caller got is nothing to resume, in either way."""
    emulator.inject(Fault.fails(), on="submit", times=2)
    first, second = await kit.submit(SONG), await kit.submit(SONG)
    with pytest.raises(JobFailed):
        await first
    with pytest.raises(JobFailed):
        async with second.deliver():
            raise AssertionError
    await asyncio.sleep(0)

    assert await find_left(kit) == []


async def test_updates_deliver_nothing(kit):
    """Whoever only watches a job has not taken its result."""
    job = await kit.submit(SONG)
    last = [snapshot async for snapshot in job.updates()][-1]

    assert last.state.is_final
    assert await find_left(kit) == [job.id]


async def test_job_that_the_journal_lacks_can_be_delivered(emulator):
    """A token of elsewhere has its block too; there is nothing to write down."""
    async with connect(emulator) as kit:
        job = await kit.submit(SONG)
    async with connect(emulator, journal=MemoryJournal()) as kit:
        async with kit.attach(job.token).deliver() as tracks:
            assert len(tracks) == 2
        with pytest.raises(Unlucky):
            async with kit.attach(job.token).deliver():
                raise Unlucky


async def test_outcome_is_delivered_when_the_next_is_asked_for(kit, emulator):
    """In a batch the one whose handling was interrupted is resumed."""
    emulator.inject(Fault.fails(), on="submit")
    requests, seen = [SONG] * 3, list[str]()
    batch = kit.batch(requests)
    async for outcome in batch:
        seen.append(outcome.receipt.job_id)
        if len(seen) == 3:
            break
    await batch.aclose()

    assert await find_left(kit) == seen[-1:]


@pytest.mark.parametrize("turns", range(8))
async def test_cancelled_entry_leaves_the_delivery_to_others(kit, turns):
    """Whoever is cancelled while it enters the block keeps nobody else from it."""
    job = await kit.submit(SONG)
    async for _ in kit.as_completed([job]):
        pass

    entering = asyncio.create_task(enter(job))
    for _ in range(turns):
        await asyncio.sleep(0)
    entering.cancel()
    await asyncio.gather(entering, return_exceptions=True)
    [again] = [one async for one in kit.resume()]

    async with again.deliver(timeout=5) as tracks:
        assert tracks


async def test_block_that_outlives_its_lease_is_reported(kit, caplog):
    """If another process took the delivery over meanwhile, the log says so."""
    job, journal = await kit.submit(SONG), kit._journal
    account, me = (await kit._here()).account, kit._journal.worker
    async with job.deliver():
        journal.worker = "another process, for which this one is dead"
        taken = await journal.apply(account, Take(job.receipt.key))
        journal.worker = me

    assert taken.is_won
    assert "may be delivered twice" in caplog.text


async def test_block_of_a_job_that_the_journal_lacks(emulator, kit):
    """A job found by its token alone is delivered without a record."""
    job = await kit.submit(SONG)
    async with connect(emulator) as other:
        with pytest.raises(Unlucky):
            async with other.attach(job.token).deliver():
                raise Unlucky
        async with other.attach(job.token).deliver() as tracks:
            assert len(tracks) == 2


@pytest.mark.parametrize("is_taken", [True, False])
async def test_cancelled_while_another_block_delivers(kit, is_taken):
    """Whoever leaves without a turn gives nothing back that belongs to another."""
    job = await kit.submit(SONG)
    async with job.deliver():
        entering = asyncio.create_task(enter(job))
        for _ in range(3 if is_taken else 30):
            await asyncio.sleep(0)
        entering.cancel()
        await asyncio.gather(entering, return_exceptions=True)

    assert await find_left(kit) == []


async def enter(job) -> None:
    """Deliver, for as long as it takes."""
    async with job.deliver():
        await asyncio.sleep(999)


async def test_journal_that_fails_at_the_door(emulator):
    """The block does not run, and the result comes again."""

    class Failing(MemoryJournal):
        is_failing = False

        async def apply(self, account, step):
            if self.is_failing and isinstance(step, Take):
                raise JournalError("The disk is gone.")
            return await super().apply(account, step)

    journal = Failing()
    async with connect(emulator, journal=journal) as kit:
        job = await kit.submit(SONG)
        journal.is_failing = True
        with pytest.raises(JournalError):
            await enter(job)
        journal.is_failing = False

        assert await find_left(kit) == [job.id]


async def test_wait_that_ran_out_delivers_nothing(emulator):
    """The end that another process has read is not taken from this caller."""
    async with connect(emulator) as kit:
        job = await kit.submit(SONG)
        engine = await kit._here()
        tracks = (Track("evolink", job.id, "track-1"),)
        await engine.journal.apply(engine.account, End(job.receipt.key, tracks))
        with pytest.raises(WaitTimeout):
            await job.result(timeout=1)
        await asyncio.sleep(1)
        record = await engine.journal.find(engine.account, job.receipt.key)

    assert record.state is SubmitState.ENDED


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_caller_who_is_cancelled_has_not_had_the_result(emulator, is_cancelled):
    """A result counts as delivered if its caller goes on in the next turn."""
    async with connect(emulator) as kit:
        job = await kit.submit(SONG)
        engine = await kit._here()
        tracks = (Track("evolink", job.id, "track-1"),)
        await engine.journal.apply(engine.account, End(job.receipt.key, tracks))

        async def go_on() -> None:
            engine.deliver_soon(job.receipt.key)
            await asyncio.sleep(10)

        caller = asyncio.create_task(go_on())
        await asyncio.sleep(0)
        if is_cancelled:
            caller.cancel()
        await asyncio.wait([caller])
        record = await engine.journal.find(engine.account, job.receipt.key)

    assert (record.state is SubmitState.ENDED) == is_cancelled
