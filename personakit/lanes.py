"""Requests pass as an account's limit allows, in the order in which they came."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections import deque
from types import TracebackType
from typing import Self

from personakit.errors import PersonaKitError, RateLimited
from personakit.limits import Limit
from personakit.windows import Window

IN_FLIGHT = 64
"""Requests under way at the same time, at most."""


class Lane(ABC):
    """Lets requests pass in the order in which they came.

    Attributes:
        held: Places that are taken, for requests under way.
    """

    def __init__(self) -> None:
        self.held: int = 0
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[None]] = deque()

    @abstractmethod
    def try_enter(self) -> bool:
        """Take a place if there is one just now and nobody waits for it."""

    @abstractmethod
    def refuse(self, retry_after: float | None) -> None:
        """Heed that the service refused a request because of its limit.

        Args:
            retry_after: Seconds that it asked to wait, None when it did not.
        """

    @abstractmethod
    def leave(self, *, is_refused: bool = False) -> None:
        """Give a place back: the request was answered, or never will be.

        Args:
            is_refused: True where the service refused it because of its limit.
        """

    @abstractmethod
    def _serve(self) -> None:
        """Let in whoever may pass, now or later: something has changed."""

    async def enter(self, within: float = math.inf) -> None:
        """Wait for a place, which `leave` must give back.

        Args:
            within: Seconds that the caller has.

        Raises:
            RateLimited: there will be none in time; nothing was asked.
        """
        if not self.try_enter():
            await self._wait(within)

    def ask(self) -> asyncio.Future[None]:
        """Wait in line; the place is held when the future is done without an error."""
        turn = self._loop.create_future()
        self._waiting.append(turn)
        self._serve()
        return turn

    async def _wait(self, within: float) -> None:
        turn = self.ask()
        try:
            async with asyncio.timeout(None if within == math.inf else within):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not (turn.cancelled() or turn.exception()):
                self.leave(is_refused=True)  # it came in the very same moment
            self._serve()
            if isinstance(error, TimeoutError):
                raise RateLimited(
                    "The account's limit leaves no room before the deadline.",
                    retry_safe=True,
                ) from None
            raise

    def _first(self) -> asyncio.Future[None] | None:
        """Return who is next; whoever waited and has left is passed over."""
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None

    def _let_in(self, turn: asyncio.Future[None]) -> None:
        """Give a place to who is next."""
        self._waiting.popleft()
        turn.set_result(None)
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
            self.refuse(error.retry_after)
            self.leave(is_refused=True)
        else:
            self.leave()

    async def aclose(self) -> None:
        """Stop; whoever still waits is told that the client is closed."""
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(
                    PersonaKitError("The client was closed before this was sent.")
                )


class OwnLane(Lane):
    """For an account that only this process uses.

    Args:
        limit: Where none is known, it is found out by what the service refuses.
    """

    def __init__(self, limit: Limit) -> None:
        super().__init__()
        self._window = Window(limit, limit.count)
        self._timer: asyncio.TimerHandle | None = None

    def try_enter(self) -> bool:
        """Take a place if there is one just now and nobody waits for it."""
        if self._waiting or self._find_pause() > 0:
            return False
        self.held += 1
        return True

    def leave(self, *, is_refused: bool = False) -> None:
        """Give a place back."""
        self.held -= 1
        if not is_refused:
            self._window.leave(self._loop.time())
        self._serve()

    def refuse(self, retry_after: float | None) -> None:
        """Heed a refusal."""
        self._window.refuse(self._loop.time(), retry_after)
        self._serve()

    def _find_pause(self) -> float:
        """Return the seconds until there is a place, infinite until one is left."""
        pause = self._window.find_pause(self._loop.time(), self.held)
        return math.inf if pause == 0 and self.held >= IN_FLIGHT else pause

    def _serve(self) -> None:
        """Let in whoever may pass, and come back when the next one may."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while (turn := self._first()) is not None:
            if (pause := self._find_pause()) > 0:
                if pause < math.inf:
                    self._timer = self._loop.call_later(pause, self._serve)
                return
            self._let_in(turn)

    async def aclose(self) -> None:
        """Stop; whoever still waits is told that the client is closed."""
        if self._timer is not None:
            self._timer.cancel()
        await super().aclose()
