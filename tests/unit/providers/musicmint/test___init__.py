"""The dialect's calls, and how it learns by which verb a task is read."""

from __future__ import annotations

import json

import pytest

from personakit.errors import InvalidRequest, NotFound, PersonaKitError, Unsupported
from personakit.http.messages import Request, Response
from personakit.models import JobState, Persona, Snapshot, Stems, Track
from personakit.providers.base import Provider
from personakit.providers.musicmint import MusicMint
from personakit.receipt import JOB_ID_LIMIT, Ability, Receipt
from tests.unit.providers.musicmint.reading import TASK
from tests.unit.providers.recorded import load
from tests.unit.providers.refusals import check_refusal

CASES = load("musicmint")


def ask(mint, case=None, status=200):
    """Read a task once, and return the verb that was used."""
    call = mint.build_read(TASK, Ability.MUSIC)
    answer = Response(status, {}, b"") if case is None else CASES[case].answer()
    try:
        call.parse(answer)
    except PersonaKitError as error:
        return call.request.method, type(error).__name__
    return call.request.method, None


def test_it_is_a_provider():
    """No address is published, and so none is assumed."""
    made = MusicMint()

    assert isinstance(made, Provider)
    assert (made.name, made.base_url, made.files_url) == ("musicmint", None, None)
    assert made.key_variable == "MUSICMINT_API_KEY"


def test_task_is_read_as_the_specification_says():
    """The first reading is a GET without a body."""
    call = MusicMint().build_read(TASK, Ability.COVER)

    assert call.request == Request("GET", f"/api/v1/task/{TASK}")


@pytest.mark.parametrize("status", [404, 405])
def test_other_verb_is_tried_and_remembered(status):
    """Where GET leads nowhere, POST with an empty object does, from then on."""
    mint = MusicMint()
    seen = [ask(mint, status=status)[0], ask(mint, "read-processing")[0]]
    call = mint.build_read(TASK, Ability.MUSIC)

    assert seen == ["GET", "POST"]
    assert (call.request.method, call.request.body) == ("POST", b"{}")
    assert call.request.repeatable


def test_verb_that_works_is_kept():
    """Once a reading went well, a missing task is just missing."""
    mint = MusicMint()

    assert ask(mint, "read-queuing") == ("GET", None)
    assert ask(mint, status=404) == ("GET", "NotFound")
    assert ask(mint, status=405) == ("GET", "ServiceUnavailable")
    assert ask(mint, "read-completed") == ("GET", None)


def test_verbs_alternate_until_one_works():
    """A task that is not there yet leaves the question of the verb open."""
    mint = MusicMint()
    seen = [ask(mint, status=404), ask(mint, status=404), ask(mint, "read-4001")]

    assert seen == [("GET", "NotFound"), ("POST", "NotFound"), ("GET", "NotFound")]
    assert ask(mint, "read-queuing") == ("POST", None)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_weather_turns_nothing(status):
    """Other failures say nothing of the verb."""
    mint = MusicMint()

    assert [ask(mint, status=status)[0] for _ in "ab"] == ["GET", "GET"]


def test_clients_learn_alone():
    """What one dialect has learned, another does not know."""
    first, second = MusicMint(), MusicMint()
    ask(first, status=405)

    assert second.build_read(TASK, Ability.MUSIC).request.method == "GET"
    assert first == second


@pytest.mark.parametrize(
    ("job_id", "path"),
    [("a/b?c#d", "a%2Fb%3Fc%23d"), ("../x", "..%2Fx"), ("é", "%C3%A9")],
)
def test_id_never_leaves_its_place(job_id, path):
    """Whatever an id holds, it stays one step of the path."""
    mint = MusicMint()

    assert mint.build_read(job_id, Ability.MUSIC).request.path == f"/api/v1/task/{path}"
    assert mint.build_track(job_id).request.path == f"/api/v1/music/{path}"


@pytest.mark.parametrize("value", ["", " ", "a\nb", "a" * (JOB_ID_LIMIT + 1)])
def test_what_is_no_id(value):
    """Blank, unprintable or endless text is no id."""
    mint = MusicMint()
    check_refusal(lambda: mint.build_read(value, Ability.MUSIC), "job_id", "must be an")
    check_refusal(lambda: mint.build_track(value), "track_id", "must be an id")


@pytest.mark.parametrize("kind", [Ability.PERSONA, Ability.STEMS, Ability.UPLOAD])
def test_what_was_answered_at_once_is_no_job(kind):
    """It cannot be read, because it never was a job."""
    with pytest.raises(InvalidRequest, match="musicmint makes no job of"):
        MusicMint().build_read("x", kind)


def test_receipts_that_tell_all():
    """Of what came at once the receipt holds the id, and for stems nothing more."""

    def recall(kind, job_id="x1"):
        told = MusicMint().recall(Receipt("musicmint", kind, job_id=job_id))
        return told and told.result

    track = Track("musicmint", "x1", "x1")
    assert recall(Ability.PERSONA) == Persona("x1", "musicmint")
    assert recall(Ability.UPLOAD) == track
    assert recall(Ability.STEMS) == Stems(track)
    assert recall(Ability.MUSIC) is None
    assert recall(Ability.PERSONA, None) is None


def test_persona_of_a_receipt_is_final():
    """What a receipt tells needs no reading."""
    told = MusicMint().recall(Receipt("musicmint", Ability.PERSONA, job_id="x1"))

    assert told == Snapshot(
        "x1", JobState.COMPLETED, "complete", result=Persona("x1", "musicmint")
    )


def test_lists_and_clips_are_reads():
    """Both are POSTs that cost nothing, so that they may be repeated."""
    jobs = MusicMint().build_jobs(3).request
    clip = MusicMint().build_track("clip-abc123").request

    assert (jobs.method, jobs.path, jobs.repeatable) == ("POST", "/api/v1/tasks", True)
    assert json.loads(jobs.body) == {"page": 3, "page_size": 100}
    assert (clip.path, clip.body) == ("/api/v1/music/clip-abc123", b"{}")
    assert clip.repeatable


def test_expired_clip():
    """A clip that is gone is not found."""
    with pytest.raises(NotFound, match="Music result has expired"):
        MusicMint().build_track("clip-abc123").parse(CASES["track-4005"].answer())


def test_balance_is_not_told():
    """No page tells of credits."""
    with pytest.raises(Unsupported, match="musicmint does not offer credits"):
        MusicMint().build_credits()
