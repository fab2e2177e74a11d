"""Requests pass as an account's limit allows, in the order in which they came."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections import deque
from types import TracebackType
from typing import Self, TypeAlias

import attrs

from personakit.errors import PersonaKitError, RateLimited, too_late
from personakit.ratelimit.limits import Limit

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds for which nothing is sent after a refusal, doubled by each further one."""
LONGEST_ASKED = 60.0
"""Seconds for which a Retry-After may close an account. The call that was refused may
wait longer; the others, which may be about paid jobs, try again."""
SLACK = 0.001
"""Seconds; a period that seems over may not be by another clock."""


@attrs.define
class SlidingWindow:
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

    def release(self, now: float) -> None:
        """Note that a request was answered; after a calm period, allow one more."""
        self.ended.append(now)
        if now < max(self.closed_until, self.changed_at + self.told.period):
            return
        self.refusals = 0
        if self.told.count == math.inf and self.count < math.inf:
            self.count += 1.0
            self.changed_at = now

    def back_off(self, now: float, retry_after: float | None) -> None:
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


IN_FLIGHT = 64
"""Requests under way at the same time, at most."""
RESERVED = 8
"""Further places for direct calls (`RateLimiter.acquire`), so that polls that
hang do not keep a caller from reading the balance."""
_Turn: TypeAlias = tuple["asyncio.Future[None]", int]


class RateLimiter(ABC):
    """Lets requests pass in the order in which they came.

    Polls (`try_acquire`, `ask`) hold at most `IN_FLIGHT` places together. Direct calls
    (`enter`) may hold `RESERVED` places more, and then pass polls that wait.

    Attributes:
        held: Places that are taken, for requests under way.
    """

    def __init__(self) -> None:
        self.held: int = 0
        self._loop = asyncio.get_running_loop()
        # Each with the number of held places from which on it has to wait.
        self._waiting: deque[_Turn] = deque()

    @abstractmethod
    def try_acquire(self, most: int = IN_FLIGHT) -> bool:
        """Take a place if one is free and no other request waits for it.

        Args:
            most: Number of held places from which on none is free.
        """

    @abstractmethod
    def back_off(self, retry_after: float | None) -> None:
        """Heed that the service refused a request because of its limit.

        Args:
            retry_after: Seconds that it asked to wait, None when it did not.
        """

    @abstractmethod
    def release(self, *, is_refused: bool = False) -> None:
        """Give a place back: the request was answered, or never will be.

        Args:
            is_refused: True where the service refused it because of its limit.
        """

    @abstractmethod
    def _grant_turns(self) -> None:
        """Let in whoever may pass, now or later: something has changed."""

    async def acquire(self, deadline: float = math.inf) -> None:
        """Wait for a place for a direct call; `leave` must give it back.

        Args:
            deadline: Loop time; ``math.inf`` for no deadline.

        Raises:
            ServiceUnavailable: the deadline had passed; nothing was sent.
            RateLimited: no place was free before the deadline; nothing was sent.
        """
        if self._loop.time() >= deadline:
            raise too_late()
        if not self.try_acquire(IN_FLIGHT + RESERVED):
            await self._wait(deadline)

    def reserve(self, most: int = IN_FLIGHT) -> asyncio.Future[None]:
        """Queue for a place, which is held when the future is done without an error.

        Args:
            most: Number of held places from which on none is free.
        """
        turn = self._loop.create_future()
        self._waiting.append((turn, most))
        self._grant_turns()
        return turn

    async def _wait(self, deadline: float) -> None:
        turn = self.reserve(IN_FLIGHT + RESERVED)
        try:
            async with asyncio.timeout_at(None if deadline == math.inf else deadline):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not (turn.cancelled() or turn.exception()):
                self.release(is_refused=True)  # it came in the very same moment
            self._grant_turns()
            if isinstance(error, TimeoutError):
                raise RateLimited(
                    "The account's limit leaves no room before the deadline.",
                    retry_safe=True,
                ) from None
            raise

    def _first(self) -> _Turn | None:
        """Return the first that waits and may have a place; drop those that left."""
        while self._waiting and self._waiting[0][0].done():
            self._waiting.popleft()
        if self.held >= IN_FLIGHT + RESERVED:
            return None
        # Polls wait one at a time for each client, so this looks at very few.
        for waiting in self._waiting:
            turn, most = waiting
            if self.held < most and not turn.done():
                return waiting
        return None

    def _grant(self, waiting: _Turn) -> None:
        """Give a place to the one that `_first` returned."""
        self._waiting.remove(waiting)
        waiting[0].set_result(None)
        self.held += 1

    def __enter__(self) -> Self:
        """Hold, for the block, the place that `enter` gave."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the place back, and heed a refusal that the block ended with."""
        if isinstance(error, RateLimited):
            self.back_off(error.retry_after)
            self.release(is_refused=True)
        else:
            self.release()

    async def aclose(self) -> None:
        """Stop; whoever still waits is told that the client is closed."""
        for turn, _ in self._waiting:
            if not turn.done():
                turn.set_exception(
                    PersonaKitError("The client was closed before this was sent.")
                )


class LocalRateLimiter(RateLimiter):
    """For an account that only this process uses.

    Args:
        limit: Where none is known, it is found out by what the service refuses.
    """

    def __init__(self, limit: Limit) -> None:
        super().__init__()
        self._window = SlidingWindow(limit, limit.count)
        self._timer: asyncio.TimerHandle | None = None

    def try_acquire(self, most: int = IN_FLIGHT) -> bool:
        """Take a place if one is free and no other request waits for it."""
        is_next = self.held < most and self._first() is None
        if not is_next or self._find_pause() > 0:
            return False
        self.held += 1
        return True

    def release(self, *, is_refused: bool = False) -> None:
        """Give a place back."""
        self.held -= 1
        if not is_refused:
            self._window.release(self._loop.time())
        self._grant_turns()

    def back_off(self, retry_after: float | None) -> None:
        """Heed a refusal."""
        self._window.back_off(self._loop.time(), retry_after)
        self._grant_turns()

    def _find_pause(self) -> float:
        """Return the seconds until there is room, infinite until a place is left."""
        return self._window.find_pause(self._loop.time(), self.held)

    def _grant_turns(self) -> None:
        """Let in whoever may pass, and come back when the next one may."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while (turn := self._first()) is not None:
            if (pause := self._find_pause()) > 0:
                if pause < math.inf:
                    self._timer = self._loop.call_later(pause, self._grant_turns)
                return
            self._grant(turn)

    async def aclose(self) -> None:
        """Stop; whoever still waits is told that the client is closed."""
        if self._timer is not None:
            self._timer.cancel()
        await super().aclose()
