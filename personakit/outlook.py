"""How long a job is likely to take, and when it is best looked at.

Durations of a kind of job spread like a lognormal distribution round their median.
Where an end is likely, looks pay, and where it is not they are wasted: if the chance of
an end in the next second is ``h``, and one read is worth ``w`` seconds of lag, looks
that lie ``sqrt(2 w / h)`` apart cost the least, in reads and lag together. This is
within a few percent of the best schedule that exists (see ``benchmarks/``).

Some jobs are taken to follow a far broader distribution, so that an estimate which
proves wrong is soon abandoned in favour of looks that lie ever further apart.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import cache

import attrs

_BROAD = 1.2  # spread of jobs about which an outlook is wrong
_STEPS = 240  # of a table, evenly on a logarithmic scale of time
_REACH = 60.0  # the table begins at a 60th of the median and ends at 60 times
_NARROWEST, _WIDEST = 0.01, 2.0
_GRAIN = 0.01  # spreads are rounded to this, so that tables are shared
_SURPRISE_GRAIN = 0.001  # the same for shares of surprises


@attrs.frozen
class Outlook:
    """What is thought of the duration of one job.

    Attributes:
        median: Seconds; half of such jobs take longer.
        spread: Standard deviation of the logarithm: 0.5 means that two of three jobs
            take between 0.6 and 1.65 times the median.
        surprises: Share of jobs, 0 to 1, about which this may be quite wrong.
    """

    median: float
    spread: float
    surprises: float = 0.1

    def pause(self, age: float, worth: float) -> float:
        """Return after how many seconds to look.

        Args:
            age: Seconds that the job has taken already.
            worth: Seconds of mean lag that one read is worth.
        """
        spread = min(max(self.spread, _NARROWEST), _WIDEST)
        table = _make_table(
            round(spread / _GRAIN), round(self.surprises / _SURPRISE_GRAIN)
        )
        looks = table.looks_until(age / self.median)
        # Looks are counted as if each were worth half of the median; a cheaper look
        # may come sooner.
        goal = looks + math.sqrt(2.0 * worth / self.median)
        return self.median * table.time_of(goal) - age


@attrs.frozen
class _Table:
    """Times, in medians, and how many looks lie before each.

    Attributes:
        times: Ascending.
        looks: At each of them.
    """

    times: tuple[float, ...]
    looks: tuple[float, ...]

    def looks_until(self, time: float) -> float:
        """Return how many looks lie before a time."""
        return _interpolate(self.times, self.looks, time)

    def time_of(self, looks: float) -> float:
        """Return the time before which so many looks lie."""
        return _interpolate(self.looks, self.times, looks)


def _interpolate(xs: tuple[float, ...], ys: tuple[float, ...], x: float) -> float:
    """Read a curve between two of its points, and beyond its ends on straight lines."""
    right = min(max(bisect_left(xs, x), 1), len(xs) - 1)
    x0, x1, y0, y1 = xs[right - 1], xs[right], ys[right - 1], ys[right]
    return y0 + (x - x0) * (y1 - y0) / (x1 - x0)


@cache
def _make_table(spread_grains: int, surprise_grains: int) -> _Table:
    """Integrate the density of looks for one shape of the distribution."""
    spread, surprises = spread_grains * _GRAIN, surprise_grains * _SURPRISE_GRAIN
    ratio = _REACH ** (2.0 / _STEPS)
    times, looks = [0.0], [0.0]
    time = 1.0 / _REACH
    while len(times) <= _STEPS:
        middle = (time + times[-1]) / 2.0
        looks.append(
            looks[-1]
            + math.sqrt(_hazard(middle, spread, surprises)) * (time - times[-1])
        )
        times.append(time)
        time *= ratio
    return _Table(tuple(times), tuple(looks))


def _hazard(time: float, spread: float, surprises: float) -> float:
    """Return the chance of an end per median of time, for a job not ended before."""
    ends = lives = 0.0
    for share, sigma in ((1.0 - surprises, spread), (surprises, _BROAD)):
        z = math.log(time) / sigma
        density = math.exp(-z * z / 2.0) / (time * sigma * math.sqrt(2.0 * math.pi))
        ends += share * density
        lives += share * math.erfc(z / math.sqrt(2.0)) / 2.0
    # The first step begins where nothing ends yet; a curve must rise to be inverted.
    return max(ends / lives, 1e-9)
