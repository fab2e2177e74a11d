"""Callbacks: addresses for single jobs, and what becomes of the callbacks sent there.

A callback is a hint. The address proves for which submit it comes, because it holds a
token signed with the caller's secret; what the job is and how it ended is then read
from the service with our own key. So nothing that anybody sends here can end a job, or
name a job that the service does not know.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import re
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    MutableMapping,
    Sequence,
)
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from personakit.errors import (
    InvalidRequest,
    MalformedAnswer,
    NotFound,
    PersonaKitError,
    invalid,
)
from personakit.http.transport import check_base_url
from personakit.jobs.engine import Engine, deadline_in, in_time
from personakit.jobs.reconcile import read_once
from personakit.journal.steps import Accept
from personakit.providers.base import Provider
from personakit.receipt import Ability, Receipt
from personakit.validation import NoneType, expect, is_sendable

if TYPE_CHECKING:
    from aiohttp import web

BODY_LIMIT = 256 * 1024
"""Maximum size of a request body in bytes; nothing beyond it is read."""
BODY_TIMEOUT = 10.0
"""Seconds for receiving a whole request body."""
SHORTEST_SECRET = 16
"""Characters of a secret at least."""
READ_TIMEOUT = 8.0
"""Seconds for reading a job that a callback tells of first; Evolink waits 10."""

_CHUNK = 64 * 1024
_TOKEN = re.compile(r"[A-Za-z0-9_-]{40,90}")
_KEY_BYTES, _TIME_BYTES, _NUMBER_BYTES, _MAC_BYTES = 16, 5, 2, 16
_LAST_NUMBER = 2 ** (8 * _NUMBER_BYTES) - 1
_PURPOSE = b"personakit callback 1\x00"

_log = logging.getLogger("personakit")

Headers: TypeAlias = Sequence[tuple[str, str]]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class _Refused(Exception):
    """A callback is not taken.

    Attributes:
        status: What to answer.
    """

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


@attrs.frozen
class Callbacks:
    """The receiving end of one client; made by `PersonaKit.callbacks`.

    Give it a route whose last part is free: in aiohttp
    ``app.router.add_post("/hooks/{token}", callbacks.aiohttp_handler)``, in FastAPI or
    Starlette ``app.mount("/hooks", callbacks.asgi)``. The route's public address
    without that part is the `public_url`.

    Answers: 200 when the journal has what was reported, 400 for what is no callback,
    401 for a wrong signature, 404 for an address of no submit or a job that the service
    does not know, 405 for anything but POST, 408 for a body that takes over 10 s, 409
    for a job that is not the submit's, 413 for a body over 256 KiB, and 503 when the
    journal or the service cannot be reached just now, so that the service shall report
    again. Method and address are checked before the body is read.

    Attributes:
        public_url: Where the service finds this, https.
        secrets: Ours; the first signs, all are accepted.
        service_secret: The one that the service signs with, None not to check.
        provider: The service.
    """

    public_url: str
    secrets: tuple[bytes, ...] = attrs.field(repr=False)
    service_secret: str | None = attrs.field(repr=False)
    provider: Provider = attrs.field(repr=False)
    _here: Callable[[], Awaitable[Engine]] = attrs.field(repr=False)
    _wake: Callable[[str], Awaitable[None]] = attrs.field(repr=False)

    def address(self, receipt: Receipt, attempt: int) -> str:
        """Return the address at which the service shall report on an attempt.

        Args:
            receipt: Of the submit.
            attempt: Which of its paid requests has the address.
        """
        moment = int(receipt.at.timestamp()).to_bytes(_TIME_BYTES)
        number = min(attempt, _LAST_NUMBER).to_bytes(_NUMBER_BYTES)
        payload = bytes.fromhex(receipt.key) + moment + number + receipt.kind.encode()
        token = payload + self._sign(self.secrets[0], payload)
        text = base64.urlsafe_b64encode(token).decode().rstrip("=")
        return f"{self.public_url}/{text}"

    def _sign(self, secret: bytes, payload: bytes) -> bytes:
        text = _PURPOSE + self.provider.name.encode() + b"\x00" + payload
        return hmac.new(secret, text, hashlib.sha256).digest()[:_MAC_BYTES]

    def _read_token(self, token: str) -> tuple[Receipt, int] | None:
        """Return the receipt and attempt of a token, None if it is not ours."""
        if not _TOKEN.fullmatch(token):
            return None
        try:
            raw = base64.b64decode(
                token + "=" * (-len(token) % 4), b"-_", validate=True
            )
        except binascii.Error:
            return None
        payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        signed = [self._sign(secret, payload) for secret in self.secrets]
        is_ours = any(hmac.compare_digest(mac, due) for due in signed)
        # What is ours is well formed, but base64 can spell the same bytes differently.
        if not is_ours or base64.urlsafe_b64encode(raw).decode().rstrip("=") != token:
            return None
        key, rest = payload[:_KEY_BYTES], payload[_KEY_BYTES:]
        moment, rest = rest[:_TIME_BYTES], rest[_TIME_BYTES:]
        number, kind = rest[:_NUMBER_BYTES], Ability(rest[_NUMBER_BYTES:].decode())
        at = datetime.fromtimestamp(int.from_bytes(moment), UTC)
        receipt = Receipt(self.provider.name, kind, key.hex(), at)
        return receipt, int.from_bytes(number)

    async def receive(
        self, method: str, path: str, headers: Headers, body: bytes
    ) -> int:
        """Take one callback from whatever web server you have.

        Args:
            method: Of the HTTP request.
            path: Its last part is the token.
            headers: Pairs of name and value.
            body: As it came, unparsed; read at most `BODY_LIMIT` + 1 bytes of it.

        Returns:
            The HTTP status to answer with; a body is not needed.
        """
        try:
            receipt, attempt = self._read_callback(method, path, headers, body)
            await self._take(receipt, attempt)
        except _Refused as refusal:
            return refusal.status
        except PersonaKitError as error:
            _log.warning("A report has to wait: %s", error)
            return HTTPStatus.SERVICE_UNAVAILABLE
        return HTTPStatus.OK

    def _read_callback(
        self, method: str, path: str, headers: Headers, body: bytes
    ) -> tuple[Receipt, int]:
        """Return the receipt that a callback is for, with its job, and the attempt."""
        receipt, attempt = self._check_address(method, path)
        if len(body) > BODY_LIMIT:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            job_id = self.provider.callbacks.find_job(body)
        except MalformedAnswer:
            raise _Refused(HTTPStatus.BAD_REQUEST) from None
        if not self._is_signed(headers, body, job_id):
            raise _Refused(HTTPStatus.UNAUTHORIZED)
        return receipt.with_job(job_id), attempt

    def _check_address(self, method: str, path: str) -> tuple[Receipt, int]:
        """Return receipt and attempt of the address, without looking at the body."""
        if method != "POST":
            raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED)
        named = self._read_token(path.rsplit("/", 1)[-1])
        if named is None:
            raise _Refused(HTTPStatus.NOT_FOUND)
        return named

    def _is_signed(self, headers: Headers, body: bytes, job_id: str) -> bool:
        if self.service_secret is None:
            return True
        names = [name.lower() for name, _ in headers]
        once = {n.title(): v for n, v in headers if names.count(n.lower()) == 1}
        return self.provider.callbacks.is_signed(
            once, body, job_id, self.service_secret
        )

    async def _take(self, receipt: Receipt, attempt: int) -> None:
        """Make sure that the journal has the job of a callback, and have it read."""
        engine, job_id = await self._here(), receipt.job_id or ""
        finding = engine.journal.find(engine.account, receipt.key)
        record = await in_time(finding, deadline_in(READ_TIMEOUT))
        if record is None or record.receipt.job_id != job_id:
            if record is not None and not record.awaits(attempt):
                raise _Refused(HTTPStatus.CONFLICT)  # that attempt became another job
            await self._accept(engine, receipt, attempt)
        await self._wake(job_id)

    async def _accept(self, engine: Engine, receipt: Receipt, attempt: int) -> None:
        """Write down the job of an attempt whose answer is lost or on its way."""
        try:
            await read_once(engine, receipt, deadline_in(READ_TIMEOUT))
        except (NotFound, InvalidRequest):
            raise _Refused(HTTPStatus.NOT_FOUND) from None
        step = Accept(
            receipt.key,
            attempt,
            receipt.job_id,
            receipt=receipt.with_job(None),
            by_callback=True,
        )
        accepting = engine.journal.apply(engine.account, step)
        verdict = await in_time(accepting, deadline_in(READ_TIMEOUT))
        if not verdict.is_won:
            raise _Refused(HTTPStatus.CONFLICT)

    async def _receive_stream(
        self, method: str, path: str, headers: Headers, chunks: AsyncIterable[bytes]
    ) -> int:
        """Check the address, read the body within its limits, and process it."""
        try:
            self._check_address(method, path)
            body = await _read_body(chunks)
        except _Refused as refusal:
            return refusal.status
        return await self.receive(method, path, headers, body)

    async def aiohttp_handler(self, request: web.Request) -> web.Response:
        """Answer one request of an aiohttp server."""
        from aiohttp import web  # noqa: PLC0415 - most clients need no server

        headers = list(request.headers.items())
        chunks = request.content.iter_chunked(_CHUNK)
        status = await self._receive_stream(
            request.method, request.path, headers, chunks
        )
        return web.Response(status=status)

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request as an ASGI application."""
        if scope["type"] != "http":
            raise RuntimeError(f"Callbacks take HTTP, not {scope['type']}")
        pairs: Iterable[tuple[bytes, bytes]] = scope["headers"]
        headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in pairs]
        status = await self._receive_stream(
            scope["method"], scope["path"], headers, _iter_asgi(receive)
        )
        no_headers: list[tuple[bytes, bytes]] = []
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": no_headers,
            }
        )
        await send({"type": "http.response.body", "body": b""})


