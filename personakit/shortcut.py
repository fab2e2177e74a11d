"""A shorter way for reads: aiohttp's connections without its session around each.

A session builds a request, a response and their contexts for every exchange, which is
most of what a small read costs. Here the connection is taken from the session's own
pool, the request is text made once, and aiohttp's parser reads the answer. These parts
of aiohttp are not documented. So the first read goes over the session, which shows what
aiohttp makes of it; whatever looks otherwise than expected ends the shortcut for good,
and all reads go over the session again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import aiohttp
import attrs
from aiohttp.http import HttpProcessingError

from personakit.wire import Response

BODY_LIMIT = 8 * 1024 * 1024
"""Bytes of an answer, after decompression."""

_CHUNK = 64 * 1024
_SAFE = re.compile(r"/[!-~]*")  # nothing that could end the line
_USUAL = {"host", "authorization", "user-agent", "accept", "accept-encoding"}
_UNEXPECTED = (AttributeError, TypeError, ValueError, LookupError, AssertionError)

_log = logging.getLogger("personakit")


@attrs.define(eq=False)
class Shortcut:
    """The way to one address.

    Attributes:
        origin: Scheme, host and port of the address.
        timeout: For the connection alone.
        is_off: True once it has shown that it cannot be used.
    """

    origin: str
    timeout: aiohttp.ClientTimeout
    is_off: bool = False
    _connector: Any = attrs.field(default=None, init=False)
    _request: Any = attrs.field(default=None, init=False)
    _head: str = attrs.field(default="", init=False)

    def make_session(self, **options: Any) -> aiohttp.ClientSession:
        """Make the session whose reads this learns from, and shortens."""
        learn = self._learn

        class Seen(aiohttp.ClientRequest):
            """A request that shows itself."""

            def __init__(self, *args: Any, **more: Any) -> None:
                super().__init__(*args, **more)
                learn(self)

        session = aiohttp.ClientSession(request_class=Seen, **options)
        self._connector = session.connector
        return session

    def _learn(self, request: Any) -> None:
        """Keep the first request that is like all the others to this address."""
        if self._request is not None or self.is_off:
            return
        try:
            names = {name.lower() for name in request.headers}
            is_here = str(request.url.origin()) == self.origin
            if request.method != "GET" or names != _USUAL or not is_here:
                return
            lines = [f"{name}: {value}" for name, value in request.headers.items()]
            self._head = "\r\n".join((" HTTP/1.1", *lines, "", ""))
            self._request = request
        except _UNEXPECTED as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.is_off, self._request = True, None
        _log.info("Reads take the longer way from now on: %r", error)

    async def get(self, path: str) -> Response | None:
        """Read what is at a path; None where the session has to do it.

        Raises:
            ClientError: as a session would.
            OSError: the same.
        """
        if self._request is None or not _SAFE.fullmatch(path):
            return None
        try:
            return await self._get(f"GET {path}{self._head}".encode())
        except _UNEXPECTED as error:
            self._give_up(error)
            return None

    async def _get(self, text: bytes) -> Response:
        try:
            return await self._exchange(await self._connect(), text)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            # An idle connection may just have been closed: once more, as sessions do.
            return await self._exchange(await self._connect(), text)

    async def _connect(self) -> Any:
        return await self._connector.connect(self._request, [], self.timeout)

    async def _exchange(self, connection: Any, text: bytes) -> Response:
        try:
            protocol, pipe = connection.protocol, connection.transport
            if pipe is None or pipe.is_closing():
                raise aiohttp.ServerDisconnectedError
            protocol.set_response_params(read_until_eof=True, auto_decompress=True)
            pipe.write(text)
            message, payload = await protocol.read()
            while message.code < HTTPStatus.OK:  # an interim answer
                message, payload = await protocol.read()
            body = await read_body(message.headers, payload)
        except HttpProcessingError as error:
            connection.close()
            raise aiohttp.ClientPayloadError("no HTTP answer") from error
        except BaseException:
            connection.close()
            raise
        connection.release()
        return Response(message.code, message.headers, body)


async def read_body(headers: Mapping[str, str], content: aiohttp.StreamReader) -> bytes:
    """Read a whole body, of which nobody may make too much.

    Raises:
        ClientPayloadError: it is too long, or broken.
    """
    length = headers.get("Content-Length", "")
    is_short = length.isdecimal() and int(length) <= BODY_LIMIT
    if is_short and "Content-Encoding" not in headers:
        return await content.read()
    body = bytearray()
    async for chunk in content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > BODY_LIMIT:
            raise aiohttp.ClientPayloadError("too long")
    return bytes(body)
