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
        close_value: Closes it again. It is called a second time if the first call was
            cancelled.
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
        self._closings: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        return bool(self.items())

    def items(self) -> list[tuple[asyncio.AbstractEventLoop, T]]:
        """Return the loops that are served, each with its value.

        Other threads may open and close values at the same time.
        """
        for loop in list(self._lives):
            if loop.is_closed():  # without its generators, which cannot run any more
                self._lives.pop(loop, None)
        return [(loop, value) for loop, (_, value) in list(self._lives.items())]

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
            if self._lives.get(loop, (None, None))[1] is value:
                del self._lives[loop]
            try:
                await self._close(value)
            except asyncio.CancelledError:
                await self._close(value)  # the rest of it
                raise

    async def aclose(self) -> None:
        """Close the value of the running loop, if there is one.

        If the caller is cancelled, closing goes on, and the next call waits for it.
        """
        loop = asyncio.get_running_loop()
        if (held := self._lives.pop(loop, None)) is not None:
            closing = loop.create_task(_end(held[0]))
            self._closings.add(closing)
            closing.add_done_callback(self._closings.discard)
        mine = [one for one in list(self._closings) if one.get_loop() is loop]
        for closing in mine:
            await asyncio.shield(closing)


async def _end(life: AsyncGenerator[T, None]) -> None:
    await life.aclose()
