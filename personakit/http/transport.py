"""aiohttp on one side, `Request` and `Response` on the other.

One request in, one response out, whatever its status. Nothing is repeated here (but by
aiohttp itself: a GET that meets an idle connection just closed), no redirect is
followed, and the key goes to the service's own address only. A transport belongs to the
event loop in which it was made.
"""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Mapping,
)
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import attrs
from yarl import URL

from personakit.errors import PersonaKitError, invalid
from personakit.http.addresses import is_forbidden, is_here, is_public, make_guard
from personakit.http.fast_path import Shortcut, read_body
from personakit.http.flight import (
    HOPELESS,
    Flight,
    NotSentError,
    describe,
    make_witness,
)
from personakit.http.messages import READ_TIMEOUT, NoAnswer, Request, Response
from personakit.http.watchdog import Watchdog
from personakit.version import __version__

CONNECT_TIMEOUT = 10.0
"""Seconds for a place in the pool, name lookup, connection and TLS together."""
_CHUNK = 64 * 1024
_PIECE = 1024 * 1024  # bytes of a body that are sent in one go
_STALL_TIMEOUT = 60.0  # seconds without a byte of a download
_USER_AGENT = f"personakit/{__version__}"
_HIDDEN = b"***"
_SHORTEST_SECRET = 8
_USUAL = CONNECT_TIMEOUT + READ_TIMEOUT  # seconds that most reads have


def check_base_url(base_url: str, field: str = "base_url") -> URL:
    """Read the address of a service, to which the key will be sent.

    Args:
        base_url: The address.
        field: What to call it in a refusal.

    Raises:
        InvalidRequest: not https (http is for this machine only), or no plain address.
    """
    try:
        url = URL(base_url)
    except (TypeError, ValueError):
        url = URL()
    is_plain = not (url.user or url.query_string or url.fragment)
    if not (url.host and is_plain and is_allowed(url, loopback=True)):
        raise invalid(
            field,
            "must be an https address without user, query or fragment "
            "(http only for this machine)",
            "Pass the service's own address, for example https://api.evolink.ai",
        )
    return url


def is_loopback(url: URL) -> bool:
    """Tell whether an address names this machine."""
    host = url.host or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def is_allowed(url: URL, *, loopback: bool) -> bool:
    """Tell whether an address may be opened: https, or this machine where allowed."""
    if is_loopback(url):
        return loopback and url.scheme in {"http", "https"}
    return url.scheme == "https"


