"""kie.ai's newer form: one path, snake_case, and every operation a job."""

from __future__ import annotations

import json

import pytest

from personakit.errors import Unsupported
from personakit.models import Persona, Track, TrackRef, VocalWindow
from personakit.providers.base import Provider
from personakit.providers.sunoapi.jobs import KieJobs
from personakit.receipt import Ability, Receipt
from personakit.requests import (
    CoverRequest,
    ExtendRequest,
    MashupRequest,
    MusicRequest,
    PersonaRequest,
    StemsRequest,
)
from tests.unit.providers.refusals import check_refusal

LINK = "https://x.example/a.mp3"
SOURCE = Track("kie-jobs", "j", "t", audio_url=LINK, duration=60, model="V5")
SONG = {"lyrics": "la", "style": "s", "title": "t"}


def build(request, **more):
    """Build the body of a request."""
    sent = KieJobs().build_submit(request, **more).request
    assert (sent.method, sent.path) == ("POST", "/api/v1/jobs/createTask")
    assert not sent.repeatable
    return json.loads(sent.body)


def test_it_is_a_provider():
    """It lives where the classic form does, with the same key."""
    made = KieJobs()

    assert isinstance(made, Provider)
    assert (made.base_url, made.key_variable) == ("https://api.kie.ai", "KIE_API_KEY")


def test_persona_is_a_job():
    """A persona goes the way of all jobs, in snake_case."""
    request = PersonaRequest(
        TrackRef("j", "t"), name="n", description="d", window=VocalWindow(0, 30)
    )

    assert build(request) == {
        "model": "ai-music-api/generate-persona",
        "input": {
            "task_id": "j",
            "audio_id": "t",
            "name": "n",
            "description": "d",
            "vocal_start": 0,
            "vocal_end": 30,
        },
    }


@pytest.mark.parametrize(
    ("request_", "model"),
    [
        (MusicRequest(**SONG), "generate"),
        (CoverRequest(SOURCE, **SONG), "upload-and-cover-audio"),
        (MashupRequest(SOURCE, LINK, **SONG), "mashup"),
        (ExtendRequest(SOURCE, at=3, **SONG), "extend"),
        (ExtendRequest(LINK, at=3), "upload-and-extend-audio"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_operations_have_models(request_, model):
    """What is wanted is named by a model, and all fields are in snake_case."""
    body = build(request_)

    assert body["model"] == f"ai-music-api/{model}"
    assert all(name == name.lower() for name in body["input"])
    assert "callBackUrl" not in body


def test_usual_model_is_the_form_s():
    """Unless told otherwise, a song is made by V6; an extension by its source's."""
    voice = Persona("p", "kie-jobs")
    body = build(MusicRequest(**SONG, persona=voice))

    assert body["input"]["model"] == "V6"
    assert body["input"]["persona_id"] == "p"
    assert build(MusicRequest(**SONG, model="V5"))["input"]["model"] == "V5"
    assert build(ExtendRequest(SOURCE))["input"]["model"] == "V5"


def test_address_for_reports_is_optional():
    """It is sent beside the input, and only where there is one."""
    body = build(MusicRequest(idea="rain"), callback_url="https://a.b/c")

    assert body["callBackUrl"] == "https://a.b/c"
    assert "callback" not in json.dumps(body["input"]).lower()


def test_rules_are_those_of_kie():
    """What kie refuses or ignores is refused here, too."""
    request = PersonaRequest(
        TrackRef("j", "t"), name="n", description="d", window=VocalWindow(0, 9)
    )
    check_refusal(lambda: build(request), "window", "10 to 30 s")


def test_reading_and_balance():
    """Jobs are read at one path whatever they are for; credits are kie's."""
    made = KieJobs()

    assert made.build_read("a b", Ability.PERSONA).request.path == (
        "/api/v1/jobs/recordInfo?taskId=a%20b"
    )
    assert made.build_credits().request.path == "/api/v1/chat/credit"
    assert made.recall(Receipt("kie-jobs", Ability.PERSONA, job_id="j")) is None


@pytest.mark.parametrize(
    "build_it",
    [
        lambda made: made.build_submit(StemsRequest(SOURCE)),
        lambda made: made.build_jobs(1),
        lambda made: made.build_track("t"),
    ],
)
def test_what_it_does_not_offer(build_it):
    """What is not known of the form is refused by name."""
    with pytest.raises(Unsupported, match="kie-jobs does not offer"):
        build_it(KieJobs())
