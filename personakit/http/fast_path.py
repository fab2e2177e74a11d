"""A shorter way for reads: aiohttp's connections without its session around each.

A session builds a request, a response and their contexts for every exchange, which is
most of what a small one costs. Here the connection is taken from the session's own
pool, what is sent is text made once, and aiohttp's parser reads the answer. These parts
of aiohttp are not documented. So the first exchange goes over the session, which shows
what aiohttp makes of it; whatever looks otherwise than expected ends the shortcut for
good, and all goes over the session again. Every request here is repeatable; paid
requests use the session alone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias

import aiohttp
import attrs
from aiohttp.http import HttpProcessingError

from personakit.http.messages import Request, Response

BODY_LIMIT = 8 * 1024 * 1024
"""Bytes of an answer, after decompression."""

_CHUNK = 64 * 1024
_SAFE = re.compile(r"/[!-~]*")  # nothing that could end the line
_USUAL = {"host", "authorization", "user-agent", "accept", "accept-encoding"}
_OF_BODIES = {"content-type", "content-length"}
_UNEXPECTED = (AttributeError, TypeError, ValueError, LookupError, AssertionError)

Note: TypeAlias = Callable[[Mapping[str, str]], None]
"""Called with the headers of an answer, before its body is read."""

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
    # Both hold the API key, which is never shown.
    _request: Any = attrs.field(default=None, init=False, repr=False)
    _head: str = attrs.field(default="", init=False, repr=False)

    def make_session(self, **options: Any) -> aiohttp.ClientSession:
        """Make the session that this learns from, and shortens."""
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
            common = {
                name: value
                for name, value in request.headers.items()
                if name.lower() not in _OF_BODIES
            }
            is_here = str(request.url.origin()) == self.origin
            if {name.lower() for name in common} != _USUAL or not is_here:
                return
            lines = [f"{name}: {value}" for name, value in common.items()]
            self._head = "\r\n".join((" HTTP/1.1", *lines, ""))
            self._request = request
        except _UNEXPECTED as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.is_off, self._request = True, None
        # By its kind alone: its text may repeat what was sent.
        _log.info("Requests take the longer way from now on: %s", type(error).__name__)

    async def send(self, request: Request, path: str, note: Note) -> Response | None:
        """Send a repeatable request that has no headers of its own.

        Args:
            request: The request.
            path: Its path below the address.
            note: Called with the answer's headers.

        Returns:
            The answer; None if the session has to send the request.

        Raises:
            ClientError: as a session would.
            OSError: the same.
        """
        if self._request is None or not _SAFE.fullmatch(path):
            return None
        text = self._write(request, path)
        try:
            return await self._exchange(text, note)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            # An idle connection may just have been closed: once more, as sessions do.
            return await self._exchange(text, note)

    def _write(self, request: Request, path: str) -> bytes:
        start, body = f"{request.method} {path}{self._head}", request.body
        if body is None:
            return f"{start}\r\n".encode()
        kind = f"Content-Type: {request.content_type}\r\nContent-Length: {len(body)}"
        return f"{start}{kind}\r\n\r\n".encode() + body

    async def _exchange(self, text: bytes, note: Note) -> Response | None:
        connection = await self._open()
        if connection is None:
            return None
        try:
            answer = await _converse(connection, text, note)
        except HttpProcessingError as error:
            connection.close()
            raise aiohttp.ClientPayloadError("no HTTP answer") from error
        except _UNEXPECTED as error:
            connection.close()
            self._give_up(error)
            return None
        except BaseException:
            connection.close()
            raise
        connection.release()
        return answer

    async def _open(self) -> Any:
        """Take a connection that is ready to be written to, None where none is."""
        try:
            connection = await self._connector.connect(self._request, [], self.timeout)
            connection.protocol.set_response_params(
                read_until_eof=True, auto_decompress=True
            )
            is_closing = connection.transport.is_closing()
        except _UNEXPECTED as error:
            self._give_up(error)
            return None
        if is_closing:
            connection.close()
            raise aiohttp.ServerDisconnectedError
        return connection


async def _converse(connection: Any, text: bytes, note: Note) -> Response:
    connection.transport.write(text)
    message, payload = await connection.protocol.read()
    while message.code < HTTPStatus.OK:  # an interim answer
        message, payload = await connection.protocol.read()
    note(message.headers)
    body = await read_body(message.headers, payload)
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
