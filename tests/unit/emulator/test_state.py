"""Time, money and tasks, without any server."""

from __future__ import annotations

import asyncio
import random

import pytest

from personakit.emulator.state import (
    SPREADS,
    Charge,
    Clock,
    Song,
    Stage,
    State,
    Task,
    TaskError,
)

FAILURE = TaskError("service_error", "No.")


@pytest.fixture
def state():
    return State(clock=Clock(1.0), balance=100, seed=0)


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


def test_same_seed_same_durations():
    """The seed decides how long tasks take, whatever ids are asked for."""
    first = State(clock=Clock(1.0), balance=100, seed=7)
    second = State(clock=Clock(1.0), balance=100, seed=7)
    second.new_uuid()

    tasks = [each.order_music((song(),), price=10) for each in (first, second)]

    assert tasks[0].seconds == tasks[1].seconds
    assert tasks[0].bend == tasks[1].bend


def test_ledger(state):
    """Charges are taken at once; those of failed tasks come back when they fail."""
    state.order_music((song(),), price=10)
    state.order_persona("track-1", job_id="job-2", model="p", price=1, error=FAILURE)
    before = state.credits, state.charges
    state.clock.advance(45)

    assert before[0] == 89
    assert before[1] == (
        Charge("job-1", "music", 10, refunded=False),
        Charge("job-2", "persona", 1, refunded=False),
    )
    assert state.credits == 90
    assert state.charges[1] == Charge("job-2", "persona", 1, refunded=True)


def test_one_persona_per_song(state):
    """A song is taken while its persona task lives, and free when that failed."""
    state.order_persona("track-1", job_id="job-2", model="p", price=1)
    state.order_persona("track-2", job_id="job-3", model="p", price=1, error=FAILURE)
    before = [state.has_persona(f"track-{n}") for n in (1, 2, 3)]
    state.clock.advance(45)

    assert before == [True, True, False]
    assert [state.has_persona(f"track-{n}") for n in (1, 2, 3)] == [True, False, False]


def test_known_personas(state):
    """A persona is known when its task is completed, never when it failed."""
    good = state.order_persona("a", job_id="job-2", model="p", price=1)
    bad = state.order_persona("b", job_id="job-3", model="p", price=1, error=FAILURE)
    before = state.knows_persona(good.persona_id)
    state.clock.advance(45)

    assert not before
    assert state.knows_persona(good.persona_id)
    assert not state.knows_persona(bad.persona_id)
    assert not state.knows_persona("unknown")


def test_added_songs(state):
    """An added song costs nothing, and its persona is known at once."""
    finished = state.add_song(song(persona_id="p"), finished=True)
    state.add_song(song("job-2", "track-2"), finished=False)
    running = state.tasks["job-2"]

    assert state.songs["track-1"] is finished
    assert state.tasks["job-1"].stage(0.0) == Stage("completed", 100)
    assert running.stage(0.0) == Stage("pending", 0)
    assert running.end == 60
    assert state.charges == ()
    assert state.credits == 100
    assert state.knows_persona("p")


@pytest.mark.parametrize(
    ("speed", "music", "persona"), [(1.0, 60, 15), (7.0, 9, 3), (1000.0, 1, 1)]
)
def test_estimates(speed, music, persona):
    """Estimates are whole seconds of real time, rounded up, at least one."""
    state = State(clock=Clock(speed), balance=0, seed=0)

    assert (state.estimate("music"), state.estimate("persona")) == (music, persona)


def test_song_caches_its_audio():
    """A song is rendered once, and is as long as it says."""
    one = song()

    assert one.audio is one.audio
    assert one.duration == (len(one.audio) - 44) / 32_000


async def test_clock_follows_the_loop():
    """The service's clock runs faster than the loop's, and only while started."""
    clock = Clock(10.0)
    seen = [clock.now()]
    clock.start()
    await asyncio.sleep(3)
    seen.append(clock.now())
    clock.advance(100)
    seen.append(clock.now())
    clock.stop()
    await asyncio.sleep(3)
    seen.append(clock.now())

    assert seen == pytest.approx([0, 30, 130, 130])
    assert clock.unix(130) - clock.unix(0) == 130


@pytest.mark.parametrize("speed", [0, -1.0])
def test_impossible_speed(speed):
    """A clock that does not go forward is refused."""
    with pytest.raises(ValueError, match="speed must be above 0"):
        Clock(speed)


def test_no_way_back():
    """Skipped time cannot be negative."""
    with pytest.raises(ValueError, match="seconds must not be negative"):
        Clock(1.0).advance(-1)
