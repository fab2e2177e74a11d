"""Values check themselves when they are built."""

from __future__ import annotations

import math

import pytest

from personakit.errors import InvalidRequest, PersonaKitError
from personakit.models import (
    Credits,
    JobState,
    Persona,
    Snapshot,
    TrackRef,
    VocalWindow,
)

SOURCE = TrackRef("task-unified-1", "4fcc4507-a7ae-4441-ad8a-465c2f61d5bb")
VOICE = Persona("p1", "evolink")

Q, R, C, F, X = JobState
STEPS = {
    Q: {Q, R, C, F, X},
    R: {R, C, F, X},
    C: {C},
    F: {F},
    X: {X},
}


@pytest.mark.parametrize("before", JobState)
@pytest.mark.parametrize("after", JobState)
def test_states_step_forward_only(before, after):
    """A state follows itself and earlier ones, and nothing follows an end."""
    assert before.can_become(after) is (after in STEPS[before])


@pytest.mark.parametrize("state", JobState)
def test_ends_are_final(state):
    """Completed, failed and cancelled are the ends."""
    assert state.is_final is (state in {C, F, X})


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (-1, 9, "start must be a number from 0"),
        (0, -1, "end must be a number from 0"),
        ("0", 9, "start must be"),
        (0, None, "end must be"),
        (True, 9, "start must be"),
        (math.nan, 9, "start must be"),
        (0, math.inf, "end must be"),
        (9, 9, "window must end after it starts"),
        (9, 8, "window must end after it starts"),
    ],
)
def test_window(start, end, message):
    """A window has two numbers of seconds in their order."""
    with pytest.raises(InvalidRequest, match=message):
        VocalWindow(start, end)


@pytest.mark.parametrize(
    ("start", "end", "length"), [(15, 35, 20), (10.2, 40.2, 30), (0.1, 0.3, 0.2)]
)
def test_window_has_a_decimal_length(start, end, length):
    """The length is free of the noise of binary fractions."""
    assert VocalWindow(start, end).length == length


@pytest.mark.parametrize(
    ("balance", "spendable"),
    [
        (Credits(10), 10),
        (Credits(10, key_remaining=3), 3),
        (Credits(2, key_remaining=3), 2),
        (Credits(2, key_remaining=0), 0),
    ],
)
def test_spendable_is_the_lesser(balance, spendable):
    """What can be spent is bounded by account and key."""
    assert balance.spendable == spendable


@pytest.mark.parametrize(
    ("more", "is_settled"),
    [
        ({}, False),
        ({"result": VOICE}, True),
        ({"failure": PersonaKitError("no")}, True),
    ],
)
def test_settled_is_what_has_an_outcome(more, is_settled):
    """A reading is settled once it has a result or a failure, whatever its state."""
    assert Snapshot("j", JobState.COMPLETED, "done", **more).is_settled is is_settled
