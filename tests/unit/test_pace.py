"""When to look next: arithmetic without a clock."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as some

from personakit.pace import Pace, Sighting

SECONDS = some.floats(min_value=0, max_value=1e6)
SIGHTINGS = some.builds(
    Sighting,
    age=SECONDS,
    estimate=some.none() | some.floats(min_value=-1e6, max_value=1e6),
    failures=some.integers(min_value=0, max_value=10**6),
    retry_after=some.none() | SECONDS,
)


def look(duration: float, estimate: float | None) -> tuple[int, float]:
    """Return the reads of one job and the lag of the last."""
    pace, now, reads = Pace(), 0.0, 0
    while now < duration:
        now += pace.pause(Sighting(now, estimate))
        reads += 1
    return reads, now - duration


@given(sighting=SIGHTINGS)
def test_pause_is_never_too_short(sighting):
    """Nobody is read more often than the shortest pause allows."""
    pause = Pace().pause(sighting)

    assert pause >= Pace().shortest
    assert math.isfinite(pause)


@given(sighting=SIGHTINGS)
def test_failures_and_age_never_stretch_the_pause_beyond_the_longest(sighting):
    """Only the service, or the wait for half of its estimate, asks for more."""
    half = max((sighting.estimate or Pace().untold) / 2 - sighting.age, 0)
    asked = sighting.retry_after or 0

    assert Pace().pause(sighting) <= max(Pace().longest, half, asked)


@given(seconds=some.floats(min_value=1, max_value=1e6), sighting=SIGHTINGS)
def test_service_always_wins(seconds, sighting):
    """A Retry-After decides, whatever else is known."""
    asked = Sighting(sighting.age, sighting.estimate, sighting.failures, seconds)

    assert Pace().pause(asked) == seconds


@pytest.mark.parametrize(
    ("estimate", "first"), [(60, 30), (15, 7.5), (None, 7.5), (0, 7.5), (1, 1)]
)
def test_first_look_is_at_half_the_estimate(estimate, first):
    """Before half of the estimate there is nothing to see."""
    assert Pace().pause(Sighting(0, estimate)) == first


def test_failures_back_off():
    """Failed readings come ever later, up to the longest pause."""
    pauses = [Pace().pause(Sighting(99, 60, failures)) for failures in range(1, 7)]

    assert pauses == [1, 2, 4, 8, 10, 10]


@given(sighting=SIGHTINGS, failures=some.integers(min_value=1, max_value=10**6))
def test_back_off_never_turns_back(sighting, failures):
    """One more failure never makes the pause shorter, nor longer than the longest."""
    told = attrs.evolve(sighting, retry_after=None, failures=failures)
    pause = Pace().pause(told)
    later = Pace().pause(attrs.evolve(told, failures=failures + 1))

    assert pause <= later <= Pace().longest


@pytest.mark.parametrize("asked", [0, 0.0, None])
def test_nothing_asked_is_no_pause_asked(asked):
    """A service that asks for no pause leaves the usual one."""
    assert Pace().pause(Sighting(50, 60, retry_after=asked)) == 6
    assert Pace().pause(Sighting(50, 60, failures=3, retry_after=asked)) == 4


def test_pause_asked_for_is_not_below_the_shortest():
    """A service that asks for less than the shortest pause gets the shortest."""
    assert Pace().pause(Sighting(50, 60, retry_after=0.2)) == 1


def test_pauses_grow_with_age():
    """The older a job, the longer the pauses, within their bounds."""
    ages = [50, 60, 70, 80, 500]
    pauses = [Pace().pause(Sighting(age, 60)) for age in ages]

    assert pauses == pytest.approx([6, 7.2, 8.4, 9.6, 10])


@pytest.mark.parametrize(
    ("duration", "estimate", "most_reads", "most_lag"),
    [
        (20, 15, 10, 2.5),
        (20, None, 10, 2.5),
        (180, 60, 25, Pace().longest),
        (45, 60, 5, 6),
        (15, 60, 1, 15),
    ],
)
def test_reads_are_few_and_lag_is_small(duration, estimate, most_reads, most_lag):
    """A job costs few reads, and its end is noticed soon."""
    reads, lag = look(duration, estimate)

    assert reads <= most_reads
    assert lag <= most_lag


def test_fixed_interval_is_possible():
    """Who wants a plain interval can have one."""
    pace = Pace(shortest=3, longest=3)
    pauses = [pace.pause(Sighting(age, 1)) for age in (1, 50, 500)]

    assert pauses == [3, 3, 3]


@given(
    duration=some.floats(min_value=1, max_value=3600),
    estimate=some.none() | some.floats(min_value=1, max_value=600),
)
def test_lag_is_never_longer_than_a_pause(duration, estimate):
    """Once half of the estimate has passed, an end is noticed within the longest."""
    half = (estimate or Pace().untold) / 2
    _, lag = look(duration, estimate)

    assert lag <= max(Pace().longest, half - duration)


def test_reported_jobs_are_looked_at_rarely():
    """Where changes are reported, the first look comes late and further ones rarely."""
    pace = Pace()
    pauses = [
        pace.pause(Sighting(age, 60, is_reported=True)) for age in (0, 30, 60, 600)
    ]

    assert pauses == [60, 60, 60, 60]
    assert pace.pause(Sighting(0, 8, is_reported=True)) == 20
    assert pace.pause(Sighting(60, 60)) < 10
