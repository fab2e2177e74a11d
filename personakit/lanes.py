"""Lanes: requests pass as an account's limit allows, in the order in which they came.

A service counts requests when they arrive, which nobody here can see. So a request
holds its place from before it is sent until a whole period after its answer: then the
service has counted no more than that in any period of its own.

Where a service publishes no figure, only the number under way is bounded until it
refuses one. From then on as many are sent in a period as it served in the last, and
slowly more.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from types import TracebackType

from personakit.errors import PersonaKitError, RateLimited
from personakit.limits import Limit

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds for which nothing is asked after a refusal, doubled by each further one."""
IN_FLIGHT = 64
"""Requests under way at the same time, at most."""
_SLACK = 0.001  # seconds; a period that seems over may not be by another clock


class Lane:
    """Lets requests pass as the limit allows, in the order in which they came.

    Args:
        limit: Where none is known, it is found out by what the service refuses.
    """

    def __init__(self, limit: Limit) -> None:
        self._told = limit
        self._count = limit.count
        self._loop = asyncio.get_running_loop()
        self._held = 0
        self._ended: deque[float] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed_until = -math.inf
        self._refusals = 0
        self._changed_at = -math.inf
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self, within: float = math.inf) -> None:
        """Wait for a place, which `leave` must give back.

        Args:
            within: Seconds that the caller has.

        Raises:
            RateLimited: there will be none in time; nothing was asked.
        """
        if not self.try_enter():
            await self._wait(within)

    def try_enter(self) -> bool:
        """Take a place if there is one just now and nobody waits for it."""
        if self._waiting or self._pause() > 0:
            return False
        self._held += 1
        return True

    def ask(self) -> asyncio.Future[None]:
        """Wait in line; the place is held when the future is done without an error."""
        turn = self._loop.create_future()
        self._waiting.append(turn)
        self._arm()
        return turn

    async def _wait(self, within: float) -> None:
        turn = self.ask()
        try:
            async with asyncio.timeout(None if within == math.inf else within):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not (turn.cancelled() or turn.exception()):
                self._held -= 1  # it came in the very same moment
            self._arm()
            if isinstance(error, TimeoutError):
                raise RateLimited(
                    "The account's limit leaves no room before the deadline.",
                    retry_safe=True,
                ) from None
            raise

    def leave(self, *, is_refused: bool = False) -> None:
        """Give a place back: the request was answered, or never will be.

        Args:
            is_refused: True where the service refused it because of its limit.
        """
        self._held -= 1
        if not is_refused:
            self._ended.append(self._loop.time())
            self._grow()
        self._arm()

    def __enter__(self) -> None:
        """Hold, for the block, the place that `enter` gave."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the place back, and heed a refusal that the block ended with."""
        if isinstance(error, RateLimited):
            self.refuse(error.retry_after)
            self.leave(is_refused=True)
        else:
            self.leave()

    def refuse(self, retry_after: float | None) -> None:
        """Heed that the service refused a request because of its limit.

        Args:
            retry_after: Seconds that it asked to wait, None when it did not.
        """
        now = self._loop.time()
        if now >= self._closed_until:  # not one of several refused together
            self._refusals += 1
            if self._told.count == math.inf:
                self._count = max(1.0, self._count_recent(now))
            self._changed_at = now
        pause = FIRST_PAUSE * 2.0 ** min(self._refusals - 1, 9)
        pause = retry_after or min(pause, LONGEST_PAUSE)
        self._closed_until = max(self._closed_until, now + pause)
        self._arm()

    def _grow(self) -> None:
        """After a period without a refusal, allow one more."""
        now = self._loop.time()
        if now < max(self._closed_until, self._changed_at + self._told.period):
            return
        self._refusals = 0
        if self._told.count == math.inf and self._count < math.inf:
            self._count += 1.0
            self._changed_at = now

    def _count_recent(self, now: float) -> int:
        """Return how many were served in the last period, forgetting older ones."""
        earliest = now - self._told.period - _SLACK
        while self._ended and self._ended[0] <= earliest:
            self._ended.popleft()
        return len(self._ended)

    def _pause(self) -> float:
        """Return the seconds until there is a place, infinite until one is left."""
        now = self._loop.time()
        if now < self._closed_until:
            return self._closed_until - now
        free = self._count - self._held - self._count_recent(now)
        if free >= 1 and self._held < IN_FLIGHT:
            return 0.0
        if free >= 1 or not self._ended:
            return math.inf  # until one leaves
        return max(self._ended[0] + self._told.period + _SLACK - now, _SLACK)

    def _arm(self) -> None:
        """Let in whoever may pass, and come back when the next one may."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            if self._waiting[0].done():  # who waited there has left
                self._waiting.popleft()
                continue
            if (pause := self._pause()) > 0:
                self._come_back(pause)
                return
            self._waiting.popleft().set_result(None)
            self._held += 1

    def _come_back(self, pause: float) -> None:
        if pause < math.inf:
            self._timer = self._loop.call_later(pause, self._arm)

    def close(self) -> None:
        """Stop; whoever still waits is told that the client is closed."""
        if self._timer is not None:
            self._timer.cancel()
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(
                    PersonaKitError("The client was closed before this was sent.")
                )
