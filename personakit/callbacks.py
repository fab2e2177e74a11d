"""Callbacks: addresses for single jobs, and what becomes of the reports sent there.

A report is a hint. The address proves for which submit it comes, because it holds a
token signed with the caller's secret; what the job is and how it ended is then read
from the service with our own key. So nothing that anybody sends here can end a job, or
name a job that the service does not know.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from personakit.errors import (
    InvalidRequest,
    MalformedAnswer,
    NotFound,
    PersonaKitError,
    refuse,
)
from personakit.journal import Entry, Mark
from personakit.providers.base import Provider
from personakit.receipt import Ability, Receipt
from personakit.recovery import read_once
from personakit.transport import check_base_url
from personakit.workflows import Engine, deadline_in

if TYPE_CHECKING:
    from aiohttp import web

BODY_LIMIT = 256 * 1024
"""Bytes of a report; larger ones are refused unread."""
SHORTEST_SECRET = 16
"""Characters of a secret at least."""
READ_TIMEOUT = 8.0
"""Seconds for reading a job that a report tells of first; Evolink waits 10."""

_CHUNK = 64 * 1024
_TOKEN = re.compile(r"[A-Za-z0-9_-]{40,90}")
_KEY_BYTES, _TIME_BYTES, _MAC_BYTES = 16, 5, 16
_PURPOSE = b"personakit callback 1\x00"

_log = logging.getLogger("personakit")

Headers: TypeAlias = Sequence[tuple[str, str]]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class _Refused(Exception):
    """A report is not taken.

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

    Answers: 200 when the journal has what was reported, 400 for what is no report, 401
    for a wrong signature, 404 for an address of no submit or a job that the service
    does not know, 405 for anything but POST, 409 for a job that is not the submit's,
    413 for a body over 256 KiB, and 503 when the journal or the service cannot be
    reached just now, so that the service shall report again.

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

    def address(self, receipt: Receipt) -> str:
        """Return the address at which the service shall report on a submit."""
        moment = int(receipt.at.timestamp()).to_bytes(_TIME_BYTES)
        payload = bytes.fromhex(receipt.key) + moment + receipt.kind.encode()
        token = payload + self._sign(self.secrets[0], payload)
        text = base64.urlsafe_b64encode(token).decode().rstrip("=")
        return f"{self.public_url}/{text}"

    def _sign(self, secret: bytes, payload: bytes) -> bytes:
        text = _PURPOSE + self.provider.name.encode() + b"\x00" + payload
        return hmac.new(secret, text, hashlib.sha256).digest()[:_MAC_BYTES]

    def _read_token(self, token: str) -> Receipt | None:
        """Return the receipt of which a token tells, None when it is not ours."""
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
        key, moment = payload[:_KEY_BYTES], payload[_KEY_BYTES:][:_TIME_BYTES]
        kind = Ability(payload[_KEY_BYTES + _TIME_BYTES :].decode())
        at = datetime.fromtimestamp(int.from_bytes(moment), UTC)
        return Receipt(self.provider.name, kind, key.hex(), at)

    async def receive(
        self, method: str, path: str, headers: Headers, body: bytes
    ) -> int:
        """Take one report from whatever web server you have.

        Args:
            method: Of the HTTP request.
            path: Its last part is the token.
            headers: Pairs of name and value.
            body: As it came, unparsed; read at most `BODY_LIMIT` + 1 bytes of it.

        Returns:
            The HTTP status to answer with; a body is not needed.
        """
        try:
            reported = self._read_report(method, path, headers, body)
            await self._take(reported)
        except _Refused as refusal:
            return refusal.status
        except PersonaKitError as error:
            _log.warning("A report has to wait: %s", error)
            return HTTPStatus.SERVICE_UNAVAILABLE
        return HTTPStatus.OK

    def _read_report(
        self, method: str, path: str, headers: Headers, body: bytes
    ) -> Receipt:
        """Return the receipt that a report is for, with the job that it names."""
        if method != "POST":
            raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED)
        if len(body) > BODY_LIMIT:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        receipt = self._read_token(path.rsplit("/", 1)[-1])
        if receipt is None:
            raise _Refused(HTTPStatus.NOT_FOUND)
        try:
            job_id = self.provider.reports.find_job(body)
        except MalformedAnswer:
            raise _Refused(HTTPStatus.BAD_REQUEST) from None
        if not self._is_signed(headers, body, job_id):
            raise _Refused(HTTPStatus.UNAUTHORIZED)
        return receipt.with_job(job_id)

    def _is_signed(self, headers: Headers, body: bytes, job_id: str) -> bool:
        if self.service_secret is None:
            return True
        names = [name.lower() for name, _ in headers]
        once = {n.title(): v for n, v in headers if names.count(n.lower()) == 1}
        return self.provider.reports.is_signed(once, body, job_id, self.service_secret)

    async def _take(self, reported: Receipt) -> None:
        """Make sure that the journal has the job of a report, and have it read."""
        engine = await self._here()
        known = await self._find_job(engine, reported.key)
        if known is None:
            known = await self._bind(engine, reported)
        if known is None or known != reported.job_id:
            raise _Refused(HTTPStatus.CONFLICT)
        await self._wake(known)

    async def _find_job(self, engine: Engine, key: str) -> str | None:
        entry = await engine.journal.find(key)
        return None if entry is None else entry.receipt.job_id

    async def _bind(self, engine: Engine, reported: Receipt) -> str | None:
        """Take a job for that of a submit whose answer is lost, if it can be."""
        try:
            await read_once(engine, reported, deadline_in(READ_TIMEOUT))
        except (NotFound, InvalidRequest):
            raise _Refused(HTTPStatus.NOT_FOUND) from None
        jobs = [reported.job_id or ""]
        if await engine.journal.known_jobs(self.provider.name, jobs):
            # Perhaps of this very submit, by a report that came at the same time.
            return await self._find_job(engine, reported.key)
        stands = await engine.journal.record(Entry(reported, Mark.ACCEPTED))
        return stands.receipt.job_id

    async def aiohttp_handler(self, request: web.Request) -> web.Response:
        """Answer one request of an aiohttp server."""
        from aiohttp import web  # noqa: PLC0415 - most clients need no server

        body = b""
        async for chunk in request.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > BODY_LIMIT:
                break
        headers = list(request.headers.items())
        status = await self.receive(request.method, request.path, headers, body)
        return web.Response(status=status)

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request as an ASGI application."""
        if scope["type"] != "http":
            raise RuntimeError(f"Callbacks take HTTP, not {scope['type']}")
        body, is_more = b"", True
        while is_more and len(body) <= BODY_LIMIT:
            event = await receive()
            body += event.get("body", b"")
            is_more = event["type"] == "http.request" and event.get("more_body", False)
        pairs: Iterable[tuple[bytes, bytes]] = scope["headers"]
        headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in pairs]
        status = await self.receive(scope["method"], scope["path"], headers, body)
        no_headers: list[tuple[bytes, bytes]] = []
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": no_headers,
            }
        )
        await send({"type": "http.response.body", "body": b""})


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
    url = str(check_base_url(public_url, "public_url")).rstrip("/")
    secrets = [secret] if isinstance(secret, str) else list(secret)
    if not secrets or min(map(len, secrets)) < SHORTEST_SECRET:
        raise refuse(
            "secret",
            f"must have at least {SHORTEST_SECRET} characters",
            "Make one with secrets.token_urlsafe()",
        )
    if service_secret is not None and provider.reports.signature is None:
        raise refuse(
            "service_secret",
            f"has no use, since {provider.name} signs nothing",
            "Omit it: the addresses are signed by secret",
        )
    keys = tuple(one.encode() for one in secrets)
    return Callbacks(url, keys, service_secret, provider, here, wake)