@attrs.frozen
class Download:
    """An open answer from a media host.

    Attributes:
        status: HTTP status.
        headers: Looked up without regard to case.
        chunks: The body, undecoded, in pieces of at most 64 KiB.
    """

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class Transport:
    """Sends requests over aiohttp sessions.

    Args:
        base_url: The service's address, checked.
        files_url: The service's address for files, checked; None where it has none or
            where it is not known.
        api_key: The key; it is never shown.
        session: The caller's own session, borrowed and never closed; None to make
            sessions that `aclose` closes. Paid requests then go over a fresh
            connection each, since an idle one may break after the request was sent.

    Attributes:
        is_local: True if the service is on this machine.
    """

    def __init__(
        self,
        base_url: URL,
        api_key: str,
        session: aiohttp.ClientSession | None,
        files_url: URL | None = None,
    ) -> None:
        self.is_local: bool = is_loopback(base_url)
        self._base = str(base_url).rstrip("/")
        self._files = None if files_url is None else str(files_url).rstrip("/")
        self._key = api_key.encode()
        headers = {
            "Authorization": f"Bearer {api_key}",
            "User-Agent": _USER_AGENT,
            "Accept": "application/json",
        }
        self._borrowed = session
        # Our own sessions are made with them, once.
        self._headers = {} if session is None else headers
        self._watchdog = Watchdog(_USUAL)
        self._own: list[aiohttp.ClientSession] = []
        self._root = base_url.raw_path.rstrip("/")
        origin = str(base_url.origin())
        self._short_reads = Shortcut(origin, _limits(math.inf))
        self._reads = session or self._make_session(
            headers=headers, shortcut=self._short_reads
        )
        self._submits = session or self._make_session(headers=headers, fresh=True)
        # Never the caller's session: its default headers are not for media hosts.
        self._media = self._make_session(reach=is_public)
        self._media_here = self._make_session(reach=is_here)

    def _make_session(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        fresh: bool = False,
        shortcut: Shortcut | None = None,
        reach: Callable[[str], bool] | None = None,
    ) -> aiohttp.ClientSession:
        guard = None if reach is None else make_guard(reach)
        make = aiohttp.ClientSession if shortcut is None else shortcut.make_session
        session = make(
            headers=headers,
            connector=aiohttp.TCPConnector(force_close=fresh, socket_factory=guard),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[make_witness()] if fresh else None,
            auto_decompress=reach is None,
        )
        self._own.append(session)
        return session

    async def aclose(self) -> None:
        """Close every session made here."""
        self._watchdog.close()
        for session in self._own:
            await session.close()

    async def send(
        self,
        request: Request,
        *,
        deadline: float,
        may_send: Callable[[], bool] | None = None,
    ) -> Response:
        """Send a request once and return the answer, whatever its status.

        Raises:
            NoAnswer: there is no complete answer in time.
            InvalidRequest: the borrowed session is closed.
            PersonaKitError: this transport is closed.
        """
        session = self._reads if request.repeatable else self._submits
        if session is self._borrowed and session.closed:
            raise invalid(
                "session", "must be open", "Pass one that outlives the client"
            )
        if session.closed:
            raise PersonaKitError("The client was closed before this was sent.")
        # Only our own session for paid requests has the signals; without them
        # everything counts as sent.
        is_traced = session is self._submits and self._borrowed is None
        flight = Flight(deadline, may_send, sent=not is_traced)
        now = asyncio.get_running_loop().time()
        until = now + CONNECT_TIMEOUT + request.timeout
        try:
            flight.check(is_last=not is_traced)
            if not request.repeatable:
                async with asyncio.timeout_at(until):
                    return await self._exchange(session, request, flight)
            if until <= deadline and request.timeout == READ_TIMEOUT:
                with self._watchdog:
                    return await self._read(session, request, flight)
            async with asyncio.timeout_at(min(until, deadline)):
                return await self._read(session, request, flight)
        except (aiohttp.ClientError, OSError, EOFError, NotSentError) as error:
            lost = flight.explain(error)
        # Raised out here to forget aiohttp's error, which holds the request's headers.
        raise lost

    async def _read(
        self, session: aiohttp.ClientSession, request: Request, flight: Flight
    ) -> Response:
        """Take the shortcut where there is one."""
        is_large = request.body is not None and len(request.body) > _PIECE
        is_odd = is_large or request.to_files
        if not is_odd and self._borrowed is None:

            def note(headers: Mapping[str, str]) -> None:
                flight.headers = headers

            path = self._root + request.path
            answer = await self._short_reads.send(request, path, note)
            if answer is not None:
                return attrs.evolve(answer, body=self._hide(answer.body))
        return await self._exchange(session, request, flight)

    async def _exchange(
        self, session: aiohttp.ClientSession, request: Request, flight: Flight
    ) -> Response:
        left = flight.deadline - asyncio.get_running_loop().time()
        async with session.request(
            request.method,
            # Dialects have quoted their paths already.
            URL(self._address(request) + request.path, encoded=True),
            data=_as_payload(request.body),
            headers=self._head(request),
            timeout=_limits(math.inf, connect=left),
            allow_redirects=False,
            raise_for_status=False,
            trace_request_ctx=flight,
        ) as answer:
            flight.sent, flight.headers = True, answer.headers
            body = await read_body(answer.headers, answer.content)
            return Response(answer.status, answer.headers, self._hide(body))

    def _hide(self, body: bytes) -> bytes:
        # Too short a key would be found in everything.
        if len(self._key) < _SHORTEST_SECRET:
            return body
        return body.replace(self._key, _HIDDEN)

    def _head(self, request: Request) -> dict[str, str]:
        head = dict(self._headers)
        if request.body is not None:
            head["Content-Type"] = request.content_type
        return head

    def _address(self, request: Request) -> str:
        if not request.to_files:
            return self._base
        if self._files is None:
            raise invalid(
                "files_url",
                "must be given beside base_url",
                "Pass the address at which the service takes files",
            )
        return self._files

    @asynccontextmanager
    async def open(
        self, url: URL, *, within: float, start: int = 0, version: str | None = None
    ) -> AsyncGenerator[Download]:
        """Open a media address, without the key and without following redirects.

        What is not on this machine by its name must be on the open internet by its
        address, whatever the name resolves to.

        Args:
            url: The address.
            within: Seconds for all of it.
            start: Byte from which to send, as long as the file is of that version.
            version: As an earlier answer told, None with a start of 0.

        Raises:
            NoAnswer: the host cannot be reached or stops sending.
            InvalidRequest: the address is private.
        """
        if within <= 0:
            raise NoAnswer("the deadline had passed", sent=False)
        timeout = attrs.evolve(_limits(within), sock_read=_STALL_TIMEOUT)
        headers = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"}
        if start and version is not None:
            headers |= {"Range": f"bytes={start}-", "If-Range": version}
        session = self._media_here if is_loopback(url) else self._media
        with _explain_media():
            answer = await session.get(
                url, headers=headers, timeout=timeout, allow_redirects=False
            )
        async with answer:
            chunks = _read_media(answer.content)
            yield Download(answer.status, answer.headers, chunks)


async def _read_media(content: aiohttp.StreamReader) -> AsyncGenerator[bytes]:
    with _explain_media():
        async for chunk in content.iter_chunked(_CHUNK):
            yield chunk


@contextmanager
def _explain_media() -> Generator[None]:
    """Turn what goes wrong between us and a media host into errors of our own."""
    try:
        yield
    except (aiohttp.ClientError, OSError, ValueError) as error:
        is_odd = not isinstance(error, aiohttp.ClientError | OSError)
        if is_odd or isinstance(error, aiohttp.InvalidURL) or is_forbidden(error):
            raise invalid(
                "audio_url",
                "must lead to the open internet, not to a private address "
                "or to an impossible one",
                "Do not open links that others made up",
            ) from None
        hopeless = isinstance(error, HOPELESS)
        raise NoAnswer(describe(error), sent=True, hopeless=hopeless) from None


def _limits(total: float, *, connect: float = math.inf) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=None if total == math.inf else total,
        connect=min(total, connect, CONNECT_TIMEOUT),
        # aiohttp rounds longer timeouts up to whole seconds, past our deadlines.
        ceil_threshold=math.inf,
    )


def _as_payload(body: bytes | None) -> bytes | io.BytesIO | None:
    """Let aiohttp send a large body piece by piece; it warns of large bytes."""
    return body if body is None or len(body) <= _PIECE else io.BytesIO(body)
