"""Small raw servers on loopback for what no polite server would do."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@attrs.define
class Heard:
    """What a raw server has received."""

    url: str = ""
    connections: int = 0
    requests: list[bytes] = attrs.field(factory=list)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read one HTTP request with its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return head + await reader.readexactly(length)


def answer(
    body: bytes = b"{}", *, status: str = "200 OK", headers: str = "", length: int = -1
) -> bytes:
    """Build one HTTP answer; `length` overrides the announced length."""
    announced = len(body) if length < 0 else length
    head = f"HTTP/1.1 {status}\r\nContent-Length: {announced}\r\n{headers}\r\n"
    return head.encode() + body


@asynccontextmanager
async def raw_server(
    reply: bytes | None = None,
    *,
    handler: Handler | None = None,
    tls: ssl.SSLContext | None = None,
    scheme: str = "http",
    host: str = "127.0.0.1",
) -> AsyncIterator[Heard]:
    """Serve one canned reply to every request, then close; or run a handler."""
    heard = Heard()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.connections += 1
        try:
            if handler is not None:
                await handler(reader, writer)
            else:
                heard.requests.append(await read_request(reader))
                writer.write(reply or b"")
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    heard.url = f"{scheme}://{host}:{server.sockets[0].getsockname()[1]}"
    try:
        yield heard
    finally:
        server.close()
        await asyncio.sleep(0)
