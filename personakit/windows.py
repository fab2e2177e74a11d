"""What is known of an account's requests in a sliding window of time, without a clock.

A service counts requests when they arrive, which nobody here can see. So a request
holds its place from before it is sent until a whole period after its answer: then the
service has counted no more than that in any period of its own.

Where a service publishes no figure, only the number under way is bounded until it
refuses one. From then on as many are sent in a period as it served in the last, and
slowly more.
"""

from __future__ import annotations

import math
from collections import deque

import attrs

from personakit.limits import Limit

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds for which nothing is sent after a refusal, doubled by each further one."""
LONGEST_ASKED = 60.0
"""Seconds for which a Retry-After may close an account. The call that was refused may
wait longer; the others, which may be about paid jobs, try again."""
SLACK = 0.001
"""Seconds; a period that seems over may not be by another clock."""


@attrs.define
class Window:
    """The requests of one account that count just now.

    All times are seconds of one clock, and never go back.

    Attributes:
        told: What the service publishes.
        count: Requests that a period has room for; infinite where it is not known yet.
        ended: When those were answered that count still.
        closed_until: Nothing is asked before.
        refusals: How many came one after another.
        changed_at: When `count` was last changed.
    """

    told: Limit
    count: float = math.inf
    ended: deque[float] = attrs.field(factory=deque[float])
    closed_until: float = -math.inf
    refusals: int = 0
    changed_at: float = -math.inf

    def leave(self, now: float) -> None:
        """Note that a request was answered; after a calm period, allow one more."""
        self.ended.append(now)
        if now < max(self.closed_until, self.changed_at + self.told.period):
            return
        self.refusals = 0
        if self.told.count == math.inf and self.count < math.inf:
            self.count += 1.0
            self.changed_at = now

    def refuse(self, now: float, retry_after: float | None) -> None:
        """Close the account for a while: the service refused a request.

        Args:
            now: The time.
            retry_after: Seconds that it asked to wait, None if it did not. Less than
                `FIRST_PAUSE` counts as None.
        """
        if now >= self.closed_until:  # not one of several refused together
            self.refusals += 1
            if self.told.count == math.inf:
                self.count = max(1.0, self.count_recent(now))
            self.changed_at = now
        pause = min(FIRST_PAUSE * 2.0 ** min(self.refusals - 1, 9), LONGEST_PAUSE)
        if retry_after is not None and retry_after >= FIRST_PAUSE:
            pause = min(retry_after, LONGEST_ASKED)
        self.closed_until = max(self.closed_until, now + pause)

    def count_recent(self, now: float) -> int:
        """Return how many were served in the last period, forgetting older ones."""
        earliest = now - self.told.period - SLACK
        while self.ended and self.ended[0] <= earliest:
            self.ended.popleft()
        return len(self.ended)

    def find_room(self, now: float, held: int) -> float:
        """Return how many more may be under way, 0 while the account is closed.

        Args:
            now: The time.
            held: How many are under way.
        """
        if now < self.closed_until:
            return 0
        return max(self.count - held - self.count_recent(now), 0)

    def find_pause(self, now: float, held: int) -> float:
        """Return the seconds until there is room, infinite until one is left."""
        if now < self.closed_until:
            return self.closed_until - now
        if self.find_room(now, held) >= 1:
            return 0.0
        if not self.ended:
            return math.inf
        return max(self.ended[0] + self.told.period + SLACK - now, SLACK)
