"""Delivers callbacks: to one address on this machine, whatever callers asked for."""

from __future__ import annotations

import asyncio

import aiohttp
import attrs
from yarl import URL

from personakit.emulator.clock import Clock
from personakit.emulator.outbox import Notice, Outbox

_HERE = {"localhost", "127.0.0.1", "::1"}


@attrs.frozen
class Delivery:
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


class Courier:
    """Posts every notice of an outbox when it is due.

    Args:
        clock: The services' time.
        outbox: Where the notices wait.
        to: Whose scheme, host and port replace those of the callers' addresses.

    Attributes:
        deliveries: Everything that was tried, oldest first.

    Raises:
        ValueError: `to` is not on this machine.
    """

    def __init__(self, clock: Clock, outbox: Outbox, to: str) -> None:
        self._to = URL(to)
        if self._to.host not in _HERE:
            raise ValueError("callbacks_to must be an address on this machine")
        self._clock = clock
        self._outbox = outbox
        self._changed: asyncio.Event | None = None
        self._posts: set[asyncio.Task[None]] = set()
        self.deliveries: list[Delivery] = []

    def wake(self) -> None:
        """Look at the outbox again: it or the clock has changed."""
        if self._changed is not None:
            self._changed.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        self._outbox.on_change = self.wake
        # Made here, since an emulator may be started in another loop.
        changed = self._changed = asyncio.Event()
        async with aiohttp.ClientSession() as session:
            try:
                while True:
                    changed.clear()
                    for notice in self._outbox.take_due(self._clock.now()):
                        self._start(session, notice)
                    await self._rest(changed)
            finally:
                for post in self._posts:
                    post.cancel()
                await asyncio.gather(*self._posts, return_exceptions=True)

    def _start(self, session: aiohttp.ClientSession, notice: Notice) -> None:
        post = asyncio.get_running_loop().create_task(self._deliver(session, notice))
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)

    async def _rest(self, changed: asyncio.Event) -> None:
        """Wait until the next notice is due, or something has changed."""
        due = self._outbox.next_due
        pause = None
        if due is not None:
            pause = max(due - self._clock.now(), 0.0) / self._clock.speed
        try:
            async with asyncio.timeout(pause):
                await changed.wait()
        except TimeoutError:
            return

    async def _deliver(self, session: aiohttp.ClientSession, notice: Notice) -> None:
        for pause in (0.0, *notice.retries):
            await asyncio.sleep(pause)
            if await self._post(session, notice):
                return

    async def _post(self, session: aiohttp.ClientSession, notice: Notice) -> bool:
        """Post once, and tell whether the caller took it."""
        asked, (body, headers) = URL(notice.url), notice.make()
        url = self._to.with_path(asked.path).with_query(asked.query_string or None)
        status: int | None = None
        try:
            async with session.post(
                url,
                data=body,
                headers={"Content-Type": "application/json", **headers},
                timeout=aiohttp.ClientTimeout(total=notice.timeout),
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            pass
        now = asyncio.get_running_loop().time()
        self.deliveries.append(
            Delivery(now, notice.url, body, tuple(headers.items()), status)
        )
        return status is not None and status in range(200, 300)
