"""Kept texts: what cannot be kept or read is as good as none, never a crash."""

from __future__ import annotations

import json

import pytest

from personakit import AudioFile, MusicRequest, TrackRef, UploadRequest
from personakit.archive import dump, load_request, load_result
from personakit.receipt import Ability


def test_text_is_short():
    """Only what differs from the default is written."""
    assert json.loads(dump(MusicRequest(idea="雨")) or "") == {"idea": "雨"}
    assert dump(None) is None


def test_files_are_not_kept():
    """The content of a file would be too much for a journal."""
    assert dump(UploadRequest(AudioFile("a.mp3", b"x" * 9))) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "7",
        '{"idea": "a", "weirdness": 9}',
        '{"idea": "a", "lyrics": "b"}',
        "null",
    ],
)
def test_damaged_request_is_none(text, caplog):
    """It is told to the log, and nobody stumbles over it."""
    assert load_request(Ability.MUSIC, text) is None
    assert "cannot be read" in caplog.text


def test_unknown_members_are_ignored():
    """A newer version may have written more."""
    text = '{"idea": "rain", "tempo": 90}'

    assert load_request(Ability.MUSIC, text) == MusicRequest(idea="rain")


@pytest.mark.parametrize("kind", [Ability.PERSONA, Ability.STEMS, Ability.UPLOAD])
def test_damaged_result_is_none(kind):
    """The same holds for results."""
    assert load_result(kind, '{"vocals": 3}') is None
    assert load_result(kind, None) is None


def test_ids_alone_stay_ids():
    """A reference does not become a track."""
    text = '{"source": {"job_id": "j", "track_id": "t"}}'
    loaded = load_request(Ability.STEMS, text)

    assert loaded is not None
    assert loaded.source == TrackRef("j", "t")
