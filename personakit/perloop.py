"""One value for each event loop that asks, closed no later than its loop.

A client may outlive its loop: three ``asyncio.run`` with one client, or one client in
two threads. What it holds open belongs to one loop each. The value lives inside an
asynchronous generator, because a loop that shuts down closes those by itself: nothing
stays open even where nobody calls `aclose`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Opens a value when a loop first asks for it.

    Args:
        open_value: Makes the value, in the running loop and without awaiting.
        close_value: Closes it again.
    """

    def __init__(
        self,
        open_value: Callable[[], T],
        close_value: Callable[[T], Awaitable[None]],
    ) -> None:
        self._open = open_value
        self._close = close_value
        self._lives: dict[
            asyncio.AbstractEventLoop, tuple[AsyncGenerator[T, None], T]
        ] = {}

    def __bool__(self) -> bool:
        return bool(self._lives)

    def items(self) -> list[tuple[asyncio.AbstractEventLoop, T]]:
        """Return the loops that are served, each with its value."""
        return [(loop, value) for loop, (_, value) in self._lives.items()]

    async def here(self) -> T:
        """Return the value of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._lives:
            life = self._live(loop)
            self._lives[loop] = (life, await anext(life))
        return self._lives[loop][1]

    async def _live(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[T, None]:
        value = self._open()
        try:
            yield value
        finally:
            self._lives.pop(loop, None)
            await self._close(value)

    async def aclose(self) -> None:
        """Close the value of the running loop, if there is one."""
        held = self._lives.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held[0].aclose()
