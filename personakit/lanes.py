"""Requests pass as an account's limit allows, in the order in which they came."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections import deque
from types import TracebackType
from typing import Self, TypeAlias

from personakit.errors import PersonaKitError, RateLimited, too_late
from personakit.limits import Limit
from personakit.windows import Window

IN_FLIGHT = 64
"""Requests under way at the same time, at most."""
RESERVED = 8
"""Further places for direct calls (`Lane.enter`), so that polls that hang do not keep a
caller from reading the balance."""


_Turn: TypeAlias = tuple["asyncio.Future[None]", int]


class Lane(ABC):
    """Lets requests pass in the order in which they came.

    Polls (`try_enter`, `ask`) hold at most `IN_FLIGHT` places together. Direct calls
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
    def try_enter(self, most: int = IN_FLIGHT) -> bool:
        """Take a place if one is free and no other request waits for it.

        Args:
            most: Number of held places from which on none is free.
        """

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

    async def enter(self, deadline: float = math.inf) -> None:
        """Wait for a place for a direct call; `leave` must give it back.

        Args:
            deadline: Loop time; ``math.inf`` for no deadline.

        Raises:
            ServiceUnavailable: the deadline had passed; nothing was sent.
            RateLimited: no place was free before the deadline; nothing was sent.
        """
        if self._loop.time() >= deadline:
            raise too_late()
        if not self.try_enter(IN_FLIGHT + RESERVED):
            await self._wait(deadline)

    def ask(self, most: int = IN_FLIGHT) -> asyncio.Future[None]:
        """Queue for a place, which is held when the future is done without an error.

        Args:
            most: Number of held places from which on none is free.
        """
        turn = self._loop.create_future()
        self._waiting.append((turn, most))
        self._serve()
        return turn

    async def _wait(self, deadline: float) -> None:
        turn = self.ask(IN_FLIGHT + RESERVED)
        try:
            async with asyncio.timeout_at(None if deadline == math.inf else deadline):
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

    def _let_in(self, waiting: _Turn) -> None:
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
            self.refuse(error.retry_after)
            self.leave(is_refused=True)
        else:
            self.leave()

    async def aclose(self) -> None:
        """Stop; whoever still waits is told that the client is closed."""
        for turn, _ in self._waiting:
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

    def try_enter(self, most: int = IN_FLIGHT) -> bool:
        """Take a place if one is free and no other request waits for it."""
        is_next = self.held < most and self._first() is None
        if not is_next or self._find_pause() > 0:
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
        """Return the seconds until there is room, infinite until a place is left."""
        return self._window.find_pause(self._loop.time(), self.held)

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
