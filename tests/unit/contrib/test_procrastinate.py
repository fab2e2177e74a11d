"""Tasks for Procrastinate: delivered, paid once, and rescued from dead workers."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import procrastinate
import pytest

from personakit import (
    AudioFile,
    InsufficientCredits,
    InvalidRequest,
    MusicRequest,
    PersonaKit,
    PersonaRequest,
    ServiceUnavailable,
    TrackRef,
    UploadRequest,
)
from personakit.contrib import procrastinate as module
from personakit.contrib.procrastinate import Again, Delivery, PersonaTasks
from personakit.emulator import Emulator, Fault
from personakit.operations import SungPersona
from personakit.polling.schedule import Pace
from personakit.ratelimit.limits import Limits
from tests.conftest import connect
from tests.contract.worlds import seed

pytestmark = pytest.mark.looptime(False)

DOING = procrastinate.jobs.Status.DOING
SONG = MusicRequest(lyrics="[Verse]\nBlue", style="jazz", title="Blue hour")


@pytest.fixture
async def busy():
    """Run a fast emulator with an account for many jobs."""
    async with Emulator(speed=100, credits=1e6) as running:
        yield running


@pytest.fixture
def place(postgres) -> str:
    return postgres.make_place()


class Application:
    """An application with one task table, and what was delivered to it."""

    def __init__(self, place: str, emulator: Emulator) -> None:
        connector = procrastinate.PsycopgConnector(conninfo=place, min_size=1)
        self.app = procrastinate.App(connector=connector)
        self.place, self.emulator = place, emulator
        self.came: list[Delivery] = []
        self.changed = asyncio.Event()
        self.failures = 0
        self.tasks = PersonaTasks(self.app, self.open_kit, self.deliver)

    def open_kit(self) -> PersonaKit:
        return connect(
            self.emulator,
            journal=self.place,
            limits=Limits(),
            pace=Pace(shortest=0.05, untold=0.3),
        )

    async def deliver(self, delivery: Delivery) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("the mail is down")
        self.came.append(delivery)
        self.changed.set()

    @asynccontextmanager
    async def working(self, **options):
        """Run a worker."""
        options = {"install_signal_handlers": False, "lease": 2, **options}
        options.setdefault("fetch_job_polling_interval", 0.2)
        worker = asyncio.create_task(self.tasks.run_worker(**options))
        try:
            yield worker
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    async def receive(self, count: int) -> list[Delivery]:
        """Wait for so many deliveries."""
        async with asyncio.timeout(9):
            while len(self.came) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.came


@pytest.fixture
async def one(place, busy):
    application = Application(place, busy)
    async with application.app.open_async():
        await application.app.schema_manager.apply_schema_async()
        yield application


@pytest.fixture
async def other(one):
    application = Application(one.place, one.emulator)
    async with application.app.open_async():
        yield application


async def test_songs_and_personas(one, busy):
    """Each request comes to its end on a worker, and is delivered with its key."""
    source = seed(busy, "evolink")
    wanted = PersonaRequest(source, name="V", description="warm")
    async with one.working():
        await one.tasks.submit(SONG, key="song", priority=5)
        await one.tasks.submit(wanted, key="persona")
        came = {delivery.key: delivery for delivery in await one.receive(2)}

    assert came["song"].error is None
    assert came["song"].result[0].title == "Blue hour"
    assert came["persona"].result.name == "V"
    assert len(busy.charges) == 2


async def test_whole_workflow(one, busy):
    """A persona is made and sings, in one task."""
    source = seed(busy, "evolink")
    async with one.working():
        await one.tasks.sing(
            SONG, voice_of=source, name="V", description="warm", key="both"
        )
        [delivery] = await one.receive(1)

    assert isinstance(delivery.result, SungPersona)
    assert len(delivery.result.tracks) == 2
    assert len(busy.charges) == 2


async def test_arguments_hold_no_secret(one, busy):
    """What lies in the queue is the request and its key."""
    await one.tasks.submit(SONG, key="order 1")
    [job] = await one.app.job_manager.list_jobs_async()
    text = json.dumps(job.task_kwargs)

    assert job.task_kwargs["key"] == "order 1"
    assert job.task_kwargs["request"]["title"] == "Blue hour"
    assert busy.api_key not in text


async def test_same_key_is_paid_once(one, other, busy):
    """Deferred several times, on several workers, it is one job, delivered once."""
    async with one.working(), other.working():
        for application in (one, other) * 3:
            await application.tasks.submit(SONG, key="order 1")
        async with asyncio.timeout(9):
            while await count_unfinished(one):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    assert len(one.came) + len(other.came) == 1
    assert len(busy.charges) == 1


async def count_unfinished(application) -> int:
    """Return how many tasks have not come to their end."""
    jobs = await application.app.job_manager.list_jobs_async()
    return sum(job.status != "succeeded" for job in jobs)


async def test_refusal_is_delivered(one, busy):
    """What the service refuses for good is an error of the task, which is done."""
    busy.inject(Fault.status(402), on="submit")
    async with one.working():
        await one.tasks.submit(SONG, key="poor")
        [delivery] = await one.receive(1)
        await asyncio.sleep(0.2)
    [job] = await one.app.job_manager.list_jobs_async()

    assert isinstance(delivery.error, InsufficientCredits)
    assert delivery.error.receipt is not None
    assert job.status == "succeeded"
    assert busy.charges == ()


async def test_weather_passes(one, busy, monkeypatch):
    """What may go better later is tried later; in the end its error is delivered."""
    tries = []

    async def submit(*_, **__):
        tries.append(1)
        raise ServiceUnavailable("away")

    monkeypatch.setattr(module, "ATTEMPTS", 2)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0)
    monkeypatch.setattr(PersonaKit, "submit", submit)
    async with one.working():
        await one.tasks.submit(SONG, key="k")
        [delivery] = await one.receive(1)

    assert isinstance(delivery.error, ServiceUnavailable)
    assert len(tries) == 3


async def test_delivery_that_fails_comes_again(one, busy):
    """Nothing is lost where the application stumbles, and nothing is paid anew."""
    one.failures = 1
    async with one.working():
        await one.tasks.submit(SONG, key="k")
        [delivery] = await one.receive(1)

    assert delivery.result[0].title == "Blue hour"
    assert len(busy.charges) == 1


async def test_stopped_worker_hands_over(one, other, busy):
    """A worker that is told to stop leaves its tasks to others at once."""
    busy.inject(Fault.slow(1), on="submit")
    async with one.working(shutdown_graceful_timeout=0.1) as worker:
        await one.tasks.submit(SONG, key="k")
        async with asyncio.timeout(5):
            while not busy.charges:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    async with other.working():
        [delivery] = await other.receive(1)

    assert one.came == []
    assert delivery.result[0].job_id == busy.charges[0].job_id
    assert len(busy.charges) == 1


async def test_aborted_task_is_not_run_again(one, busy):
    """A task that its user aborts ends; what was paid for stays in the journal."""
    one.tasks._deliver = None  # nothing must be delivered
    slow = Emulator(speed=1, credits=100)
    async with slow:
        one.emulator = slow
        async with one.working(abort_job_polling_interval=0.1):
            number = await one.tasks.submit(SONG, key="k")
            async with asyncio.timeout(5):
                while not slow.charges:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            manager = one.app.job_manager
            await manager.cancel_job_by_id_async(number, abort=True)
            async with asyncio.timeout(5):
                while await manager.get_job_status_async(number) is DOING:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            status = await manager.get_job_status_async(number)

    assert status.value == "aborted"


async def test_tasks_of_dead_workers_are_rescued(one, other, busy):
    """What a worker had that shows itself no more is done by another."""
    number = await one.tasks.submit(SONG, key="k")
    manager = one.app.job_manager
    dead = await manager.register_worker()
    await manager.fetch_job(queues=None, worker_id=dead)
    before = await manager.get_job_status_async(number)
    await asyncio.sleep(1.2)
    async with other.working(lease=1):
        [delivery] = await other.receive(1)

    assert before.value == "doing"
    assert delivery.error is None


async def test_rescue_goes_on_through_trouble(one, monkeypatch, caplog):
    """A database that is away for a moment ends no worker."""
    calls = []

    async def rescue(*, lease):
        calls.append(lease)
        raise OSError("away")

    monkeypatch.setattr(one.tasks, "rescue", rescue)
    async with one.working(lease=0.2):
        await asyncio.sleep(0.3)

    assert len(calls) > 1
    assert "cannot be looked up" in caplog.text


async def test_files_are_not_sent_along(one):
    """A request with a file is refused before anything is deferred."""
    with pytest.raises(InvalidRequest, match="file"):
        await one.tasks.submit(UploadRequest(AudioFile("a.mp3", b"x")), key="k")

    assert list(await one.app.job_manager.list_jobs_async()) == []


async def test_request_of_another_version(one, busy):
    """A request that this version cannot read is an error, not a guess."""
    await one.tasks._defer("music", "k", ["nonsense"], {})
    async with one.working():
        [delivery] = await one.receive(1)

    assert isinstance(delivery.error, InvalidRequest)
    assert busy.charges == ()


def test_pauses_grow_and_end():
    """At once after a stop, else later and later; not for ever."""

    def pause(attempts: int, error: Exception) -> float | None:
        job = procrastinate.jobs.Job(
            id=1,
            queue="q",
            lock=None,
            queueing_lock=None,
            task_name="t",
            attempts=attempts,
        )
        decision = module._Later().get_retry_decision(exception=error, job=job)
        if decision is None:
            return None
        return (decision.retry_at - procrastinate.utils.utcnow()).total_seconds()

    assert pause(5, Again()) == pytest.approx(0, abs=1)
    assert pause(3, OSError()) == pytest.approx(8, abs=1)
    assert pause(20, OSError()) == pytest.approx(300, abs=1)
    assert pause(module.ATTEMPTS, Again()) == pytest.approx(0, abs=1)
    assert pause(module.ATTEMPTS, OSError()) is None


def test_track_as_source_comes_back():
    """A source by its ids keeps them."""
    wanted = PersonaRequest(TrackRef("j", "t"), name="V", description="warm")
    text = module.dump(wanted)

    assert module._load(wanted.ability, json.loads(text)) == wanted
