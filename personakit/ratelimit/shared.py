"""A rate limiter that all processes share which use one account.

What is known of the account lies in the shared journal as one text, which each process
reads and changes in turn. Whatever has happened in between goes into one change, so
that the journal is asked as often as it can answer, not as often as requests are sent.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

import attrs

from personakit.errors import JournalError
from personakit.ratelimit.limiter import (
    IN_FLIGHT,
    LocalRateLimiter,
    RateLimiter,
    SlidingWindow,
)
from personakit.ratelimit.limits import Limit

LEASE = 30.0
"""Seconds after which the places of a process that died are free."""
_RENEWAL = LEASE / 3
_POLL = 0.25  # seconds in which places that others leave are noticed, at most
_AGAIN = 1.0  # seconds, where the journal is away
_FLUSH = 0.05  # seconds that what was left may wait for company
_GRAIN = 0.05  # seconds; what ended within one is kept as one number

FAREWELL = 1.0
"""Seconds for giving places back when the client is closed."""

_log = logging.getLogger("personakit")


@runtime_checkable
class Shared(Protocol):
    """What processes share with each other; a journal may offer it."""

    @property
    def worker(self) -> str:
        """The name of this process among the others."""
        ...

    async def change(
        self, name: str, change: Callable[[str | None, float], str]
    ) -> None:
        """Change a text, one process after the other.

        Args:
            name: Of the text.
            change: Is given the text, None at first, and the time in seconds by a clock
                that all share; returns the new text. It may be called again.
        """
        ...

    async def announce(self, job_id: str) -> None:
        """Tell every process that a job has changed, this one as well."""
        ...

    def listen(self, on_notify: Callable[[str], None]) -> None:
        """Have `on_notify` called with the id of each job that is announced."""
        ...


@attrs.define
class Tally:
    """What all processes know of an account's requests.

    Attributes:
        window: The requests that count.
        holders: For each process, how many it has under way, and until when that holds
            if nothing more is heard of it.
    """

    window: SlidingWindow
    holders: dict[str, tuple[int, float]] = attrs.field(
        factory=dict[str, tuple[int, float]]
    )

    def count_held(self, now: float) -> int:
        """Return how many are under way; of the dead, all count as just answered."""
        for name, (count, until) in list(self.holders.items()):
            if until <= now:
                del self.holders[name]
                self.window.ended.extend([now] * count)
        return sum(count for count, _ in self.holders.values())

    def dump(self) -> str:
        """Return it as text."""
        ended: list[list[float]] = []
        for time in self.window.ended:
            late = math.ceil(time / _GRAIN) * _GRAIN
            if ended and ended[-1][0] == late:
                ended[-1][1] += 1
            else:
                ended.append([late, 1])
        window = self.window
        return json.dumps(
            {
                "count": window.count,
                "ended": ended,
                "closed_until": window.closed_until,
                "refusals": window.refusals,
                "changed_at": window.changed_at,
                "holders": self.holders,
            }
        )


def load_tally(text: str | None, limit: Limit) -> Tally:
    """Read what `Tally.dump` wrote; nothing, or what no version wrote, begins anew."""
    if text is None:
        return Tally(SlidingWindow(limit, limit.count))
    try:
        return _read_tally(json.loads(text), limit)
    except (ValueError, LookupError, TypeError, AttributeError):
        _log.warning("What is known of the account cannot be read, and begins anew")
        return Tally(SlidingWindow(limit, limit.count))


def _read_tally(told: dict[str, Any], limit: Limit) -> Tally:
    window = SlidingWindow(
        limit,
        count=told["count"] if limit.count == math.inf else limit.count,
        closed_until=told["closed_until"],
        refusals=told["refusals"],
        changed_at=told["changed_at"],
    )
    for time, count in told["ended"]:
        window.ended.extend([time] * int(count))
    holders = {name: (count, until) for name, (count, until) in told["holders"].items()}
    return Tally(window, holders)


class SharedRateLimiter(RateLimiter):
    """For an account that several processes use.

    Args:
        limit: Where none is known, it is found out by what the service refuses.
        name: Of the account, and of what is counted.
        shared: What the processes share.
    """

    def __init__(self, limit: Limit, name: str, shared: Shared) -> None:
        super().__init__()
        self._limit, self._name, self._shared = limit, name, shared
        self._holder = f"{shared.worker} {id(self):x}"
        self._left: list[float] = []
        self._refused: list[float | None] = []
        self._news = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    def try_acquire(self, most: int = IN_FLIGHT) -> bool:  # noqa: ARG002
        """Return False: the other processes have to be asked."""
        return False

    def release(self, *, is_refused: bool = False) -> None:
        """Give a place back."""
        self.held -= 1
        if not is_refused:
            self._left.append(self._loop.time())
        self._grant_turns()

    def back_off(self, retry_after: float | None) -> None:
        """Heed a refusal."""
        self._refused.append(retry_after)
        self._grant_turns()

    def _grant_turns(self) -> None:
        self._news.set()
        if self._serving is None:
            self._serving = self._loop.create_task(self._exchange_all())

    async def _exchange_all(self) -> None:
        """Exchange what is new, for as long as there is anything to tell or to ask."""
        while self._first() is not None or self._left or self._refused or self.held:
            self._news.clear()
            try:
                pause = await self._exchange()
            except JournalError as error:
                _log.warning("The account's limit cannot be looked up: %s", error)
                pause = _AGAIN
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._news.wait()
                    if self._first() is None:
                        await asyncio.sleep(_FLUSH)
        self._serving = None

    async def _exchange(self) -> float:
        """Tell what has happened, ask for places, and return when to come again."""
        left, self._left = self._left, []
        refused, self._refused = self._refused, []
        held = self.held  # of this very moment, as `left` is
        wanted = self._count_wanted()
        asked_at = self._loop.time()
        granted, pause = 0, math.inf

        def change(text: str | None, now: float) -> str:
            nonlocal granted, pause
            tally = load_tally(text, self._limit)
            window = tally.window
            for retry_after in refused:
                window.back_off(now, retry_after)
            for time in left:  # by the clock that all share
                window.release(now - max(asked_at - time, 0))
            tally.holders.pop(self._holder, None)
            others = tally.count_held(now)
            granted = int(min(wanted, window.find_room(now, others + held)))
            mine = held + granted
            if mine:
                tally.holders[self._holder] = (mine, now + LEASE)
            pause = min(window.find_pause(now, others + mine), _POLL)
            return tally.dump()

        try:
            await self._shared.change(self._name, change)
        except JournalError:
            self._left, self._refused = [*left, *self._left], [*refused, *self._refused]
            raise
        for _ in range(granted):
            if (turn := self._first()) is not None:
                self._grant(turn)
        if self._first() is None or granted == wanted:
            return _RENEWAL  # until something happens here
        # Not all at once, or one process would always come first.
        return max(pause, 0.001) * random.uniform(0.5, 1.0)

    def _count_wanted(self) -> int:
        """Return the number of places that would be used at once."""
        bounds = [most for turn, most in self._waiting if not turn.done()]
        held = self.held
        for most in bounds:
            held += held < most
        return held - self.held

    async def aclose(self) -> None:
        """Stop, and tell the others that nothing is under way here any more."""
        await super().aclose()
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
            with suppress(JournalError, TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await self._exchange()


def open_limiter(
    what: str, limit: Limit, *, account: str, shared: Shared | None
) -> RateLimiter:
    """Return a rate limiter for an account, one that is shared where there is a way.

    Args:
        what: Is counted, for example ``"starts"``.
        limit: Of the account.
        account: A name that is the same in all processes that use the account.
        shared: What they share, None for nothing.
    """
    if shared is None:
        return LocalRateLimiter(limit)
    return SharedRateLimiter(limit, f"{account} {what}", shared)