async def _read_body(chunks: AsyncIterable[bytes]) -> bytes:
    """Return the whole body, or one that is just over `BODY_LIMIT`."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in chunks:
                body += chunk
                if len(body) > BODY_LIMIT:
                    break
    except TimeoutError:
        raise _Refused(HTTPStatus.REQUEST_TIMEOUT) from None
    except ConnectionError:  # the client left; nobody reads this answer
        raise _Refused(HTTPStatus.BAD_REQUEST) from None
    return bytes(body)


async def _iter_asgi(receive: Receive) -> AsyncGenerator[bytes]:
    """Yield the pieces of a body; the body ends early if the client disconnects."""
    is_more = True
    while is_more:
        event = await receive()
        yield event.get("body", b"")
        is_more = event["type"] == "http.request" and event.get("more_body", False)


def _list_secrets(secret: str | Sequence[str]) -> list[str]:
    expect("secret", secret, "text, or several texts", str, Sequence)
    secrets = [secret] if isinstance(secret, str) else list(secret)
    for one in secrets:
        expect("secret", one, "text", str)
        if not is_sendable(one):
            raise invalid("secret", "must be valid Unicode text", "Make another one")
    return secrets


def make_callbacks(
    provider: Provider,
    *,
    public_url: str,
    secret: str | Sequence[str],
    service_secret: str | None,
    here: Callable[[], Awaitable[Engine]],
    wake: Callable[[str], Awaitable[None]],
) -> Callbacks:
    """Check what a caller said, and make the receiving end; see `PersonaKit.callbacks`.

    Raises:
        InvalidRequest: an address or a secret cannot be used.
    """
    expect("service_secret", service_secret, "text", str, NoneType)
    url = str(check_base_url(public_url, "public_url")).rstrip("/")
    secrets = _list_secrets(secret)
    if not secrets or min(map(len, secrets)) < SHORTEST_SECRET:
        raise invalid(
            "secret",
            f"must have at least {SHORTEST_SECRET} characters",
            "Make one with secrets.token_urlsafe()",
        )
    if service_secret is not None and provider.callbacks.signature is None:
        raise invalid(
            "service_secret",
            f"has no use, since {provider.name} signs nothing",
            "Omit it: the addresses are signed by secret",
        )
    keys = tuple(one.encode() for one in secrets)
    return Callbacks(url, keys, service_secret, provider, here, wake)
