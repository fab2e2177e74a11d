"""What MusicMint tells of tasks, clips and lists."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime

import pytest

from personakit.errors import MalformedAnswer
from personakit.http.messages import Response
from personakit.models import JobState, Listed, Snapshot, Track
from personakit.receipt import Ability
from tests.unit.providers.musicmint.reading import TASK, read
from tests.unit.providers.recorded import load

CASES = load("musicmint")


def change(**members):
    """Return the one track of a finished task whose clip has other members."""
    body = copy.deepcopy(CASES["read-completed"].response["body"])
    body["data"]["results"][0].update(members)
    return read("music", Response(200, {}, json.dumps(body).encode())).result[0]


def test_track_carries_everything_told():
    """A track has ids, links, names and length, and its expiry in milliseconds."""
    assert change() == Track(
        provider="musicmint",
        job_id=TASK,
        track_id="clip-abc123",
        audio_url="https://cdn.example.com/tob/gen/abc123.mp3",
        image_url="https://cdn.example.com/tob/gen/abc123.jpg",
        title="My Track",
        style="pop upbeat",
        duration=87.4,
        lyrics="An upbeat pop track",
        expires_at=datetime(2024, 3, 16, 16, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("members", "name", "expected"),
    [
        ({"expire_at": 0}, "expires_at", None),
        ({"expire_at": "soon"}, "expires_at", None),
        ({"expire_at": 10**30}, "expires_at", None),
        ({"prompt": None}, "lyrics", None),
        ({"prompt": ""}, "lyrics", None),
        ({"image_url": ""}, "image_url", None),
        ({"duration": None}, "duration", None),
        ({"title": "心中的光"}, "title", "心中的光"),
    ],
)
def test_what_is_empty_is_nothing(members, name, expected):
    """Empty members count as untold, 0 means that a link lives for ever."""
    assert getattr(change(**members), name) == expected


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"id": 7}, "$.data.results[0].id"),
        ({"audio_url": 7}, "$.data.results[0].audio_url"),
        ({"duration": "7"}, "$.data.results[0].duration"),
    ],
)
def test_changed_clips_name_the_place(members, path):
    """A clip that is not as documented is named by its place."""
    with pytest.raises(MalformedAnswer) as caught:
        change(**members)

    assert caught.value.path == path


def test_failure_quotes_the_service():
    """A failed task tells why in the service's words, or says that it did not."""
    told = read("music", CASES["read-failed"].answer()).failure
    silent = read("music", CASES["read-failed-silently"].answer()).failure

    assert told.message == (
        "musicmint ended the job without a result: Generation failed: all platforms "
        "unavailable"
    )
    assert silent.message.endswith("no reason was given")


def test_list_tells_states_without_results():
    """A page has the tasks' states in words and their dates; endless ids are none."""
    items = [
        {"id": TASK, "status": "completed", "created_at": 1710000000000},
        {"id": "b", "status": "dreaming"},
        {"id": "x" * 121, "status": "failed"},
    ]
    body = {"code": 0, "data": {"items": items, "total": 3, "page": 1}}
    told = read("jobs", Response(200, {}, json.dumps(body).encode()))

    assert told == (
        Listed(
            Ability.MUSIC,
            Snapshot(TASK, JobState.COMPLETED, "completed"),
            datetime(2024, 3, 9, 16, tzinfo=UTC),
        ),
        Listed(
            Ability.MUSIC,
            Snapshot("b", JobState.RUNNING, "dreaming", is_known_state=False),
        ),
    )
