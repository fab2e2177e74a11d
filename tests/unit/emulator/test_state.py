"""Money and memory, without any server."""

from __future__ import annotations

import attrs
import pytest

from personakit.emulator.clock import Clock
from personakit.emulator.state import Account, Charge, State
from personakit.emulator.tasks import Song, Stage, TaskError

FAILURE = TaskError("service_error", "No.")


def make(speed=1.0, balance=100, seed=0):
    clock = Clock(speed)
    return State(clock, Account(clock, balance), seed=seed)


@pytest.fixture
def state():
    return make()


def song(job_id="job-1", track_id="track-1", persona_id=None):
    return Song(job_id, track_id, "Title", "pop", "suno-v5-beta", persona_id)


def test_same_seed_same_durations():
    """The seed decides how long tasks take, whatever ids are asked for."""
    first = make(seed=7)
    second = make(seed=7)
    second.new_uuid()

    tasks = [
        each.order("music", job_id="job-1", model="m", price=10)
        for each in (first, second)
    ]

    assert tasks[0].seconds == tasks[1].seconds
    assert tasks[0].bend == tasks[1].bend


def test_ledger(state):
    """Charges are taken at once; those of failed tasks come back when they fail."""
    state.order("music", job_id="job-1", model="m", price=10)
    state.order_persona("track-1", job_id="job-2", model="p", price=1, error=FAILURE)
    before = state.account.credits, state.account.charges
    state.clock.advance(45)

    assert before[0] == 89
    assert before[1] == (
        Charge("job-1", "music", 10, refunded=False),
        Charge("job-2", "persona", 1, refunded=False),
    )
    assert state.account.credits == 90
    assert state.account.charges[1] == Charge("job-2", "persona", 1, refunded=True)


def test_one_persona_per_song(state):
    """A song is taken while its persona task lives, and free when that failed."""
    state.order_persona("track-1", job_id="job-2", model="p", price=1)
    state.order_persona("track-2", job_id="job-3", model="p", price=1, error=FAILURE)
    before = [bool(state.find_persona(f"track-{n}")) for n in (1, 2, 3)]
    state.clock.advance(45)

    assert before == [True, True, False]
    after = [bool(state.find_persona(f"track-{n}")) for n in (1, 2, 3)]
    assert after == [True, False, False]


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
    assert state.account.charges == ()
    assert state.account.credits == 100
    assert state.knows_persona("p")


@pytest.mark.parametrize(
    ("speed", "music", "persona"), [(1.0, 60, 15), (7.0, 9, 3), (1000.0, 1, 1)]
)
def test_estimates(speed, music, persona):
    """Estimates are whole seconds of real time, rounded up, at least one."""
    state = make(speed)

    assert (state.estimate("music"), state.estimate("persona")) == (music, persona)


def test_audio_is_kept_for_its_life(state):
    """A song's audio is there until its life after the end of its task is over."""
    kept = attrs.evolve(song(), life=100)
    state.order("music", job_id="job-1", model="m", price=0, songs=(kept,), seconds=50)
    state.clock.advance(150)
    before = state.is_kept(kept)
    state.clock.advance(0.5)

    assert before
    assert not state.is_kept(kept)
    assert state.is_kept(state.add_song(song("job-2", "track-2"), finished=True))


def test_what_is_done_at_once(state):
    """A task of no length is completed when it is ordered."""
    done = state.order_persona(
        "a", job_id="j", model="p", price=0, seconds=0, persona_id="persona-1"
    )

    assert done.persona_id == state.find_persona("a") == "persona-1"
    assert done.stage(state.clock.now()) == Stage("completed", 100)
    assert state.knows_persona("persona-1")


def test_services_share_one_account():
    """What one service charges, the other cannot spend."""
    clock = Clock(1.0)
    account = Account(clock, 100)
    first, second = State(clock, account, seed="a"), State(clock, account, seed="b")
    first.order("music", job_id="job-1", model="m", price=10)
    second.order("stems", job_id="job-2", model="m", price=5, memo={"a": 1})

    assert account.credits == 85
    assert [one.kind for one in account.charges] == ["music", "stems"]
    assert first.tasks.keys() == {"job-1"}
    assert second.tasks["job-2"].memo == {"a": 1}
