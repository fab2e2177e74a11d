"""How often a job is read: as seldom as its outlook allows, at the worth of a read."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

from personakit.errors import refuse
from personakit.outlook import Outlook

PaceName: TypeAlias = Literal["eager", "balanced", "thrifty"]

_DOUBLINGS = 30  # of a pause after failures; far beyond any bound
_LONGEST_FAILING = 10.0  # seconds between two looks while nothing but failures comes
_JITTER = 0.05  # share of a pause that is left to chance, so that no fleet marches
_REPORTED = 100.0  # times that a read is worth where changes are reported anyway
_LONGEST_REPORTED = 60.0  # seconds between two looks at most there
_LONGEST_EARLY = 45.0  # seconds between two looks at most before an end is likely
_LONGEST_ASKED = 60.0  # seconds of a Retry-After that one failed look may cost

_LATE = 5.0  # seconds past its due time from which on a look shows scarcity
_CHEAPEST, _DEAREST = 0.01, 120.0  # seconds of lag that scarcity may make a look worth
_RISE = 1.01  # of that price, by each late look
_SCARCE, _CALM = 60.0, 10.0  # seconds since one, and seconds in which it then halves


@attrs.frozen
class Sighting:
    """What is known of a job when the next look is planned.

    Attributes:
        age: Seconds since it was submitted.
        outlook: What is thought of its duration.
        failures: Readings in a row that brought nothing.
        retry_after: Seconds that the service asked to wait with the last failure, None
            if it did not.
        is_reported: True where the service is likely to report changes by itself.
        price: Seconds of lag that a read costs at the least, because there are fewer
            to be had than wanted.
        chance: 0 to 1, drawn; 0.5 for the pause as it is.
    """

    age: float
    outlook: Outlook
    failures: int = 0
    retry_after: float | None = None
    is_reported: bool = False
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

    def pause(self, sighting: Sighting) -> float:
        """Return the seconds to wait before the next look."""
        if not sighting.failures:
            return self._plan(sighting)
        doublings = min(sighting.failures - 1, _DOUBLINGS)
        longest = max(min(self.longest, _LONGEST_FAILING), self.shortest)
        backoff = min(max(self.shortest, 1.0) * 2.0**doublings, longest)
        if sighting.retry_after:
            # A tiny Retry-After must not cause a flood, and one failed look must not
            # hide the job for an hour.
            return max(min(sighting.retry_after, _LONGEST_ASKED), backoff)
        # A failing service gets no more requests than a working one would.
        return max(backoff, min(self._plan(sighting), self.longest))

    def _plan(self, sighting: Sighting) -> float:
        if self.shortest == self.longest:
            return self.shortest
        worth = self.worth * (_REPORTED if sighting.is_reported else 1.0)
        worth = max(worth, sighting.price)
        pause = sighting.outlook.pause(sighting.age, worth)
        pause *= 1.0 + _JITTER * (2.0 * sighting.chance - 1.0)
        bound = _LONGEST_REPORTED if sighting.is_reported else self.longest
        # Before half of the jobs are over a long pause is good, unless the estimate
        # is wrong: milliseconds for seconds, for example.
        until_half = sighting.outlook.median - sighting.age
        bound = max(bound, min(until_half, _LONGEST_EARLY), sighting.price)
        return max(min(pause, bound), self.shortest)


class Price:
    """The lag, in seconds, that one look is worth while looks are scarce.

    It rises while looks come late, and is soon forgotten when none does.

    Args:
        now: The time.
    """

    def __init__(self, now: float) -> None:
        self._price, self._late_at = _CHEAPEST, now

    def note(self, lateness: float, now: float) -> None:
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
        raise refuse(
            "pace", f"must be one of {', '.join(PACES)}, or a Pace", "Choose one"
        )
    return PACES[pace or "balanced"]
