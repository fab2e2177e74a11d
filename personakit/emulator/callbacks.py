"""Delivers callbacks: to one address on this machine, whatever callers asked for."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Mapping

import aiohttp
import attrs
from yarl import URL

from personakit.emulator.clock import Clock


@attrs.frozen
class PlannedCallback:
    """One callback to come.

    Attributes:
        due: Second of the service's clock.
        url: The address that the caller gave.
        make: Makes body and headers at the moment of sending.
        timeout: Seconds of real time to wait for the answer.
        retries: Seconds to wait before each further try; empty for a single one.
    """

    due: float
    url: str
    make: Callable[[], tuple[bytes, Mapping[str, str]]]
    timeout: float
    retries: tuple[float, ...] = ()


class CallbackQueue:
    """Notices that wait for their time, earliest first."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, PlannedCallback]] = []
        self._order = itertools.count()
        self.on_change: Callable[[], None] = lambda: None

    def add(self, callback: PlannedCallback) -> None:
        """Keep a callback until it is due."""
        heapq.heappush(self._waiting, (callback.due, next(self._order), callback))
        self.on_change()

    @property
    def next_due(self) -> float | None:
        """Second of the service's clock of the earliest callback, None without any."""
        return self._waiting[0][0] if self._waiting else None

    def take_due(self, now: float) -> list[PlannedCallback]:
        """Return the callbacks that are due, and forget them."""
        due: list[PlannedCallback] = []
        while self._waiting and self._waiting[0][0] <= now:
            due.append(heapq.heappop(self._waiting)[2])
        return due


_HERE = {"localhost", "127.0.0.1", "::1"}


@attrs.frozen
class Callback:
    """One callback that was posted, or could not be.

    Attributes:
        at: Second of the event loop's time.
        url: The address that the caller gave.
        body: As it was sent.
        headers: As they were sent, beside the usual ones.
        status: HTTP status of the answer, None when there was none.
    """

    at: float
    url: str
    body: bytes
    headers: tuple[tuple[str, str], ...]
    status: int | None


class CallbackSender:
    """Posts every callback of a callback queue when it is due.

    Args:
        clock: The services' time.
        callback queue: Where the callbacks wait.
        to: Whose scheme, host and port replace those of the callers' addresses.

    Attributes:
        callbacks: Everything that was tried, oldest first.

    Raises:
        ValueError: `to` is not on this machine.
    """

    def __init__(self, clock: Clock, queue: CallbackQueue, to: str) -> None:
        self._to = URL(to)
        if self._to.host not in _HERE:
            raise ValueError("callbacks_to must be an address on this machine")
        self._clock = clock
        self._queue = queue
        self._changed: asyncio.Event | None = None
        self._posts: set[asyncio.Task[None]] = set()
        self.callbacks: list[Callback] = []

    def wake(self) -> None:
        """Look at the callback queue again: it or the clock has changed."""
        if self._changed is not None:
            self._changed.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        self._queue.on_change = self.wake
        # Made here, since an emulator may be started in another loop.
        changed = self._changed = asyncio.Event()
        async with aiohttp.ClientSession() as session:
            try:
                while True:
                    changed.clear()
                    for callback in self._queue.take_due(self._clock.now()):
                        self._start(session, callback)
                    await self._rest(changed)
            finally:
                for post in self._posts:
                    post.cancel()
                await asyncio.gather(*self._posts, return_exceptions=True)

    def _start(self, session: aiohttp.ClientSession, callback: PlannedCallback) -> None:
        post = asyncio.get_running_loop().create_task(self._deliver(session, callback))
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)

    async def _rest(self, changed: asyncio.Event) -> None:
        """Wait until the next callback is due, or something has changed."""
        due = self._queue.next_due
        pause = None
        if due is not None:
            pause = max(due - self._clock.now(), 0.0) / self._clock.speed
        try:
            async with asyncio.timeout(pause):
                await changed.wait()
        except TimeoutError:
            return

    async def _deliver(
        self, session: aiohttp.ClientSession, callback: PlannedCallback
    ) -> None:
        for pause in (0.0, *callback.retries):
            await asyncio.sleep(pause)
            if await self._post(session, callback):
                return

    async def _post(
        self, session: aiohttp.ClientSession, callback: PlannedCallback
    ) -> bool:
        """Post once, and tell whether the caller took it."""
        asked, (body, headers) = URL(callback.url), callback.make()
        url = self._to.with_path(asked.path).with_query(asked.query_string or None)
        status: int | None = None
        try:
            async with session.post(
                url,
                data=body,
                headers={"Content-Type": "application/json", **headers},
                timeout=aiohttp.ClientTimeout(total=callback.timeout),
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            pass
        now = asyncio.get_running_loop().time()
        self.callbacks.append(
            Callback(now, callback.url, body, tuple(headers.items()), status)
        )
        return status is not None and status in range(200, 300)
