"""Reading jobs singly or together, and finding out which of the two is better."""

from __future__ import annotations

import json

import attrs
import pytest

from personakit.errors import (
    AuthenticationError,
    NotFound,
    PersonaKitError,
    RateLimited,
    ServiceUnavailable,
)
from personakit.http.messages import NoAnswer, Response
from personakit.jobs.fetch import MISSES, BatchSupport, StatusFetcher
from personakit.models import JobState
from personakit.polling.polled_job import PolledJob
from personakit.providers.evolink import Evolink
from personakit.receipt import Ability

IDS = [f"task-unified-1-{number:08d}" for number in range(3)]


def tell(job_id, status="processing"):
    return {"id": job_id, "status": status, "progress": 30}


SONGS = {"result_data": {"songs": [{"result_id": "s1"}]}}


def answer(body, status=200):
    return Response(status, {}, json.dumps(body).encode())


class Sender:
    """Answers from a script, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def send(self, request, *, deadline, may_send):
        self.asked.append(request)
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def polled(job_id=IDS[0]):
    return PolledJob(job_id, None, 0.0, None, 0.0)


def make(*answers, provider=None):
    return StatusFetcher(
        kind="evolink music",
        ability=Ability.MUSIC,
        expects_callback=False,
        provider=provider or Evolink(),
        sender=Sender(*answers),
        batch_support=BatchSupport(),
    )


async def test_jobs_are_read_together():
    """One request tells of many; what is missing or strange is left out."""
    broken = {"id": IDS[1], "status": "completed", "result_data": {}}
    lines = [tell(IDS[0]), broken, tell("task-unified-1-foreign"), "odd", tell(IDS[2])]
    source = make(answer({"data": lines}))
    told = await source.poll_many(IDS)

    assert {job_id: one.state for job_id, one in told.items()} == {
        IDS[0]: JobState.RUNNING,
        IDS[2]: JobState.RUNNING,
    }
    (request,) = source.sender.asked
    assert (request.method, request.path) == ("POST", "/v1/tasks/batch")
    assert json.loads(request.body) == {"task_ids": IDS}
    assert request.repeatable


def test_most_at_once():
    """As many as the service takes, one where it takes no more."""
    assert make().at_once == 50
    assert make(provider=attrs.evolve(Evolink(), joint=None)).at_once == 1


async def test_without_a_joint_read_nothing_is_asked():
    """Where there is no such request, nothing is told."""
    source = make(provider=attrs.evolve(Evolink(), joint=None))

    assert await source.poll_many(IDS) == {}


@pytest.mark.parametrize("status", [400, 401, 404, 405])
async def test_refused_way_is_never_asked_again(status):
    """A service that does not know the way is asked once, and nobody hears of it."""
    source = make(answer({}, status))

    assert await source.poll_many(IDS) == {}
    assert source.at_once == 1


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (answer({}, 500), ServiceUnavailable),
        (answer({}, 429), RateLimited),
        (NoAnswer("cut", sent=True), ServiceUnavailable),
        (answer([]), PersonaKitError),
    ],
)
async def test_weather_is_told(failure, error):
    """What may pass is raised, and does not speak against reading together."""
    source = make(failure)
    with pytest.raises(error):
        await source.poll_many(IDS)

    assert source.at_once == 50


async def test_way_that_fails_alone_is_given_up():
    """When single readings succeed where joint ones fail, those end."""
    down, single = answer({}, 500), answer(tell(IDS[0]))
    source = make(*[down, single] * MISSES)
    for _ in range(MISSES):
        assert source.at_once == 50
        with pytest.raises(ServiceUnavailable):
            await source.poll_many(IDS)
        await source.poll(polled())

    assert source.at_once == 1


async def test_outage_does_not_speak_against_it():
    """When all readings fail, the joint ones are not to blame."""
    down, both = answer({}, 500), answer({"data": [tell(job_id) for job_id in IDS]})
    source = make(*[down, down] * 5, both, answer(tell(IDS[0])), down, down)
    for _ in range(5):
        with pytest.raises(ServiceUnavailable):
            await source.poll_many(IDS)
        with pytest.raises(ServiceUnavailable):
            await source.poll(polled())
    assert len(await source.poll_many(IDS)) == 3
    await source.poll(polled())

    assert source.at_once == 50
    assert source.batch_support == BatchSupport()


async def test_answer_that_tells_of_one_is_not_worth_it():
    """A list that seldom has the jobs in question is no longer asked for."""
    one = answer({"data": [tell(IDS[0])]})
    source = make(*[one] * MISSES)
    for _ in range(MISSES):
        assert set(await source.poll_many(IDS)) == {IDS[0]}

    assert source.at_once == 1


@pytest.mark.parametrize(
    ("status", "error"), [(401, AuthenticationError), (404, NotFound)]
)
async def test_single_reading_raises_what_it_means(status, error):
    """The answer to a single reading is judged by itself."""
    code = "task_not_found" if status == 404 else "unauthorized"
    with pytest.raises(error):
        await make(answer({"error": {"code": code}}, status)).poll(polled())


async def test_same_answer_gives_the_same_snapshot():
    """What has not changed is not even read."""
    same, other = answer(tell(IDS[0])), answer(tell(IDS[0], "completed") | SONGS)
    seen = polled()
    source = make(same, same, other)
    first = seen.snapshot = await source.poll(seen)
    second = await source.poll(seen)
    third = await source.poll(seen)

    assert second is first
    assert third.state is JobState.COMPLETED
