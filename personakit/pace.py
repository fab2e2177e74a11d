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


@attrs.frozen
class Sighting:
    """What is known of a job when the next look is planned.

    Attributes:
        age: Seconds since it was submitted.
        outlook: What is thought of its duration.
        failures: Readings in a row that brought nothing.
        retry_after: Seconds that the service asked to wait, None when it did not.
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
            unless the service asks for more. With `shortest` the same, it is a fixed
            interval.
        untold: Median seconds assumed for a job whose service makes no estimate, before
            there is any experience.
    """

    worth: float = 0.1
    shortest: float = 0.5
    longest: float = 30.0
    untold: float = 30.0

    def pause(self, sighting: Sighting) -> float:
        """Return the seconds to wait before the next look."""
        if sighting.retry_after:
            return max(sighting.retry_after, self.shortest)
        pause = self._plan(sighting)
        if sighting.failures:
            # What fails is never asked for more often than what does not: an outage
            # brings no more requests than there would have been.
            doublings = min(sighting.failures - 1, _DOUBLINGS)
            backoff = max(self.shortest, 1.0) * 2.0**doublings
            longest = max(min(self.longest, _LONGEST_FAILING), self.shortest)
            return max(min(backoff, longest), min(pause, self.longest))
        return pause

    def _plan(self, sighting: Sighting) -> float:
        if self.shortest == self.longest:
            return self.shortest
        worth = self.worth * (_REPORTED if sighting.is_reported else 1.0)
        worth = max(worth, sighting.price)
        pause = sighting.outlook.pause(sighting.age, worth)
        pause *= 1.0 + _JITTER * (2.0 * sighting.chance - 1.0)
        bound = _LONGEST_REPORTED if sighting.is_reported else self.longest
        # Before half of the jobs are over even a long pause is a good one.
        until_half = sighting.outlook.median - sighting.age
        bound = max(bound, until_half, sighting.price)
        return max(min(pause, bound), self.shortest)


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
    if pace is not None and pace not in PACES:
        raise refuse(
            "pace", f"must be one of {', '.join(PACES)}, or a Pace", "Choose one"
        )
    return PACES[pace or "balanced"]
