"""The dialect's calls: which path, which verb, and what may be repeated."""

from __future__ import annotations

import json

import attrs
import pytest

from personakit.errors import InvalidRequest, Unsupported
from personakit.http.messages import FILE_TIMEOUT, READ_TIMEOUT, SUBMIT_TIMEOUT
from personakit.models import JobState, Persona, Snapshot, Track, TrackRef
from personakit.providers.base import Provider
from personakit.providers.sunoapi import SunoApi
from personakit.providers.sunoapi.presets import KIE, SUNOAPI_ORG
from personakit.receipt import Ability, Receipt
from personakit.requests import AudioFile, MusicRequest, PersonaRequest, UploadRequest

JOB = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
LINK = "https://x.example/a.mp3"


@pytest.mark.parametrize("preset", [SUNOAPI_ORG, KIE])
def test_it_is_a_provider(preset):
    """Whatever a client needs to know of a service is there."""
    made = SunoApi(preset)

    assert isinstance(made, Provider)
    assert (made.name, made.base_url) == (preset.name, preset.base_url)
    assert (made.files_url, made.key_variable) == (
        preset.files_url,
        preset.key_variable,
    )
    assert made.abilities == preset.abilities


def test_white_label_host():
    """Another host of the family is an evolved preset away."""
    here = attrs.evolve(KIE, base_url="https://api.apikley.ru", files_url=None)

    assert SunoApi(here).base_url == "https://api.apikley.ru"
    assert Ability.UPLOAD not in SunoApi(here).abilities


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (MusicRequest(idea="rain"), "/api/v1/generate"),
        (
            PersonaRequest(TrackRef("j", "t"), name="n", description="d"),
            "/api/v1/generate/generate-persona",
        ),
    ],
)
def test_submits_are_posts_never_repeated(request_, path):
    """What may cost something is sent once."""
    sent = SunoApi().build_submit(request_).request

    assert (sent.method, sent.path) == ("POST", path)
    assert (sent.repeatable, sent.timeout) == (False, SUBMIT_TIMEOUT)
    assert not sent.to_files


@pytest.mark.parametrize("kind", [Ability.MUSIC, Ability.EXTEND, Ability.COVER])
def test_songs_are_read_alike(kind):
    """Every task for songs is read at one path."""
    sent = SunoApi().build_read(JOB, kind).request

    assert (sent.method, sent.path) == (
        "GET",
        f"/api/v1/generate/record-info?taskId={JOB}",
    )
    assert (sent.repeatable, sent.timeout, sent.body) == (True, READ_TIMEOUT, None)


def test_stems_are_read_elsewhere():
    """Separations have a path of their own."""
    sent = SunoApi().build_read(JOB, Ability.STEMS).request

    assert sent.path == f"/api/v1/vocal-removal/record-info?taskId={JOB}"


@pytest.mark.parametrize("kind", [Ability.PERSONA, Ability.UPLOAD])
def test_what_was_answered_at_once_is_no_job(kind):
    """A persona or an upload cannot be read, because it never was a job."""
    with pytest.raises(InvalidRequest, match="kie makes no job of"):
        SunoApi(KIE).build_read(JOB, kind)


def test_receipts_that_tell_all():
    """The receipt of a persona is the persona, that of an upload its id."""

    def recall(kind, job_id="p1"):
        return SunoApi().recall(Receipt("sunoapi", kind, job_id=job_id))

    done = JobState.COMPLETED
    voice, file = Persona("p1", "sunoapi"), Track("sunoapi", "p1", "p1")
    assert recall(Ability.PERSONA) == Snapshot("p1", done, "success", result=voice)
    assert recall(Ability.UPLOAD) == Snapshot("p1", done, "success", result=file)
    assert recall(Ability.MUSIC) is None
    assert recall(Ability.PERSONA, None) is None


@pytest.mark.parametrize(
    ("preset", "path"),
    [(SUNOAPI_ORG, "/api/v1/generate/credit"), (KIE, "/api/v1/chat/credit")],
)
def test_balance(preset, path):
    """Each host tells the balance at its own path."""
    sent = SunoApi(preset).build_credits().request

    assert (sent.method, sent.path, sent.repeatable) == ("GET", path, True)


def test_upload_of_an_address():
    """The service fetches it, at the address that takes files; names never repeat."""
    first, second = (SunoApi(KIE).build_submit(UploadRequest(LINK)) for _ in "ab")
    body = json.loads(first.request.body)
    name = body.pop("fileName")

    assert first.request.path == "/api/file-url-upload"
    assert first.request.to_files
    assert not first.request.repeatable
    assert body == {"fileUrl": LINK, "uploadPath": "personakit"}
    assert len(name) == 32
    assert name not in second.request.body.decode()


def test_upload_of_a_file():
    """A file is sent whole, under a name of its own with the same ending."""
    request = UploadRequest(AudioFile("my song.MP3", b"sound"))
    sent = SunoApi(KIE).build_submit(request).request

    assert sent.path == "/api/file-stream-upload"
    assert (sent.to_files, sent.repeatable) == (True, False)
    assert sent.timeout == FILE_TIMEOUT
    assert sent.content_type.startswith("multipart/form-data; boundary=")
    assert b"sound" in sent.body
    assert b'name="uploadPath"\r\n\r\npersonakit\r\n' in sent.body
    assert b".MP3\r\n" in sent.body


def test_what_the_family_does_not_offer():
    """No list of jobs, and no address for a single track."""
    with pytest.raises(Unsupported, match="sunoapi does not offer jobs"):
        SunoApi().build_jobs(1)
    with pytest.raises(Unsupported, match="sunoapi does not offer track"):
        SunoApi().build_track("t")
