"""What MusicMint's answers to submits mean, case by recorded case."""

from __future__ import annotations

import copy
import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as some

from personakit.errors import OutcomeUnknown, PersonaKitError
from personakit.http.messages import Response
from personakit.models import JobState, Snapshot, Stems, Track
from personakit.providers.answers import ServiceError
from personakit.providers.musicmint.parse import find_error, finish_at_once, is_good
from tests.unit.providers.drift import ANY_JSON, drifted
from tests.unit.providers.musicmint.reading import PAID, read
from tests.unit.providers.recorded import (
    Case,
    check_error,
    check_value,
    load,
    parameters,
)

CASES = load("musicmint")


@pytest.mark.parametrize("case", parameters(CASES, failing=True))
def test_bad_answers(case: Case):
    """Every recorded bad answer is the error that it should be."""
    check_error(case, read, "musicmint")


@pytest.mark.parametrize("case", parameters(CASES, failing=False))
def test_good_answers(case: Case):
    """Every recorded good answer is read as it should be."""
    check_value(case, read)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"code": 0}, True),
        ({"code": False}, False),
        ({"code": 0.0}, False),
        ({"code": "0"}, False),
        ({"code": 200}, False),
        ({}, False),
        (None, False),
        ([0], False),
    ],
)
@pytest.mark.parametrize("status", [200, 404, 500])
def test_envelope_decides(data, expected, status):
    """Only the whole number 0 is good, whatever the HTTP status."""
    assert is_good(status, data) is expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (None, ServiceError()),
        ({"code": 0, "message": "ok"}, ServiceError(message="ok")),
        ({"code": 4005, "message": "gone"}, ServiceError("4005", message="gone")),
        ({"code": 404}, ServiceError("404")),
        ({"code": True}, ServiceError()),
        ({"code": "4005"}, ServiceError()),
    ],
)
def test_refusal_is_read_as_far_as_it_is_there(data, expected):
    """A code is a word of the service, never an HTTP status."""
    assert find_error(data) == expected


def test_stems_are_the_voice_alone():
    """The link and the length of the voice are told; there is no instrumental."""
    stems = read("stems", CASES["stems"].answer()).result

    assert stems == Stems(
        Track(
            "musicmint",
            "stem-abc123",
            "stem-abc123",
            audio_url="https://cdn.example.com/tob/stem/abc123_vocal.mp3",
            duration=87.4,
        )
    )


@pytest.mark.parametrize("members", [{"vocal_start_s": None}, {"vocal_end_s": "x"}])
def test_stems_of_unknown_length(members):
    """Without both ends the length is not claimed."""
    body = copy.deepcopy(CASES["stems"].response["body"])
    body["data"].update(members)
    told = read("stems", Response(200, {}, json.dumps(body).encode()))

    assert told.result.vocals.duration is None


def test_upload_is_a_track():
    """An upload is known by its clip id, as its own job."""
    track = read("upload", CASES["upload"].answer()).result

    assert track == Track(
        "musicmint",
        "abc123def456",
        "abc123def456",
        audio_url="https://cdn.example.com/audio/abc123def456.mp3",
        duration=30,
    )


@pytest.mark.parametrize(
    ("word", "ready", "is_known"),
    [("complete", "complete", True), (1, 1, True), (True, 2, False), (None, 1, False)],
)
def test_state_of_what_came_at_once(word, ready, is_known):
    """A state that is not "ready" is told, and takes nothing from the caller."""
    told = finish_at_once(Track("musicmint", "c", "c"), word, ready)

    assert (told.job_id, told.state) == ("c", JobState.COMPLETED)
    assert (told.service_state, told.is_known_state) == (str(word), is_known)


GOOD = sorted(name for name, case in CASES.items() if "body" in (case.response or {}))


@given(data=some.data(), name=some.sampled_from(GOOD))
def test_drift_is_an_error_or_ignored(data, name):
    """However an answer drifts, it is read or it is a known error, never a crash."""
    case = CASES[name]
    body = data.draw(drifted(copy.deepcopy(case.response["body"])))
    answer = attrs.evolve(case.answer(), body=json.dumps(body).encode())
    check_outcome(case.read_as, answer)


@given(status=some.integers(min_value=100, max_value=599), body=ANY_JSON)
@pytest.mark.parametrize(
    "how", ["persona", "submit", "stems", "upload", "music", "jobs"]
)
def test_any_json_is_an_error_or_a_value(how, status, body):
    """Whatever JSON comes under whatever status, only the two outcomes exist."""
    check_outcome(how, Response(status, {}, json.dumps(body).encode()))


def check_outcome(how, answer):
    """Read, and hold whatever comes of it against what must always be true."""
    try:
        told = read(how, answer)
    except PersonaKitError as error:
        told = error

    assert isinstance(told, Snapshot | Track | tuple | PersonaKitError)
    if isinstance(told, Snapshot):
        assert (told.result is not None) is (told.state is JobState.COMPLETED)
    if isinstance(told, PersonaKitError) and how in PAID:
        assert told.charged == ("unknown" if type(told) is OutcomeUnknown else "no")
        assert not told.retry_safe or told.charged == "no"
    if isinstance(told, PersonaKitError) and how not in PAID:
        assert not isinstance(told, OutcomeUnknown)
