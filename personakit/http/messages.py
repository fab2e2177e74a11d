"""The language between dialects and engines: one request, one response, one call.

A dialect makes a `Call`: what to send, and the function that reads the answer. An
engine sends it. Neither needs to know the other.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, Protocol, TypeAlias, TypeVar
from urllib.parse import quote

import attrs

from personakit.requests import AudioFile

T_co = TypeVar("T_co", covariant=True)

READ_TIMEOUT = 30.0
"""Seconds to wait for the answer to a read; the vendors' clients wait 15."""
SUBMIT_TIMEOUT = 90.0
"""Seconds to wait for the answer to a paid request. Vendors' clients wait 30; a
longer wait costs nothing, while an answer given up on is an unknown outcome."""
FILE_TIMEOUT = 600.0
"""Seconds to send a file and to get the answer."""
RETRY_AFTER_LIMIT = 3600.0
"""Longest pause (seconds) that an answer may ask for."""

_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?")
_REQUEST_ID_HEADERS = ("X-Request-Id", "X-Oneapi-Request-Id")


Json: TypeAlias = dict[str, Any]
"""A JSON object about to be encoded."""


@attrs.frozen
class Request:
    """One HTTP request, without address and key, which the transport adds.

    Attributes:
        method: ``"GET"`` or ``"POST"``.
        path: Begins with a slash and is relative to the service's base address.
        body: JSON text or what `content_type` says, None for none.
        repeatable: True when sending it twice cannot cost anything.
        timeout: Seconds to wait for the whole answer once connected.
        to_files: True for the service's other address, which takes files.
        content_type: Of the body.
    """

    method: str
    path: str
    body: bytes | None = attrs.field(default=None, repr=False)
    repeatable: bool = True
    timeout: float = READ_TIMEOUT
    to_files: bool = False
    content_type: str = "application/json"


def encode(body: Json) -> bytes:
    """Return a JSON object as the text of a request."""
    return json.dumps(body, ensure_ascii=False).encode()


def paid_request(path: str, body: Json, timeout: float = SUBMIT_TIMEOUT) -> Request:
    """Make the request that starts a job, never to be sent twice."""
    return Request("POST", path, body=encode(body), repeatable=False, timeout=timeout)


def file_request(path: str, fields: Mapping[str, str], file: AudioFile) -> Request:
    """Make the request that sends a file as ``multipart/form-data``, never twice.

    Args:
        path: Relative to the address that takes files.
        fields: Text beside the file.
        file: Sent under the name ``file``.

    Source: RFC 7578.
    """
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        f"{value}\r\n"
        for name, value in fields.items()
    ]
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '
        f'filename="{quote(file.name)}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    text = "".join((*parts, head)).encode()
    return Request(
        "POST",
        path,
        body=text + file.content + f"\r\n--{boundary}--\r\n".encode(),
        repeatable=False,
        timeout=FILE_TIMEOUT,
        to_files=True,
        content_type=f"multipart/form-data; boundary={boundary}",
    )


@attrs.frozen
class Response:
    """One HTTP answer, whatever its status.

    Attributes:
        status: HTTP status.
        headers: Looked up without regard to case.
        body: Decompressed and bounded by the transport.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def request_id(self) -> str | None:
        """The service's id of this exchange, None when it sent none."""
        return find_request_id(self.headers)

    @property
    def date(self) -> datetime | None:
        """When the service answered, by its own clock; None when not told."""
        return _parse_date(self.headers.get("Date", ""))

    @property
    def retry_after(self) -> float | None:
        """Seconds to pause, 0 to 3600, None when absent or not understood.

        A date is held against the answer's own ``Date`` header where it has one, so
        that a wrong clock on this machine does not matter.
        """
        value = self.headers.get("Retry-After", "").strip()
        if _SECONDS.fullmatch(value):
            return min(float(value), RETRY_AFTER_LIMIT)
        then = _parse_date(value)
        if then is None:
            return None
        now = self.date or datetime.now(UTC)
        return min(max((then - now).total_seconds(), 0.0), RETRY_AFTER_LIMIT)


def find_request_id(headers: Mapping[str, str]) -> str | None:
    """Return the service's id of an exchange, None when it sent none."""
    for name in _REQUEST_ID_HEADERS:
        if (value := headers.get(name)) is not None:
            return value
    return None


def _parse_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


@attrs.frozen
class Call(Generic[T_co]):
    """What to send, and how to read what comes back.

    Attributes:
        request: The request.
        parse: Turns the response into a value, or raises the error that it means.
    """

    request: Request
    parse: Callable[[Response], T_co]


def with_clock(call: Call[T_co]) -> Call[tuple[T_co, float | None]]:
    """Return a call that also yields the difference between the clocks.

    Its value is that of `call` and the seconds by which the service's clock is ahead
    of ours, None if the answer has no ``Date`` header. That header has whole seconds.
    """

    def parse(response: Response) -> tuple[T_co, float | None]:
        value, date = call.parse(response), response.date
        if date is None:
            return value, None
        return value, (date - datetime.now(UTC)).total_seconds()

    return Call(call.request, parse)


@attrs.define(slots=False, eq=False)
class NoAnswer(Exception):
    """There is no response; internal, turned into a public error by the retry loop.

    Attributes:
        reason: What happened, without any secret.
        sent: False only when surely no byte of the request left this machine.
        hopeless: True when trying again cannot help (a bad certificate).
        request_id: From the head of an answer whose body was lost.
    """

    reason: str
    sent: bool
    hopeless: bool = False
    request_id: str | None = None


class Sender(Protocol):
    """The part of a transport that engines use."""

    async def send(
        self,
        request: Request,
        *,
        deadline: float,
        may_send: Callable[[], bool] | None = None,
    ) -> Response:
        """Send a request once and return the response, whatever its status.

        The deadline bounds all of a repeatable request, but only the beginning of a
        paid one: once its first byte has left, its response is awaited for the
        request's own timeout.

        Args:
            request: The request.
            deadline: Loop time; ``math.inf`` for no deadline.
            may_send: Called right before the first byte of the request leaves. If it
                returns False, nothing is sent. None if the deadline is the only
                condition.

        Raises:
            NoAnswer: there is no complete response. ``sent`` is False if the deadline
                or `may_send` stopped the request.
        """
        ...
