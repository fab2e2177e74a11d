"""estimates: looks lie where ends are likely, close to the best that is possible."""

from __future__ import annotations

import bisect
import random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from personakit.polling.schedule import DurationEstimate


def draw(median: float, spread: float) -> list[float]:
    """Draw durations as the estimate expects them."""
    chance = random.Random(5)
    return sorted(median * chance.lognormvariate(0, spread) for _ in range(2000))


def cost(durations: list[float], polls: list[float], worth: float) -> float:
    """Return the mean of lag and reads together, in seconds."""
    found = [bisect.bisect_left(polls, duration) for duration in durations]
    lags = [polls[i] - d for i, d in zip(found, durations, strict=True)]
    return (sum(lags) + worth * (sum(found) + len(found))) / len(durations)


def plan(expected: DurationEstimate, worth: float, until: float) -> list[float]:
    """Return the times of all looks."""
    polls = [0.0]
    while polls[-1] <= until:
        polls.append(polls[-1] + expected.pause(polls[-1], worth))
    return polls[1:]


def find_best(durations: list[float], worth: float, grid: list[float]) -> float:
    """Return the least possible cost, by dynamic programming over a grid of looks."""
    below = [bisect.bisect_right(durations, time) for time in grid]
    sums = [0.0]
    for duration in durations:
        sums.append(sums[-1] + duration)
    total = len(durations)
    best = [0.0] * len(grid)
    for i in range(len(grid) - 1, -1, -1):
        if below[i] < total:
            best[i] = min(
                worth * (total - below[i])
                + (below[j] - below[i]) * grid[j]
                - (sums[below[j]] - sums[below[i]])
                + best[j]
                for j in range(i + 1, len(grid))
            )
    return best[0] / total


@pytest.mark.parametrize("worth", [0.03, 0.3, 1.0])
@pytest.mark.parametrize("spread", [0.25, 0.5])
def test_looks_are_nearly_the_best(spread, worth):
    """Where durations are as expected, looks cost at most a tenth over the optimum."""
    durations = draw(60, spread)
    grid = [durations[-1] * step / 300 for step in range(301)]
    expected = DurationEstimate(60, spread, outlier_share=0.02)
    polls = plan(expected, worth, durations[-1])

    assert cost(durations, polls, worth) <= 1.1 * find_best(durations, worth, grid)


@pytest.mark.parametrize(("factor", "most"), [(1 / 3, 1.7), (3, 2.7)])
def test_wrong_outlook_is_bounded(factor, most):
    """An estimate three times off costs more, but not many times more."""
    durations = draw(60, 0.5)
    until = durations[-1]
    right = cost(durations, plan(DurationEstimate(60, 0.5), 0.1, until), 0.1)
    wrong = cost(durations, plan(DurationEstimate(60 * factor, 0.5), 0.1, until), 0.1)

    assert wrong <= most * right


@given(
    median=some.floats(min_value=0.01, max_value=1e5),
    spread=some.floats(min_value=0, max_value=9),
    age=some.floats(min_value=0, max_value=1e6),
    worth=some.floats(min_value=1e-3, max_value=10),
)
def test_every_pause_leads_on(median, spread, age, worth):
    """Whatever the numbers, the next look lies ahead."""
    assert DurationEstimate(median, spread).pause(age, worth) > 0


@given(age=some.floats(min_value=0, max_value=500))
def test_cheaper_reads_come_sooner(age):
    """The less a read is worth, the sooner is the next one."""
    expected = DurationEstimate(60, 0.5)

    assert expected.pause(age, 0.03) < expected.pause(age, 0.3)
