"""When to look at a job next: pure arithmetic, no clock and no loop.

A read costs the service and the account's rate limit, a late read costs the caller
time. Until half of the estimate has passed nothing can have happened, so nobody
looks; from there on the pauses grow with the age of the job, so that the lag stays a
small share of the whole wait.
"""

from __future__ import annotations

import attrs

_DOUBLINGS = 30  # of the pause after failures; more would only overflow


@attrs.frozen
class Sighting:
    """What is known of a job when the next look is planned.

    Attributes:
        age: Seconds since it was submitted.
        estimate: The service's guess of the whole job in seconds, None for none.
        failures: Readings in a row that brought nothing.
        retry_after: Seconds that the service asked to wait, None when it did not.
        is_reported: True where the service is likely to report changes by itself.
    """

    age: float
    estimate: float | None = None
    failures: int = 0
    retry_after: float | None = None
    is_reported: bool = False


@attrs.frozen
class Pace:
    """How often to look.

    Attributes:
        shortest: Seconds between two looks at the least.
        longest: Seconds between two looks at the most, unless the service asks for
            more.
        share: Pause as a share of the job's age.
        untold: Seconds assumed for a job whose service makes no estimate.
        reported: How many times longer to wait where the service reports changes.
        longest_reported: Seconds between two looks at the most there.
    """

    shortest: float = 1.0
    longest: float = 10.0
    share: float = 0.12
    untold: float = 15.0
    reported: float = 20.0
    longest_reported: float = 60.0

    def pause(self, sighting: Sighting) -> float:
        """Return the seconds to wait before the next look."""
        if sighting.retry_after:
            return max(sighting.retry_after, self.shortest)
        if sighting.failures:
            doublings = min(sighting.failures - 1, _DOUBLINGS)
            return min(self.shortest * 2.0**doublings, self.longest)
        estimate = sighting.estimate or self.untold
        usual = min(max(sighting.age * self.share, self.shortest), self.longest)
        if sighting.is_reported:
            rare = min(usual * self.reported, self.longest_reported)
            return max(estimate - sighting.age, rare)
        return max(estimate / 2 - sighting.age, usual)
