"""Paid once, never lost, never another's: what one process may rely on.

`test_two_processes` asks the same of several.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3

import attrs
import pytest

from personakit import (
    InvalidRequest,
    JobFailed,
    MusicRequest,
    OutcomeUnknown,
    Persona,
    PersonaKitError,
)
from personakit.emulator import Emulator, Fault
from personakit.journal import MemoryJournal, SqliteJournal, SubmitState
from personakit.journal.steps import Bind, End
from personakit.polling.schedule import Pace
from personakit.ratelimit.limits import Limit, Limits
from tests.conftest import connect
from tests.journals import open_states
from tests.processes import until

SONG = MusicRequest(lyrics="[Verse]\nBlue", style="jazz", title="Blue hour")
END = 200.0
"""Seconds after which every job has ended, so that the service tells its texts."""


async def lose(kit, emulator, request=SONG, *, processed=True):
    """Submit, lose the answer, and return the receipt."""
    emulator.inject(Fault.drop(processed=processed), on="submit")
    with pytest.raises(OutcomeUnknown) as caught:
        await kit.submit(request)
    return caught.value.receipt


def report(job_id: str) -> bytes:
    return f'{{"id": "{job_id}", "status": "completed"}}'.encode()


# M2: submitted again, a receipt pays once for each acceptance.


async def test_each_acceptance_pays_once(kit, emulator):
    """Lost answers in a row stay one receipt; each acceptance is good for one POST."""
    receipt = await lose(kit, emulator)
    for _ in range(3):
        with pytest.raises(InvalidRequest, match="may have been paid"):
            await kit.resubmit(receipt)
        emulator.inject(Fault.drop(), on="submit")
        with pytest.raises(OutcomeUnknown) as again:
            await kit.resubmit(receipt, accept_possible_double_charge=True)
        assert again.value.receipt.key == receipt.key
    [record] = await kit.pending()

    assert len(emulator.charges) == 4
    assert len(record.open) == 4


async def test_one_acceptance_is_good_for_one_of_two_calls(kit, emulator):
    """Two calls that accept a double charge at once send one request."""
    receipt = await lose(kit, emulator)
    emulator.inject(Fault.slow(3), on="submit")
    calls = (
        kit.resubmit(receipt, accept_possible_double_charge=True) for _ in range(2)
    )
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert len(emulator.charges) == 2
    assert sum(isinstance(one, InvalidRequest) for one in outcomes) == 1


# M3: what has ended is not lost before its caller has it.


class Interrupting(MemoryJournal):
    """Cancels a task as soon as an end is written."""

    def __init__(self) -> None:
        super().__init__()
        self.task: asyncio.Task | None = None

    async def apply(self, account, step):
        verdict = await super().apply(account, step)
        if isinstance(step, End) and self.task is not None:
            self.task.cancel()
        return verdict


async def test_caller_that_is_cancelled_after_the_end_leaves_the_result(emulator):
    """What was read for a caller who is gone is resumed with its result at once."""
    journal = Interrupting()
    async with connect(emulator, journal=journal) as kit:
        journal.task = asyncio.create_task(kit.generate(idea="rain"))
        with pytest.raises(asyncio.CancelledError):
            await journal.task
        states = await open_states(kit)
        reads = emulator.count("read")
        [job] = [job async for job in kit.resume()]
        tracks = await job
        left = [job async for job in kit.resume()]

    assert [state for _, state in states] == [SubmitState.ENDED]
    assert len(tracks) == 2
    assert emulator.count("read") == reads
    assert left == []


async def test_result_that_meets_a_cancellation_is_not_delivered(kit):
    """A caller who is cancelled in the very turn of the result did not get it."""
    job = await kit.submit(SONG)

    async def call() -> None:
        await job
        asyncio.current_task().cancel()
        await asyncio.sleep(1)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(call())
    again = [one.id async for one in kit.resume()]

    assert again == [job.id]


# M4: no job belongs to two submits.


@pytest.mark.parametrize("by_time_alone", [True, False])
async def test_job_of_a_submit_under_way_is_not_adopted(kit, emulator, by_time_alone):
    """What another submit is being charged for belongs to that one."""
    receipt = await lose(kit, emulator, processed=False)
    emulator.inject(Fault.slow(90), on="submit")
    other = asyncio.create_task(kit.submit(SONG))
    await asyncio.sleep(80)  # its job has ended, and the list tells its texts
    found = await kit.reconcile(receipt, by_time_alone=by_time_alone)
    job = await other

    assert found is None
    assert emulator.charges[0].job_id == job.id
    assert (await kit.pending())[0].receipt == receipt


async def test_job_of_a_submit_that_came_during_the_look_is_not_adopted(emulator):
    """A submit that began after the look and was accepted before its end keeps it."""

    class Slow(MemoryJournal):
        """Lets another submit happen between the list and the binding."""

        other = None

        async def known_jobs(self, account, job_ids):
            known = await super().known_jobs(account, job_ids)
            if self.other is not None:
                await self.other()
            return known

    journal = Slow()
    async with connect(emulator, journal=journal) as kit:
        receipt = await lose(kit, emulator, processed=False)
        emulator.inject(Fault.slow(90), on="submit")
        other = asyncio.create_task(kit.submit(SONG))
        await asyncio.sleep(80)

        async def finish() -> None:
            journal.other = None
            await other

        journal.other = finish
        found = await kit.reconcile(receipt)
        job = other.result()

    assert found is None
    assert emulator.charges[0].job_id == job.id


async def test_job_of_an_abandoned_submit_is_not_adopted(kit, emulator):
    """An abandoned submit may still own what the list shows."""
    abandoned = await lose(kit, emulator)
    await kit.abandon(abandoned)
    receipt = await lose(kit, emulator, processed=False)
    await asyncio.sleep(END)

    assert await kit.reconcile(receipt) is None
    assert await kit.reconcile(receipt, by_time_alone=True) is None


async def test_job_of_an_older_attempt_is_not_adopted(kit, emulator):
    """A submit that has its job may own a second one, of an attempt before."""
    twice = await lose(kit, emulator)
    await kit.resubmit(twice, accept_possible_double_charge=True)
    receipt = await lose(kit, emulator, processed=False)
    await asyncio.sleep(END)

    assert await kit.reconcile(receipt) is None
    assert await kit.reconcile(receipt, by_time_alone=True) is None


@pytest.mark.parametrize("is_first", [True, False])
async def test_adoption_and_report_at_once_give_a_job_to_one(kit, emulator, is_first):
    """Of a callback and an adoption of the same job, one wins and the other is told."""
    callbacks = kit.callbacks(
        public_url="https://app.example/hooks", secret="correct horse battery"
    )
    mine, other = await lose(kit, emulator), await lose(kit, emulator, processed=False)
    job_id = emulator.charges[0].job_id
    path = callbacks.address(mine, 1)
    calls = [
        callbacks.receive("POST", path, [], report(job_id)),
        kit.adopt(other, job_id),
    ]
    outcomes = await asyncio.gather(
        *(calls if is_first else reversed(calls)), return_exceptions=True
    )
    states = dict(await open_states(kit))
    owners = [receipt.key for receipt in states if receipt.job_id == job_id]

    assert len(owners) == 1
    status, adopted = outcomes if is_first else reversed(outcomes)
    if owners == [mine.key]:
        assert status == 200
        assert isinstance(adopted, InvalidRequest)
    else:
        assert status == 409
        assert adopted.id == job_id


class Racing(MemoryJournal):
    """Lets something happen right before a job is bound."""

    def __init__(self) -> None:
        super().__init__()
        self.rival = None

    async def apply(self, account, step):
        if isinstance(step, Bind) and self.rival is not None:
            rival, self.rival = self.rival, None
            await rival()
        return await super().apply(account, step)


async def test_report_before_an_adoption_is_bound_wins(emulator):
    """A job that a callback names between check and binding is not adopted as well."""
    journal = Racing()
    async with connect(emulator, journal=journal) as kit:
        callbacks = kit.callbacks(
            public_url="https://app.example/hooks", secret="correct horse battery"
        )
        mine = await lose(kit, emulator)
        other = await lose(kit, emulator, processed=False)
        job_id = emulator.charges[0].job_id

        async def tell() -> None:
            path = callbacks.address(mine, 1)
            assert await callbacks.receive("POST", path, [], report(job_id)) == 200

        journal.rival = tell
        with pytest.raises(InvalidRequest, match="belong to another receipt"):
            await kit.adopt(other, job_id)
        journal.rival = None
        with pytest.raises(InvalidRequest, match="belong to another receipt"):
            await kit.adopt(other, job_id)


async def test_late_report_of_an_older_attempt_is_a_job_of_its_own(kit, emulator):
    """When both of two attempts were charged, both jobs are resumed."""
    callbacks = kit.callbacks(
        public_url="https://app.example/hooks", secret="correct horse battery"
    )
    receipt = await lose(kit, emulator)
    second = await kit.resubmit(receipt, accept_possible_double_charge=True)
    first = emulator.charges[0].job_id
    wrong = await callbacks.receive(
        "POST", callbacks.address(receipt, 2), [], report(first)
    )
    statuses = {
        await callbacks.receive(
            "POST", callbacks.address(receipt, 1), [], report(first)
        )
        for _ in range(2)
    }
    jobs = [job.id async for job in kit.resume()]

    assert wrong == 409
    assert sorted(jobs) == sorted([first, second.id])
    assert 200 in statuses


# M5: a job id that a journal cannot take is written as soon as it can.


@pytest.mark.looptime(False)
async def test_job_id_is_written_after_a_long_lock(service, tmp_path):
    """While somebody holds the file for 13 s, an answer comes; it is written later."""
    place, options = tmp_path / "jobs.db", {"limits": Limits()}
    async with (
        connect(service, journal=SqliteJournal(place), **options) as kit,
        connect(service, journal=SqliteJournal(place), **options) as other,
    ):
        service.inject(Fault.slow(0.5), on="submit")
        call = asyncio.create_task(kit.submit(SONG, key="k"))
        await until(lambda: service.count("submit"))
        lock = sqlite3.connect(place, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        await asyncio.sleep(13)
        lock.execute("ROLLBACK")
        lock.close()
        job = await call
        again = await other.submit(SONG, key="k", timeout=15)
        [record] = await other._journal.unsettled(None)

    assert again.id == job.id == record.receipt.job_id
    assert len(service.charges) == 1


# M6: after a deadline nothing is sent.


def songs(count: int) -> list[MusicRequest]:
    return [attrs.evolve(SONG, title=f"Song {number}") for number in range(count)]


async def test_batch_sends_nothing_after_its_deadline():
    """Of many that queue, those that had no turn by then are not sent and not paid."""
    limits = Limits(starts=Limit(20, 10))
    loop = asyncio.get_running_loop()
    async with (
        Emulator(credits=1e6) as rich,
        connect(rich, limits=limits, timeout=25) as kit,
    ):
        began = loop.time()
        outcomes = [outcome async for outcome in kit.batch(songs(500), concurrency=500)]
        ended = loop.time()
        await asyncio.sleep(60)
        times = [one.at - began for one in rich.exchanges if one.action == "submit"]

    assert len(outcomes) == 500
    assert len(times) == len(rich.charges) == 60
    assert max(times) < 25
    assert ended - began <= 25.1
    unsent = [one for one in outcomes if one.receipt is None or not one.receipt.job_id]
    assert len(unsent) == 440
    assert {one.error.charged for one in unsent} == {"no"}


async def test_submit_in_a_full_queue_ends_in_time(emulator):
    """Queueing counts: a call returns at its deadline, and nothing was charged."""
    limits, loop = Limits(starts=Limit(1, 60)), asyncio.get_running_loop()
    async with connect(emulator, limits=limits) as kit:
        await kit.submit(SONG)
        began = loop.time()
        with pytest.raises(PersonaKitError) as caught:
            await kit.submit(SONG, timeout=4)
        took = loop.time() - began
        await asyncio.sleep(100)

        assert await kit.pending() == ()
    assert 3.9 <= took <= 4.1
    assert caught.value.charged == "no"
    assert len(emulator.charges) == 1


async def test_timeout_of_the_past_sends_nothing(kit, emulator):
    """A block whose time was up before it began submits nothing."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(-1):
            await kit.submit(SONG)
    await asyncio.sleep(10)

    assert emulator.exchanges == ()
    assert await open_states(kit) == ()


