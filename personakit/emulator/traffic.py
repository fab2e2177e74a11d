"""The language between the server and the services that it plays.

A service sees a `Query` and returns an `Answer`, without any I/O; the server carries
both over HTTP, keeps an `Exchange` of each, and lets faults happen on the way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, Protocol, TypeAlias

import attrs

from personakit.emulator.tasks import TaskError

Action: TypeAlias = Literal["submit", "read", "list", "credits", "download", "other"]
"""What a request wants, whatever the service calls it."""

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@attrs.frozen
class Exchange:
    """One request that reached the server.

    Attributes:
        action: What it wanted.
        method: ``"GET"``, ``"POST"`` and so on.
        path: With the service's prefix and the query string.
        at: Second of the event loop's time at which it had arrived.
        key_seen: True when it carried an ``Authorization`` header.
        headers: Pairs of name and value; the value of ``Authorization`` is ``"***"``.
        body: As it came.
        status: HTTP status of the answer, None while or if there is none.
    """

    action: Action
    method: str
    path: str
    at: float
    key_seen: bool
    headers: tuple[tuple[str, str], ...]
    body: bytes
    status: int | None = None


@attrs.frozen
class Query:
    """One request as a service sees it.

    Attributes:
        base: Address under which the caller reached this service.
        method: ``"GET"``, ``"POST"`` and so on.
        path: Relative to `base`.
        parts: The variable parts of the path by name.
        parameters: The query string.
        headers: Looked up without regard to case.
        body: As it came.
        task_error: How a task that this request starts shall fail, None for success.
    """

    base: str
    method: str
    path: str
    parts: Mapping[str, str]
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    task_error: TaskError | None = None


@attrs.frozen
class Answer:
    """One whole HTTP answer.

    Attributes:
        status: HTTP status.
        body: As it is sent.
        headers: The content type and what else there is; the length is added later.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]


@attrs.frozen
class Route:
    """One kind of request that a service takes.

    Attributes:
        action: What it counts as.
        method: HTTP method, ``"*"`` for any.
        path: Relative to the service, with variable parts in braces.
        work: Does what is asked for, at once and without I/O.
    """

    action: Action
    method: str
    path: str
    work: Callable[[Query], Answer]


class Service(Protocol):
    """What the server needs to know of a service that it plays."""

    @property
    def routes(self) -> Iterable[Route]:
        """Everything that it takes; the first match counts."""
        ...

    def new_job_id(self) -> str:
        """Return a fresh task id in the service's own form."""
        ...

    def new_track_id(self) -> str:
        """Return a fresh id of a track in the service's own form."""
        ...

    def refuse(
        self,
        status: int,
        *,
        code: str | None = None,
        message: str | None = None,
        action: Action = "other",
    ) -> Answer:
        """Return an error in the service's own shape.

        Args:
            status: HTTP status.
            code: The service's code, None for the usual one of that status.
            message: Text for people, None for the usual one.
            action: What is being refused.
        """
        ...


def json_answer(
    status: int, value: object, headers: Mapping[str, str] | None = None
) -> Answer:
    """Return an answer that carries `value` as JSON, with further headers if any."""
    kind = {"Content-Type": "application/json; charset=utf-8"}
    return Answer(status, json.dumps(value).encode(), {**kind, **(headers or {})})


def file_answer(content: bytes, kind: str, wanted: str | None) -> Answer:
    """Return a file, or the one range of it that is wanted.

    Args:
        content: The whole file.
        kind: Its content type.
        wanted: Value of the ``Range`` header, None for the whole file. Forms other
            than ``bytes=FIRST-`` and ``bytes=FIRST-LAST`` get the whole file too.

    Source: RFC 9110, section 14.
    """
    headers = {"Content-Type": kind, "Accept-Ranges": "bytes"}
    span, size = _RANGE.fullmatch(wanted or ""), len(content)
    if span is None:
        return Answer(200, content, headers)
    first, end = int(span[1]), int(span[2] or size - 1) + 1
    if first >= min(end, size):
        return Answer(416, b"", {**headers, "Content-Range": f"bytes */{size}"})
    part = content[first:end]
    place = f"bytes {first}-{first + len(part) - 1}/{size}"
    return Answer(206, part, {**headers, "Content-Range": place})
