"""What an account may ask in how much time: the values.

``limiters`` keeps them.
"""

from __future__ import annotations

import math

import attrs

from personakit.errors import invalid
from personakit.validation import a, optional

PERIOD = 10.0
"""Seconds over which requests are counted where the service tells no figure."""


@attrs.frozen
class Limit:
    """A number of requests in any period of time.

    Attributes:
        count: At most so many; ``math.inf`` where none is known.
        period: Seconds.
    """

    count: float = math.inf
    period: float = PERIOD

    def __attrs_post_init__(self) -> None:
        are_numbers = all(isinstance(n, int | float) for n in attrs.astuple(self))
        if not (are_numbers and self.count >= 1 and self.period > 0):
            raise invalid(
                "limit", "must allow at least one request in some time", "Change it"
            )


UNKNOWN = Limit()
"""No figure is known, so that it is found out by what the service refuses."""


@attrs.frozen
class Limits:
    """What one account may do.

    Attributes:
        starts: Paid requests.
        reads: Everything else but downloads.
        total: Both together, None where they are counted apart; `starts` and `reads`
            then do not count.
    """

    starts: Limit = attrs.field(default=UNKNOWN, validator=a(Limit))
    reads: Limit = attrs.field(default=UNKNOWN, validator=a(Limit))
    total: Limit | None = attrs.field(default=None, validator=optional(a(Limit)))


UNPUBLISHED = Limits()
"""No figure is known."""
