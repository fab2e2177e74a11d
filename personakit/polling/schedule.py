"""How often a job is read: as seldom as its estimate allows, at the worth of a read."""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import cache
from typing import Literal, TypeAlias

import attrs

from personakit.errors import invalid

_BROAD = 1.2  # spread of jobs about which an estimate is wrong
_STEPS = 240  # of a table, evenly on a logarithmic scale of time
_REACH = 60.0  # the table begins at a 60th of the median and ends at 60 times
_NARROWEST, _WIDEST = 0.01, 2.0
_GRAIN = 0.01  # spreads are rounded to this, so that tables are shared
_OUTLIER_GRAIN = 0.001  # the same for shares of surprises


@attrs.frozen
class DurationEstimate:
    """What is thought of the duration of one job.

    Attributes:
        median: Seconds; half of such jobs take longer.
        spread: Standard deviation of the logarithm: 0.5 means that two of three jobs
            take between 0.6 and 1.65 times the median.
        outlier_share: Share of jobs, 0 to 1, about which this may be quite wrong.
    """

    median: float
    spread: float
    outlier_share: float = 0.1

    def pause(self, age: float, worth: float) -> float:
        """Return after how many seconds to look.

        Args:
            age: Seconds that the job has taken already.
            worth: Seconds of mean lag that one read is worth.
        """
        spread = min(max(self.spread, _NARROWEST), _WIDEST)
        table = _make_table(
            round(spread / _GRAIN), round(self.outlier_share / _OUTLIER_GRAIN)
        )
        polls = table.polls_until(age / self.median)
        # Looks are counted as if each were worth half of the median; a cheaper look
        # may come sooner.
        goal = polls + math.sqrt(2.0 * worth / self.median)
        return self.median * table.time_of(goal) - age


@attrs.frozen
class _Table:
    """Times, in medians, and how many looks lie before each.

    Attributes:
        times: Ascending.
        polls: At each of them.
    """

    times: tuple[float, ...]
    polls: tuple[float, ...]

    def polls_until(self, time: float) -> float:
        """Return how many looks lie before a time."""
        return _interpolate(self.times, self.polls, time)

    def time_of(self, polls: float) -> float:
        """Return the time before which so many looks lie."""
        return _interpolate(self.polls, self.times, polls)


def _interpolate(xs: tuple[float, ...], ys: tuple[float, ...], x: float) -> float:
    """Read a curve between two of its points, and beyond its ends on straight lines."""
    right = min(max(bisect_left(xs, x), 1), len(xs) - 1)
    x0, x1, y0, y1 = xs[right - 1], xs[right], ys[right - 1], ys[right]
    return y0 + (x - x0) * (y1 - y0) / (x1 - x0)


@cache
def _make_table(spread_grains: int, outlier_grains: int) -> _Table:
    """Integrate the density of looks for one shape of the distribution."""
    spread, outlier_share = spread_grains * _GRAIN, outlier_grains * _OUTLIER_GRAIN
    ratio = _REACH ** (2.0 / _STEPS)
    times, polls = [0.0], [0.0]
    time = 1.0 / _REACH
    while len(times) <= _STEPS:
        middle = (time + times[-1]) / 2.0
        polls.append(
            polls[-1]
            + math.sqrt(_hazard(middle, spread, outlier_share)) * (time - times[-1])
        )
        times.append(time)
        time *= ratio
    return _Table(tuple(times), tuple(polls))


def _hazard(time: float, spread: float, outlier_share: float) -> float:
    """Return the chance of an end per median of time, for a job not ended before."""
    ends = lives = 0.0
    for share, sigma in ((1.0 - outlier_share, spread), (outlier_share, _BROAD)):
        z = math.log(time) / sigma
        density = math.exp(-z * z / 2.0) / (time * sigma * math.sqrt(2.0 * math.pi))
        ends += share * density
        lives += share * math.erfc(z / math.sqrt(2.0)) / 2.0
    # The first step begins where nothing ends yet; a curve must rise to be inverted.
    return max(ends / lives, 1e-9)


PaceName: TypeAlias = Literal["eager", "balanced", "thrifty"]
_DOUBLINGS = 30  # of a pause after failures; far beyond any bound
_LONGEST_FAILING = 10.0  # seconds between two looks while nothing but failures comes
_JITTER = 0.05  # share of a pause that is left to chance, so that no fleet marches
_WITH_CALLBACKS = 100.0  # times that a read is worth where changes are reported anyway
_LONGEST_WITH_CALLBACKS = 60.0  # seconds between two looks at most there
_LONGEST_EARLY = 45.0  # seconds between two looks at most before an end is likely
_LONGEST_ASKED = 60.0  # seconds of a Retry-After that one failed look may cost
_LATE = 5.0  # seconds past its due time from which on a look shows scarcity
_CHEAPEST, _DEAREST = 0.01, 120.0  # seconds of lag that scarcity may make a look worth
_RISE = 1.01  # of that price, by each late look
_SCARCE, _CALM = 60.0, 10.0  # seconds since one, and seconds in which it then halves


