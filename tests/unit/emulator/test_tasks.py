"""What a service makes, without any service."""

from __future__ import annotations

import random

import pytest

from personakit.emulator.tasks import SPREADS, Song, Stage, Task, TaskError

FAILURE = TaskError("service_error", "No.")


def song(job_id="job-1", track_id="track-1", persona_id=None):
    return Song(job_id, track_id, "Title", "pop", "suno-v5-beta", persona_id)


def task(**changes):
    given = {"id": "job-1", "kind": "music", "model": "m", "created": 100.0}
    return Task(**{**given, "seconds": 50.0, **changes})


@pytest.mark.parametrize(
    ("now", "stage"),
    [
        (100.0, Stage("pending", 0)),
        (102.9, Stage("pending", 0)),
        (103.1, Stage("processing", 1)),
        (126.5, Stage("processing", 50)),
        (149.9, Stage("processing", 98)),
        (150.0, Stage("completed", 100)),
        (9e9, Stage("completed", 100)),
    ],
)
def test_stages(now, stage):
    """A task waits, works and is completed, all by the clock."""
    assert task().stage(now) == stage


@pytest.mark.parametrize("bend", [0.6, 1.0, 1.4])
def test_progress_only_rises(bend):
    """Progress rises from 1 to less than 100, by a curve of the task's own."""
    seen = [task(bend=bend).stage(103 + step / 10).progress for step in range(1, 470)]

    assert seen == sorted(seen)
    assert 1 <= seen[0] < seen[-1] < 100
    assert (seen[235] > 52, seen[235] < 48) == (bend < 1, bend > 1)


def test_failure():
    """A doomed task works like any other until it fails with progress 0."""
    doomed = task(error=FAILURE)

    assert doomed.stage(149.9) == Stage("processing", 98)
    assert doomed.stage(150.0) == Stage("failed", 0)
    assert not doomed.has_failed(149.9)
    assert doomed.has_failed(150.0)
    assert not task().has_failed(150.0)


@pytest.mark.parametrize(
    ("kind", "shortest", "median", "longest"),
    [("music", 15, 60, 180), ("persona", 6, 15, 45)],
)
def test_durations(kind, shortest, median, longest):
    """Durations lie around the median and inside the bounds."""
    dice = random.Random(0)
    drawn = sorted(SPREADS[kind].draw(dice) for _ in range(999))

    assert shortest <= drawn[0]
    assert drawn[-1] <= longest
    assert drawn[499] == pytest.approx(median, rel=0.05)


def test_song_caches_its_audio():
    """A song is rendered once, and is as long as it says."""
    one = song()

    assert one.audio is one.audio
    assert one.duration == (len(one.audio) - 44) / 32_000
