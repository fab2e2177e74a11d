"""Whether any byte of a request may have left this machine.

The decision uses the documented API of aiohttp alone: the kind of an error, and the
trace signals ``on_request_headers_sent`` and ``on_request_chunk_sent``. Despite their
names, both are awaited before anything is written (``http_writer.py``, aiohttp 3.14.3
to 3.14.5): ``write_headers`` awaits the first signal, and then only puts the headers
into a buffer; ``write`` awaits the second signal, and then passes headers and body to
the socket in one step. So a receiver that raises stops the request with nothing sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import SimpleNamespace

import aiohttp
import attrs

from personakit.http.messages import NoAnswer, find_request_id

_NO_HEADERS: Mapping[str, str] = {}

# Raised only before there is a connection on which anything could be sent.
_NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.ClientHttpProxyError,
)
# A wrong certificate is a wrong configuration or an attack; patience mends neither.
HOPELESS = (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch)


class NotSentError(Exception):
    """Raised by a trace signal: the first byte must not leave any more."""


@attrs.define(eq=False)
class Flight:
    """What is known of one request on its way.

    Attributes:
        deadline: Loop time before which its first byte may leave.
        may_send: Returns False if its first byte must not leave; None if the deadline
            is the only condition.
        sent: False only as long as no byte can have left.
        stopped: Why `check` stopped it, None if it did not.
        headers: Of the answer.
    """

    deadline: float
    may_send: Callable[[], bool] | None
    sent: bool
    stopped: str | None = None
    headers: Mapping[str, str] = _NO_HEADERS
    _is_begun: bool = attrs.field(default=False, init=False)

    def check(self, *, is_last: bool = True) -> None:
        """Raise if the first byte must not leave now; no byte has left.

        Args:
            is_last: False if the signals look again before the first byte: then
                `may_send` is left to them.
        """
        if asyncio.get_running_loop().time() >= self.deadline:
            self.stopped = "the deadline had passed"
        elif is_last and self.may_send is not None and not self.may_send():
            self.stopped = "it was no longer allowed to be sent"
        if self.stopped is not None:
            self.sent = False
            raise NotSentError

    def begin_headers(self) -> None:
        """Note that headers are about to be written, at once if there is no body."""
        self.check()
        self.sent = True

    def begin_chunk(self) -> None:
        """Note that a part of the body is about to be written, the first with headers.

        The event loop may have been busy for long since `begin_headers`.
        """
        if not self._is_begun:
            self.check()
            self._is_begun = True

    def explain(self, error: BaseException) -> NoAnswer:
        """Say what an error means that came instead of an answer.

        Its kind proves that nothing was sent where aiohttp raises that kind before it
        has a connection. A timeout may come before or after; the signals know.
        """
        if self.stopped is not None:
            return NoAnswer(self.stopped, sent=False)
        return NoAnswer(
            describe(error),
            sent=self.sent and not isinstance(error, _NEVER_SENT),
            hopeless=isinstance(error, HOPELESS),
            request_id=find_request_id(self.headers),
        )


def make_witness() -> aiohttp.TraceConfig:
    """Tell a request's `Flight` when its first byte is about to leave."""

    async def begin_headers(
        _: aiohttp.ClientSession,
        context: SimpleNamespace,
        __: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        context.trace_request_ctx.begin_headers()

    async def begin_chunk(
        _: aiohttp.ClientSession,
        context: SimpleNamespace,
        __: aiohttp.TraceRequestChunkSentParams,
    ) -> None:
        context.trace_request_ctx.begin_chunk()

    witness = aiohttp.TraceConfig()
    witness.on_request_headers_sent.append(begin_headers)
    witness.on_request_chunk_sent.append(begin_chunk)
    return witness


def describe(error: BaseException) -> str:
    """Name an error without its text, which may repeat headers and addresses."""
    reason = error.strerror if isinstance(error, OSError) else None
    name = type(error).__name__
    return f"{name}: {reason}" if reason else name
