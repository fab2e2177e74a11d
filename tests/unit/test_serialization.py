"""Kept texts: what cannot be kept or read is as good as none, never a crash."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from personakit import (
    AudioFile,
    ContentRefused,
    ExtendRequest,
    JobFailed,
    MusicRequest,
    Track,
    TrackRef,
    UploadRequest,
)
from personakit.receipt import Ability, Receipt
from personakit.serialization import (
    dump,
    dump_failure,
    load_failure,
    load_request,
    load_result,
    make_fingerprint,
)

TRACK = Track("evolink", "j", "t", expires_at=datetime(2026, 11, 24, tzinfo=UTC))


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


@pytest.mark.parametrize("source", ["https://x.example/a.mp3", TRACK, TRACK.ref])
def test_sources_come_back(source):
    """An address, a track with its dates, and the ids of one stay what they are."""
    request = ExtendRequest(source, at=2.5, idea="more")

    assert load_request(Ability.EXTEND, dump(request)) == request
    assert load_result(Ability.MUSIC, dump((TRACK,))) == (TRACK,)


def test_fingerprints_tell_requests_apart():
    """The same request has the same digest; a file counts with its content."""
    upload = UploadRequest(AudioFile("a.mp3", b"x" * 9))
    other = UploadRequest(AudioFile("a.mp3", b"y" * 9))
    by_address = UploadRequest("https://x.example/a.mp3")
    requests = (MusicRequest(idea="a"), MusicRequest(idea="b"), upload, other)
    digests = {make_fingerprint(one) for one in (*requests, by_address)}

    assert len(digests) == 5
    assert make_fingerprint(MusicRequest(idea="a")) in digests
    assert {len(digest) for digest in digests} == {32}


def test_failures_come_back():
    """Kind, text, code and money of a failure are kept, but not its receipt."""
    receipt = Receipt("evolink", Ability.MUSIC)
    failure = ContentRefused(
        "No \ud800.", code="E7", status=400, retry_safe=False, receipt=receipt
    )
    text = dump_failure(failure)
    read = load_failure(text)

    assert text.isascii()
    assert isinstance(read, ContentRefused)
    assert (read.message, read.code, read.status) == (failure.message, "E7", 400)
    assert (read.charged, read.receipt) == (failure.charged, None)


def test_failure_of_a_newer_version_is_a_failed_job():
    """A kind that this version does not know is a failure all the same."""
    read = load_failure('{"error": "OutOfTune", "message": "Flat."}')

    assert type(read) is JobFailed
    assert read.message == "Flat."


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "[]",
        "{}",
        "[" * 100_000,
        '{"error": 7}',
        '{"error": "JobFailed", "mood": "sad"}',
        '{"error": "invalid", "message": "x"}',
        '{"error": "annotations"}',
    ],
)
def test_damaged_failure_is_a_failed_job(text, caplog):
    """It is reported in the log, and nothing is raised."""
    read = load_failure(text)

    assert type(read) is JobFailed
    assert "cannot be read" in str(read)
    assert "cannot be read" in caplog.text