@attrs.frozen
class PollContext:
    """What is known of a job when the next look is planned.

    Attributes:
        age: Seconds since it was submitted.
        estimate: What is thought of its duration.
        failures: Readings in a row that brought nothing.
        retry_after: Seconds that the service asked to wait with the last failure, None
            if it did not.
        expects_callback: True where the service is likely to report changes by itself.
        price: Seconds of lag that a read costs at the least, because there are fewer
            to be had than wanted.
        chance: 0 to 1, drawn; 0.5 for the pause as it is.
    """

    age: float
    estimate: DurationEstimate
    failures: int = 0
    retry_after: float | None = None
    expects_callback: bool = False
    price: float = 0.0
    chance: float = 0.5


@attrs.frozen
class Pace:
    """How often to look.

    Attributes:
        worth: Seconds by which the news of an end may come later on average, if that
            saves one read.
        shortest: Seconds between two looks at the least.
        longest: Seconds between two looks at the most once half of the jobs are over,
            unless the service asks for more (a minute at the most). With `shortest`
            the same, it is a fixed interval.
        untold: Median seconds assumed for a job whose service makes no estimate, before
            there is any experience.
    """

    worth: float = 0.1
    shortest: float = 0.5
    longest: float = 30.0
    untold: float = 30.0

    def pause(self, context: PollContext) -> float:
        """Return the seconds to wait before the next look."""
        if not context.failures:
            return self._plan(context)
        doublings = min(context.failures - 1, _DOUBLINGS)
        longest = max(min(self.longest, _LONGEST_FAILING), self.shortest)
        backoff = min(max(self.shortest, 1.0) * 2.0**doublings, longest)
        if context.retry_after:
            # A tiny Retry-After must not cause a flood, and one failed look must not
            # hide the job for an hour.
            return max(min(context.retry_after, _LONGEST_ASKED), backoff)
        # A failing service gets no more requests than a working one would.
        return max(backoff, min(self._plan(context), self.longest))

    def _plan(self, context: PollContext) -> float:
        if self.shortest == self.longest:
            return self.shortest
        worth = self.worth * (_WITH_CALLBACKS if context.expects_callback else 1.0)
        worth = max(worth, context.price)
        pause = context.estimate.pause(context.age, worth)
        pause *= 1.0 + _JITTER * (2.0 * context.chance - 1.0)
        bound = _LONGEST_WITH_CALLBACKS if context.expects_callback else self.longest
        # Before half of the jobs are over a long pause is good, unless the estimate
        # is wrong: milliseconds for seconds, for example.
        until_half = context.estimate.median - context.age
        bound = max(bound, min(until_half, _LONGEST_EARLY), context.price)
        return max(min(pause, bound), self.shortest)


class Price:
    """The lag, in seconds, that one look is worth while looks are scarce.

    It rises while looks come late, and is soon forgotten when none does.

    Args:
        now: The time.
    """

    def __init__(self, now: float) -> None:
        self._price, self._late_at = _CHEAPEST, now

    def add(self, lateness: float, now: float) -> None:
        """Note by how many seconds a look came late."""
        price = self.find(now)
        if lateness > _LATE:
            self._price = min(price * _RISE, _DEAREST)
            self._late_at = now
        else:
            self._price = max(price / _RISE, _CHEAPEST)

    def find(self, now: float) -> float:
        """Return the price."""
        calm = now - self._late_at - _SCARCE
        if calm > 0:
            self._late_at += calm
            self._price = max(self._price * 0.5 ** (calm / _CALM), _CHEAPEST)
        return self._price


PACES: dict[PaceName, Pace] = {
    "eager": Pace(worth=0.03, shortest=0.4),
    "balanced": Pace(),
    "thrifty": Pace(worth=0.5, longest=60.0),
}
"""Presets: a music job takes about 27, 15 or 7 reads, and 0.8, 1.5 or 3 s of lag. None
reads a job three times a second, which the sunoapi family does not allow [docs]."""


def find_pace(pace: Pace | PaceName | None) -> Pace:
    """Return a preset by its name, or the pace itself.

    Raises:
        InvalidRequest: there is no such preset.
    """
    if isinstance(pace, Pace):
        return pace
    if pace is not None and pace not in tuple(PACES):  # it may have no hash
        raise invalid(
            "pace", f"must be one of {', '.join(PACES)}, or a Pace", "Choose one"
        )
    return PACES[pace or "balanced"]