async def test_task_cancelled_before_it_began_sends_nothing(kit, emulator):
    """A task that is cancelled in the turn of its start submits nothing."""

    async def call() -> None:
        asyncio.current_task().cancel()
        await kit.submit(SONG)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(call())
    await asyncio.sleep(10)

    assert emulator.exchanges == ()
    assert await open_states(kit) == ()


async def test_deadline_of_the_past_sends_nothing(kit, emulator):
    """A call in a block whose deadline has passed fails before it writes anything."""
    with kit.deadline(5):
        await asyncio.sleep(6)
        with pytest.raises(PersonaKitError, match="deadline passed") as caught:
            await kit.submit(SONG)

    assert caught.value.charged == "no"
    assert emulator.exchanges == ()
    assert await open_states(kit) == ()


# M8: accounts in one journal share nothing.


@pytest.fixture(params=["memory", "sqlite"])
def place(request, tmp_path):
    """Where several accounts keep their common journal."""
    return MemoryJournal() if request.param == "memory" else tmp_path / "jobs.db"


@pytest.mark.looptime(False)
async def test_accounts_share_nothing(service, place):
    """Keys, jobs, personas, lost answers: each account has its own."""
    quick = {"journal": place, "limits": Limits(), "pace": Pace(0.05, untold=0.2)}
    async with (
        Emulator(speed=200) as elsewhere,
        connect(service, account="a", **quick) as a,
        connect(service, account="b", **quick) as b,
        connect(elsewhere, account="a", **quick) as c,
    ):
        jobs = [await kit.submit(SONG, key="order 1") for kit in (a, b, c)]
        lost = await lose(a, service)
        persona = Persona("p", "evolink", "Voice")
        await a.personas.add(persona)

        assert jobs[0].id != jobs[1].id
        assert (len(service.charges), len(elsewhere.charges)) == (3, 1)
        for kit, job in zip((a, b, c), jobs, strict=True):
            assert [one.id async for one in kit.resume()] == [job.id]
            assert (await kit.submit(SONG, key="order 1")).id == job.id
        for kit in (b, c):
            assert await kit.pending() == ()
            assert await kit.personas.list() == ()
            assert not await kit.personas.forget("p")
            for settle in (kit.reconcile, kit.abandon, kit.resubmit):
                with pytest.raises(InvalidRequest, match="of this account"):
                    await settle(lost)
        assert await a.personas.list() == (persona,)
        assert [record.receipt for record in await a.pending()] == [lost]


