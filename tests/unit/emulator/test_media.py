"""Files of songs, without any server."""

from __future__ import annotations

import attrs
import pytest
from multidict import CIMultiDict

from personakit.emulator.clock import Clock
from personakit.emulator.media import Media, link, picture
from personakit.emulator.state import Account, State
from personakit.emulator.tasks import Song
from personakit.emulator.traffic import Answer, Query

SONG = Song("job-1", "track-1", "Title", "pop", "m", life=100)


@pytest.fixture
def state():
    clock = Clock(1.0)
    return State(clock, Account(clock, 0), seed=0)


def fetch(state, kind, track_id="track-1", expired=441):
    """Fetch one file, and return status and beginning of the answer."""
    media = Media(state, lambda status: Answer(status, b"", {}), expired)
    [route] = [one for one in media.routes if one.path.endswith(kind)]
    answer = route.work(
        Query("", "GET", "", {"track_id": track_id}, {}, CIMultiDict(), b"")
    )
    return answer.status, answer.body[:4]


def test_finished_song_has_its_files(state):
    """Audio and picture are there once the task is completed."""
    state.add_song(SONG, finished=True)
    state.clock.advance(1)

    assert fetch(state, "wav") == (200, b"RIFF")
    assert fetch(state, "png") == (200, b"\x89PNG")


@pytest.mark.parametrize("kind", ["wav", "png"])
def test_what_is_not_there(state, kind):
    """An unknown or unfinished song has none."""
    state.add_song(attrs.evolve(SONG, job_id="j2"), finished=False)

    assert fetch(state, kind) == (404, b"")
    assert fetch(state, kind, "unknown") == (404, b"")


def test_expired_audio(state):
    """After its life the audio is gone by the service's own status."""
    state.add_song(SONG, finished=True)
    state.clock.advance(1000)

    assert fetch(state, "wav") == (441, b"")


def test_addresses():
    """Links name the track."""
    assert link("http://h/s", SONG) == "http://h/s/media/track-1.wav"
    assert picture("http://h/s", SONG) == "http://h/s/media/track-1.png"
