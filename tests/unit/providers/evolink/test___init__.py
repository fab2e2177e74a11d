"""The dialect's calls: which path, which verb, and what may be repeated."""

from __future__ import annotations

import json

import pytest

from personakit.errors import InvalidRequest
from personakit.models import JobState, MusicRequest
from personakit.providers.evolink import Evolink
from personakit.receipt import Ability
from personakit.wire import SUBMIT_TIMEOUT
from tests.unit.providers.evolink.cases import CASES, MUSIC_JOB, PERSONA_JOB


def test_submit_is_one_post_never_repeated():
    """Every job starts at one path, and its request is not repeatable."""
    call = Evolink().build_submit(MusicRequest(idea="rain"))

    assert (call.request.method, call.request.path) == (
        "POST",
        "/v1/audios/generations",
    )
    assert call.request.repeatable is False
    assert call.request.timeout == SUBMIT_TIMEOUT
    assert json.loads(call.request.body)["prompt"] == "rain"
    accepted = call.parse(CASES["submit-music-accepted"].answer())
    assert accepted.job_id == MUSIC_JOB


@pytest.mark.parametrize(
    ("kind", "job_id", "name"),
    [
        (Ability.MUSIC, MUSIC_JOB, "read-music-completed"),
        (Ability.PERSONA, PERSONA_JOB, "read-persona-completed"),
    ],
)
def test_read_asks_for_one_task(kind, job_id, name):
    """A task is read by its id and understood by what it was submitted for."""
    call = Evolink().build_read(job_id, kind)

    assert (call.request.method, call.request.path) == ("GET", f"/v1/tasks/{job_id}")
    assert call.request.repeatable is True
    assert call.request.body is None
    assert call.parse(CASES[name].answer()).state is JobState.COMPLETED


@pytest.mark.parametrize("job_id", ["", "x", "task-unified-", "task-unified-1?a=b"])
def test_foreign_ids_are_not_asked_for(job_id):
    """An id that cannot be a task's is refused, and never becomes a path."""
    with pytest.raises(InvalidRequest, match="job_id must be the id of a task"):
        Evolink().build_read(job_id, Ability.MUSIC)


def test_credits_are_a_read():
    """The balance is read without creating anything."""
    call = Evolink().build_credits()

    assert (call.request.method, call.request.path) == ("GET", "/v1/credits")
    assert call.request.repeatable is True
    assert call.parse(CASES["credits"].answer()).used == 135.9048


def test_service_is_where_the_specification_says():
    """Address, key variable and abilities are the service's."""
    evolink = Evolink()

    assert evolink.base_url == "https://api.evolink.ai"
    assert evolink.key_variable == "EVOLINK_API_KEY"
    assert evolink.abilities == {Ability.PERSONA, Ability.MUSIC, Ability.CREDITS}
