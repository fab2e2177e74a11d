"""Windows: what an account has room for, by any clock."""

from __future__ import annotations

import math

import pytest

from personakit.ratelimit.limiter import (
    FIRST_PAUSE,
    LONGEST_ASKED,
    LONGEST_PAUSE,
    SLACK,
    SlidingWindow,
)
from personakit.ratelimit.limits import UNKNOWN, Limit


def test_room_is_what_the_period_leaves():
    """What is under way counts, and what ended within the period."""
    window = SlidingWindow(Limit(3, 10), 3)
    window.release(100.0)

    assert window.find_room(100.0, held=1) == 1
    assert window.find_room(100.0, held=2) == 0
    assert window.find_pause(100.0, held=2) == pytest.approx(10 + SLACK)
    assert window.find_pause(100.0, held=1) == 0
    assert window.find_room(110.1, held=2) == 1


def test_without_an_end_in_sight():
    """Where all places are under way, nobody can tell when one is left."""
    assert SlidingWindow(Limit(2, 10), 2).find_pause(0.0, held=2) == math.inf


def test_no_limit_has_room_for_all():
    """Until a service refuses something, everything may be asked."""
    assert SlidingWindow(UNKNOWN).find_room(0.0, held=1000) == math.inf


def test_refusal_closes_and_teaches():
    """A refusal closes for a while, and shows how many there is room for."""
    window = SlidingWindow(UNKNOWN)
    for time in range(5):
        window.release(float(time))
    window.back_off(5.0, None)
    window.back_off(5.1, None)  # sent together with the first

    assert window.find_room(5.5, held=0) == 0
    assert window.find_pause(5.5, held=0) == pytest.approx(FIRST_PAUSE - 0.4)
    assert (window.count, window.refusals) == (5, 1)
    assert window.find_room(12.5, held=0) == 3


def test_calm_period_allows_one_more():
    """After a period without a refusal there is room for one more."""
    window = SlidingWindow(
        UNKNOWN, count=2.0, closed_until=1.0, refusals=3, changed_at=0.0
    )
    window.release(5.0)
    before = window.count
    window.release(11.0)

    assert (before, window.count, window.refusals) == (2.0, 3.0, 0)


def test_pauses_are_bounded():
    """However often and long the service refuses, it is asked again soon."""
    window, now = SlidingWindow(UNKNOWN), 0.0
    for _ in range(50):
        window.back_off(now, None)
        now = window.closed_until
    last = now
    window.back_off(now, 3600.0)

    assert window.closed_until - last == LONGEST_ASKED
    assert last <= 50 * LONGEST_PAUSE


def test_tiny_retry_after_causes_no_flood():
    """A Retry-After of next to nothing counts as none: pauses grow as without."""
    window, now, sent = SlidingWindow(UNKNOWN), 0.0, 0
    while now < 60:
        window.back_off(now, 1e-6)
        now, sent = window.closed_until, sent + 1

    assert sent <= 7


def test_plausible_retry_after_is_kept():
    """The service's own word counts, up to a minute."""
    window = SlidingWindow(UNKNOWN)
    window.back_off(0.0, 5.0)

    assert window.find_pause(0.0, held=0) == 5