async def test_rotated_key_is_told_once(emulator, caplog):
    """Open work of another unnamed account is named once, with the way out."""
    journal = MemoryJournal()
    async with connect(emulator, journal=journal) as kit:
        await kit.submit(SONG)
    with caplog.at_level(logging.WARNING, "personakit"):
        async with connect(emulator, journal=journal, api_key="another") as kit:
            jobs = [job async for job in kit.resume()]
            pending = await kit.pending()

    assert jobs == []
    assert pending == ()
    assert [record.getMessage() for record in caplog.records] == [
        record.getMessage()
        for record in caplog.records
        if "1 open submits of another evolink account" in record.getMessage()
        and "rename-account" in record.getMessage()
    ]
    assert len(caplog.records) == 1


# M10: what is being sent is waited for.


async def test_second_client_waits_for_an_answer(emulator):
    """A key that is being sent is no lost answer to another client of the journal."""
    emulator.inject(Fault.slow(1.5), on="submit")
    journal = MemoryJournal()
    async with (
        connect(emulator, journal=journal) as kit,
        connect(emulator, journal=journal) as other,
    ):
        first = asyncio.create_task(kit.submit(SONG, key="k"))
        await asyncio.sleep(0.5)
        second = await other.submit(SONG, key="k")

    assert second.id == first.result().id
    assert emulator.count("submit") == 1


async def test_failed_job_under_a_key_gives_its_failure_again(kit, emulator):
    """A failure is the outcome of its key; nothing is paid again for it."""
    emulator.inject(Fault.fails(), on="submit")
    for _ in range(2):
        with pytest.raises(JobFailed):
            await (await kit.submit(SONG, key="k"))

    assert len(emulator.charges) == 1


async def test_unknown_outcome_stays_unknown_if_the_service_cannot_be_asked(emulator):
    """A key whose answer is lost is never said to have cost nothing."""
    async with connect(emulator) as kit:
        emulator.inject(Fault.drop(), on="submit")
        with pytest.raises(OutcomeUnknown):
            await kit.submit(SONG, key="order 1")
        await emulator.stop()
        with pytest.raises(OutcomeUnknown) as again:
            await kit.submit(SONG, key="order 1", timeout=5)

    assert again.value.charged == "unknown"
    assert len(emulator.charges) == 1
