"""The dialect's calls: which path, which verb, and what may be repeated."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from personakit.errors import InvalidRequest, MalformedAnswer, Unsupported
from personakit.http.messages import SUBMIT_TIMEOUT, Request, Response
from personakit.models import JobState, Listed, Snapshot, TrackRef
from personakit.providers.evolink import Evolink
from personakit.receipt import Ability, Receipt
from personakit.requests import MusicRequest, PersonaRequest
from tests.unit.providers.evolink.cases import CASES, MUSIC_JOB, PERSONA_JOB


def test_submit_is_one_post_never_repeated():
    """Every job starts at one path, and its request is not repeatable."""
    call = Evolink().build_submit(MusicRequest(idea="rain"))

    assert (call.request.method, call.request.path) == (
        "POST",
        "/v1/audios/generations",
    )
    assert call.request.repeatable is False
    assert call.request.timeout == SUBMIT_TIMEOUT == 90.0
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
    assert call.request.timeout == 30.0
    assert call.parse(CASES[name].answer()).state is JobState.COMPLETED


@pytest.mark.parametrize(
    "job_id",
    [
        "",
        "x",
        "task-unified-",
        "task-unified-1?a=b",
        "task-unified-1/../../credits",
        "task-unified-1\n",
        "task-unified-é",
        " task-unified-1",
    ],
)
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
    assert evolink.files_url is None
    assert evolink.abilities == {
        Ability.PERSONA,
        Ability.MUSIC,
        Ability.JOBS,
        Ability.CREDITS,
    }


def test_list_is_a_read():
    """Tasks are listed in pages; lines without the id of a task are left out."""
    call = Evolink().build_jobs(2)
    lines = [
        {"id": MUSIC_JOB, "model": "suno-v5-beta", "status": "processing"},
        {"id": PERSONA_JOB, "model": "suno-persona", "status": "odd", "created_at": 0},
        {"id": "task-unified-1-image", "model": "z-image", "status": "completed"},
        {"id": "chatcmpl-1", "model": "gpt", "status": "completed"},
    ]
    body = json.dumps({"data": lines, "total": 4, "page": 2}).encode()
    first, second, third = call.parse(Response(200, {}, body))

    assert call.request == Request("GET", "/v1/tasks?page=2&page_size=50")
    assert first == Listed(
        Ability.MUSIC,
        Snapshot(MUSIC_JOB, JobState.RUNNING, "processing"),
        model="suno-v5-beta",
    )
    assert (second.kind, third.kind) == (Ability.PERSONA, None)
    assert second.created_at == datetime(1970, 1, 1, tzinfo=UTC)
    assert not second.snapshot.is_known_state


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"data": [{"id": 7}]}'])
def test_list_that_changed_is_an_error(body):
    """A list of another shape is told as such."""
    with pytest.raises(MalformedAnswer):
        Evolink().build_jobs(1).parse(Response(200, {}, body))


def test_what_evolink_does_not_tell():
    """Tracks have no address of their own, and no receipt tells an end by itself."""
    receipt = Receipt("evolink", Ability.PERSONA, job_id=PERSONA_JOB)
    with pytest.raises(Unsupported, match="evolink does not offer track"):
        Evolink().build_track("t")

    assert Evolink().recall(receipt) is None


def test_callback_goes_with_music_only():
    """An address for callbacks is sent where it is documented, and not for personas."""
    told = {"callback_url": "https://hooks.example/a"}
    source = TrackRef(MUSIC_JOB, "4fcc4507-a7ae-4441-ad8a-465c2f61d5bb")
    song = Evolink().build_submit(MusicRequest(idea="rain"), **told)
    request = PersonaRequest(source, name="n", description="d")
    persona = Evolink().build_submit(request, **told)

    assert json.loads(song.request.body)["callback_url"] == "https://hooks.example/a"
    assert b"callback" not in persona.request.body
