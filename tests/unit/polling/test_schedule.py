"""When to look next: arithmetic without a clock."""

from __future__ import annotations

import math
from statistics import fmean

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as some

from personakit import InvalidRequest
from personakit.polling.schedule import (
    PACES,
    DurationEstimate,
    Pace,
    PollContext,
    find_pace,
)

SECONDS = some.floats(min_value=0, max_value=1e6)
OUTLOOKS = some.builds(
    DurationEstimate,
    median=some.floats(min_value=0.01, max_value=1e5),
    spread=some.floats(min_value=0, max_value=9),
)
SIGHTINGS = some.builds(
    PollContext,
    age=SECONDS,
    estimate=OUTLOOKS,
    failures=some.integers(min_value=0, max_value=10**6),
    retry_after=some.none() | SECONDS,
    expects_callback=some.booleans(),
)
MINUTE = DurationEstimate(60, 0.5)


def look(duration: float, estimate: float) -> tuple[int, float]:
    """Return the reads of one job and the lag of the last."""
    pace, now, reads = Pace(), 0.0, 0
    while now < duration:
        now += pace.pause(PollContext(now, DurationEstimate(estimate, 0.5)))
        reads += 1
    return reads, now - duration


@given(context=SIGHTINGS)
def test_pause_is_never_too_short_or_endless(context):
    """Nobody is read more often than the shortest pause allows, nor never again."""
    pause = Pace().pause(context)
    asked = context.retry_after or 0

    assert pause >= Pace().shortest
    assert pause <= max(60, context.estimate.median, asked)


@given(seconds=some.floats(min_value=10, max_value=60), context=SIGHTINGS)
def test_service_decides_after_a_failure(seconds, context):
    """A Retry-After that comes with a failure decides, whatever else is known."""
    failures = max(context.failures, 1)
    asked = attrs.evolve(context, retry_after=seconds, failures=failures)

    assert Pace().pause(asked) == seconds


@pytest.mark.parametrize("asked", [3600, 1e9])
def test_one_failure_does_not_hide_a_job(asked):
    """A Retry-After of an hour costs a minute: the read is about a paid job."""
    assert Pace().pause(PollContext(50, MINUTE, failures=1, retry_after=asked)) == 60


@pytest.mark.parametrize("asked", [1e-6, 0.2])
def test_tiny_retry_after_backs_off(asked):
    """Where the service asks for next to nothing, failures back off as ever."""
    pauses = [
        Pace().pause(PollContext(50, MINUTE, failures=failures, retry_after=asked))
        for failures in range(1, 6)
    ]

    assert pauses == [1, 2, 4, 8, 10]


@pytest.mark.parametrize("estimate", [3_600, 60_000, 1e9])
@pytest.mark.parametrize("name", PACES)
def test_absurd_estimate_blinds_nobody(name, estimate):
    """Milliseconds for seconds, for example: looks still come within a minute."""
    pauses = [
        PACES[name].pause(PollContext(age, DurationEstimate(estimate, 0.4), chance=1.0))
        for age in (0, 30, 300)
    ]

    assert max(pauses) <= 60
    assert pauses[0] <= 45 or name == "thrifty"


@pytest.mark.parametrize("asked", [0, 0.0, None])
def test_nothing_asked_is_no_pause_asked(asked):
    """A service that asks for no pause leaves the usual one."""
    usual = Pace().pause(PollContext(50, MINUTE))

    assert Pace().pause(PollContext(50, MINUTE, retry_after=asked)) == usual
    assert Pace().pause(PollContext(50, MINUTE, failures=3, retry_after=asked)) == 4


def test_failures_back_off():
    """Failed polls come ever later, up to a bound, and never oftener than others."""
    eager = Pace(worth=0.001)
    pauses = [
        eager.pause(PollContext(99, MINUTE, failures)) for failures in range(1, 7)
    ]
    usual = Pace().pause(PollContext(99, MINUTE))

    assert pauses == [1, 2, 4, 8, 10, 10]
    assert Pace().pause(PollContext(99, MINUTE, failures=1)) == usual > 2


def test_pauses_are_left_to_chance_a_little():
    """A fleet that started together drifts apart."""
    low, middle, high = (
        Pace().pause(PollContext(50, MINUTE, chance=chance)) for chance in (0, 0.5, 1)
    )

    assert low == pytest.approx(0.95 * middle)
    assert high == pytest.approx(1.05 * middle)


def test_dear_reads_are_seldom():
    """Where reads are scarce they come later than the pace alone would have it."""
    usual = Pace().pause(PollContext(70, MINUTE))
    dear = Pace().pause(PollContext(70, MINUTE, price=50))

    assert dear > 3 * usual
    assert dear > Pace().longest


@given(context=SIGHTINGS, failures=some.integers(min_value=1, max_value=10**6))
def test_back_off_never_turns_back(context, failures):
    """One more failure never makes the pause shorter, nor longer than its bound."""
    told = attrs.evolve(context, retry_after=None, failures=failures)
    pause = Pace().pause(told)
    later = Pace().pause(attrs.evolve(told, failures=failures + 1))

    assert pause <= later <= max(10, Pace().longest)


def test_looks_are_rare_before_an_end_is_likely():
    """A fresh job is left alone; about its median it is looked at most often."""
    pauses = [Pace().pause(PollContext(age, MINUTE)) for age in (0, 20, 60, 300)]

    assert pauses[0] > 14
    assert pauses[1] > pauses[2]
    assert pauses[3] > pauses[2]


@pytest.mark.parametrize(
    ("duration", "estimate", "most_reads", "most_lag"),
    [
        (20, 20, 8, 1),  # the figures promised for a job without history
        (180, 180, 25, 5),
        (20, 60, 3, 6),
        (180, 60, 60, 4),  # an estimate that is too low costs reads, not time
        (45, 60, 12, 2),
        (600, 60, 130, 12),
    ],
)
def test_reads_are_few_and_lag_is_small(duration, estimate, most_reads, most_lag):
    """A job costs few reads, and its end is noticed soon on average."""
    looked = [look(duration * (1 + share / 50), estimate) for share in range(-5, 6)]

    assert fmean(reads for reads, _ in looked) <= most_reads
    assert fmean(lag for _, lag in looked) <= most_lag


def test_fixed_interval_is_possible():
    """Who wants a plain interval can have one."""
    pace = Pace(shortest=3, longest=3)
    pauses = [pace.pause(PollContext(age, MINUTE)) for age in (1, 50, 500)]

    assert pauses == [3, 3, 3]


def test_reported_jobs_are_looked_at_rarely():
    """Where changes are reported, looks come rarely, but they come."""
    pauses = [
        Pace().pause(PollContext(age, MINUTE, expects_callback=True))
        for age in (0, 60, 600)
    ]

    assert min(pauses) > 10
    assert max(pauses) <= 60


def test_presets_trade_reads_for_lag():
    """The more a read is worth, the fewer there are."""
    pauses = [PACES[name].pause(PollContext(60, MINUTE)) for name in PACES]

    assert pauses == sorted(pauses)
    assert find_pace("eager") is PACES["eager"]
    assert find_pace(None) == Pace()
    assert find_pace(own := Pace(worth=9)) is own


def test_unknown_preset_is_refused():
    """A wrong name lists the right ones."""
    with pytest.raises(InvalidRequest, match="eager, balanced, thrifty"):
        find_pace("fast")  # type: ignore[arg-type]


@given(context=SIGHTINGS)
def test_every_pause_is_a_number(context):
    """No estimate, however odd, makes a pause that is none."""
    assert all(math.isfinite(pace.pause(context)) for pace in PACES.values())
