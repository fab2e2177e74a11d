"""Other clients' own waiting, as they ship it, against the neutral server.

Whoever is not installed is left out: ``pip install 'personakit-sdk[bench]'``.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from typing import Any, TypeAlias

import attrs

Wait: TypeAlias = Callable[[int], Awaitable[object]]
"""Waits, forever on the neutral server, for the job of that number."""


@attrs.frozen
class Peer:
    """Another client.

    Attributes:
        name: Of its package.
        interval: Seconds between two reads by its own default.
        open: Opens it, given a server's address, seconds between two reads and an
            httpx transport (None for its own), and gives its way of waiting.
    """

    name: str
    interval: float
    open: Callable[[AsyncExitStack, str, float, Any], Awaitable[Wait]]


async def _openai(stack: AsyncExitStack, base: str, every: float, via: Any) -> Wait:
    openai = importlib.import_module("openai")
    httpx = importlib.import_module("httpx")
    client = await stack.enter_async_context(
        openai.AsyncOpenAI(
            api_key="key",
            base_url=f"{base}/openai",
            http_client=via and httpx.AsyncClient(transport=via),
        )
    )

    async def wait(number: int) -> object:
        name = f"video-{number}"
        return await client.videos.poll(name, poll_interval_ms=int(every * 1000))

    return wait


async def _replicate(_: AsyncExitStack, base: str, every: float, via: Any) -> Wait:
    replicate = importlib.import_module("replicate")
    more = {} if via is None else {"transport": via}
    client = replicate.Client(api_token="key", base_url=base, **more)  # noqa: S106
    client.poll_interval = every

    async def wait(number: int) -> object:
        prediction = await client.predictions.async_get(f"p{number}")
        return await prediction.async_wait()

    return wait


async def _runwayml(stack: AsyncExitStack, base: str, every: float, via: Any) -> Wait:
    runwayml = importlib.import_module("runwayml")
    polling: Any = importlib.import_module("runwayml.lib.polling")
    httpx = importlib.import_module("httpx")
    # Its interval is a constant; the jitter scales with it.
    polling.POLL_TIME, polling.POLL_JITTER = every, every / 2
    client = await stack.enter_async_context(
        runwayml.AsyncRunwayML(
            api_key="key",
            base_url=f"{base}/runway",
            http_client=via and httpx.AsyncClient(transport=via),
        )
    )
    made = polling.create_async_waitable_resource(
        importlib.import_module("runwayml._models").BaseModel, client
    )

    async def wait(number: int) -> object:
        return await made(id=f"t{number}").wait_for_task_output(timeout=None)

    return wait


async def _fal(stack: AsyncExitStack, base: str, every: float, via: Any) -> Wait:
    fal = importlib.import_module("fal_client")
    httpx = importlib.import_module("httpx")
    client = await stack.enter_async_context(httpx.AsyncClient(transport=via))

    async def wait(number: int) -> object:
        address = f"{base}/fal/r{number}"
        handle = fal.AsyncRequestHandle(
            request_id=f"r{number}",
            response_url=address,
            status_url=address,
            cancel_url=address,
            client=client,
        )
        return [status async for status in handle.iter_events(interval=every)]

    return wait


PEERS = (
    Peer("openai", 1.0, _openai),
    Peer("replicate", 0.5, _replicate),
    Peer("runwayml", 6.0, _runwayml),
    Peer("fal_client", 0.1, _fal),
)


def installed() -> tuple[Peer, ...]:
    """Return the peers that are there, and name those that are not."""
    for peer in PEERS:
        if find_spec(peer.name) is None:
            print(f"{peer.name} is not installed: left out")
    return tuple(peer for peer in PEERS if find_spec(peer.name))


@asynccontextmanager
async def opened(
    peer: Peer, base: str, every: float, via: Any = None
) -> AsyncGenerator[Wait]:
    """Open a peer, and close it again."""
    async with AsyncExitStack() as stack:
        yield await peer.open(stack, base, every, via)
