"""Details of tasks, without any server."""

from __future__ import annotations

import pytest

from personakit.emulator.clock import Clock
from personakit.emulator.services.sunoapi_records import callback_code, record, tracks
from personakit.emulator.state import Account, State
from personakit.emulator.tasks import Song, TaskError

SONGS = (
    Song("j", "a", "T", "pop", "V5", lyrics="la"),
    Song("j", "b", "T", "pop", "V5", instrumental=True),
)


@pytest.fixture
def state():
    clock = Clock(1.0)
    return State(clock, Account(clock, 100), seed=0)


def start(state, error=None):
    return state.order(
        "music", job_id="j", model="V5", price=1, songs=SONGS, error=error, seconds=100
    )


@pytest.mark.parametrize(
    ("moment", "status", "audio"),
    [
        (1, "PENDING", []),
        (60, "TEXT_SUCCESS", [False, False]),
        (95, "FIRST_SUCCESS", [True, False]),
        (101, "SUCCESS", [True, True]),
    ],
)
def test_tracks_come_one_by_one(state, moment, status, audio):
    """Final audio is told only when it is ready; streams come before."""
    task = start(state)
    state.clock.advance(moment)
    told = tracks(task, state, "http://h", "sunoData")

    assert record(task, state, "http://h", "sunoData")["status"] == status
    assert [bool(one["audioUrl"]) for one in told] == audio
    assert all(one["streamAudioUrl"].endswith("?stream=1") for one in told)


def test_instrumental_has_a_word_for_lyrics(state):
    """Nobody sings on the second track."""
    task = start(state)
    state.clock.advance(101)
    told = tracks(task, state, "http://h", "data")

    assert [one["prompt"] for one in told] == ["la", "[Instrumental]"]
    assert "createTime" in told[0]
    assert "model_name" in told[0]


@pytest.mark.parametrize(("code", "number"), [("531", 531), ("x", 500), (None, 500)])
def test_numbers_of_failures(state, code, number):
    """A failure has its own number, or the usual one."""
    task = start(state, code and TaskError(code, "No."))

    assert callback_code(task) == number


def test_failed_task_has_no_tracks(state):
    """What failed has nothing to tell but why."""
    task = start(state, TaskError("531", "No."))
    state.clock.advance(101)
    told = record(task, state, "http://h", "sunoData")

    assert told["response"] is None
    assert (told["errorCode"], told["errorMessage"]) == (531, "No.")
