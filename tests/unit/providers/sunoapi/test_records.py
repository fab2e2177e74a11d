"""What a task of the sunoapi family tells: tracks, stems, and how it failed."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta

import attrs
import pytest

from personakit.errors import MalformedAnswer
from personakit.http.messages import Response
from personakit.models import Stems, Track
from personakit.providers.sunoapi import SunoApi
from personakit.providers.sunoapi.presets import KIE
from personakit.providers.sunoapi.records import read_failure
from personakit.receipt import Ability
from tests.unit.providers.recorded import load
from tests.unit.providers.sunoapi.reading import JOB, read

CASES = load("sunoapi")
MADE = datetime(2025, 12, 2, 15, 53, 14, 449_000, UTC)


def result(name):
    """Return what a recorded answer brings."""
    return read(CASES[name].read_as, CASES[name].answer()).result


def change(**members):
    """Return the result of a finished task whose one song has other members."""
    body = copy.deepcopy(CASES["read-success"].response["body"])
    body["data"]["response"]["sunoData"][0].update(members)
    return read("music", Response(200, {}, json.dumps(body).encode())).result[0]


def test_track_carries_everything_told():
    """A track has ids, links, names and length, its request's model, and its expiry."""
    [track] = result("read-success")

    assert track == Track(
        provider="sunoapi",
        job_id=JOB,
        track_id="11111111-2222-4333-8444-555555555555",
        audio_url="https://files.example.test/a.mp3",
        stream_url="https://files.example.test/a",
        image_url="https://files.example.test/a.jpeg",
        title="City Lights",
        style="electronic pop",
        duration=198.44,
        model="V5",
        lyrics="[Verse] city lights",
        expires_at=MADE + timedelta(days=14),
    )


def test_both_spellings_mean_the_same():
    """Members in snake_case, under the quickstart's name, make the same track."""
    [camel], [snake] = result("read-success"), result("read-success-in-snake-case")

    assert attrs.evolve(snake, expires_at=None) == attrs.evolve(camel, expires_at=None)
    assert snake.expires_at == datetime(2025, 1, 14, 16, tzinfo=UTC)


def test_links_of_kie_are_taken_to_live_a_day():
    """Where sources differ on how long a link lives, the shortest counts."""
    call = SunoApi(KIE).build_read(JOB, Ability.MUSIC)
    [track] = call.parse(CASES["read-success"].answer()).result

    assert track.expires_at == MADE + timedelta(hours=24)
    assert track.provider == "kie"


@pytest.mark.parametrize(
    ("members", "name", "expected"),
    [
        ({"prompt": "[Instrumental]"}, "lyrics", None),
        ({"prompt": ""}, "lyrics", None),
        ({"streamAudioUrl": ""}, "stream_url", None),
        ({"imageUrl": None}, "image_url", None),
        ({"createTime": "soon"}, "expires_at", None),
        ({"duration": None}, "duration", None),
        ({"title": "心中的光"}, "title", "心中的光"),
    ],
)
def test_what_is_empty_is_nothing(members, name, expected):
    """Empty members count as untold, and text is as it is."""
    assert getattr(change(**members), name) == expected


@pytest.mark.parametrize(
    "param", [None, "", "{", "[]", "7", '{"model": 7}', "[" * 100_000]
)
def test_model_of_the_upstream_where_the_request_is_not_told(param):
    """Without the stored request the track has the upstream's name of the model."""
    body = copy.deepcopy(CASES["read-success"].response["body"])
    body["data"]["param"] = param
    [track] = read("music", Response(200, {}, json.dumps(body).encode())).result

    assert track.model == "chirp-v5"


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"id": 7}, "$.data.response.sunoData[0].id"),
        ({"audioUrl": 7}, "$.data.response.sunoData[0].audioUrl"),
        ({"duration": "7"}, "$.data.response.sunoData[0].duration"),
    ],
)
def test_changed_songs_name_the_place(members, path):
    """A song that is not as documented is named by its place."""
    with pytest.raises(MalformedAnswer) as caught:
        change(**members)

    assert caught.value.path == path


def test_song_that_is_no_object():
    """A song of another type is told as such."""
    body = copy.deepcopy(CASES["read-success"].response["body"])
    body["data"]["response"]["sunoData"] = ["a"]
    with pytest.raises(MalformedAnswer) as caught:
        read("music", Response(200, {}, json.dumps(body).encode()))

    assert caught.value.path == "$.data.response.sunoData[0]"


def test_stems_have_names_and_an_expiry():
    """The parts have no ids of their own, and live as long as other tracks."""
    stems = result("stems-success")
    done = datetime(2025, 7, 29, 9, 55, 37, tzinfo=UTC)

    assert stems == Stems(
        Track(
            "sunoapi",
            JOB,
            f"{JOB}-vocals",
            audio_url="https://file.example.test/v.mp3",
            expires_at=done + timedelta(days=14),
        ),
        Track(
            "sunoapi",
            JOB,
            f"{JOB}-instrumental",
            audio_url="https://file.example.test/i.mp3",
            expires_at=done + timedelta(days=14),
        ),
    )
    assert result("stems-voice-alone").instrumental is None


@pytest.mark.parametrize("code", [None, "", " ", 7.5, [], {}])
def test_failure_without_a_code_has_the_status_for_one(code):
    """Where no number tells why, the status does."""
    error = read_failure("sunoapi", "FAILED", code, 7)

    assert error.code == "FAILED"
    assert error.message == (
        "sunoapi ended the job without a result: no reason was given"
    )


def test_long_reasons_are_cut():
    """A failed task that tells a novel is quoted briefly."""
    error = read_failure("sunoapi", "x" * 999, None, "y" * 9999)

    assert len(error.code) == 100
    assert len(error.message) < 600
