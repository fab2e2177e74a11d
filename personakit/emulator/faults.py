"""The ways in which a request can go wrong, and the script that says when.

A fault is put together from two halves: what it makes of the proper answer
(`Rewrite`), and how the result travels (`Deliver`). Most faults have only one of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias, cast

import attrs
from aiohttp import web

from personakit.emulator.tasks import TaskError
from personakit.emulator.traffic import Action, Answer, Service, json_answer

Rewrite: TypeAlias = Callable[[Answer, Service, Action], Answer]
"""Makes the answer that is sent out of the proper one."""
Deliver: TypeAlias = Callable[
    [web.Request, Answer], Awaitable[web.StreamResponse | None]
]
"""Sends an answer; None says that the caller gets none."""

# Linger on, for 0 seconds: closing then sends RST. The struct is shorter on Windows.
_NO_LINGER = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
_GARBAGE = b"\x00\x01\x02 this is no HTTP \xff\xfe\r\n\r\n"
_PAGE = (
    b"<!DOCTYPE html><html><head><title>Just a moment</title></head>"
    b"<body><h1>Please stand by</h1></body></html>"
)
_ANY: frozenset[Action] = frozenset(("submit", "read", "credits", "download"))
_SUBMIT: frozenset[Action] = frozenset(("submit",))


async def deliver_whole(_: web.Request, answer: Answer) -> web.StreamResponse:
    """Send an answer as it should be."""
    return web.Response(
        status=answer.status, body=answer.body, headers=dict(answer.headers)
    )


def keep(answer: Answer, _: Service, __: Action) -> Answer:
    """Leave the proper answer as it is."""
    return answer


@attrs.frozen
class Fault:
    """One scripted misfortune; made by the methods below, played by the emulator.

    Attributes:
        name: The method that made it.
        processed: True when the service does its work (creates the task, charges)
            before the fault shows. Where it is False there is no proper answer; what
            is lost, cut or patched is then an empty JSON object under status 200.
        actions: The actions that it can happen to.
        task_error: How the task started by the request fails, None for success.
        rewrite: What becomes of the proper answer.
        deliver: How the answer travels.
    """

    name: str
    processed: bool = True
    actions: frozenset[Action] = attrs.field(default=_ANY, repr=False)
    task_error: TaskError | None = None
    rewrite: Rewrite = attrs.field(default=keep, repr=False)
    deliver: Deliver = attrs.field(default=deliver_whole, repr=False)

    @staticmethod
    def drop(*, processed: bool = True) -> Fault:
        """The connection is closed (FIN) without an answer."""
        return Fault("drop", processed, deliver=_drop)

    @staticmethod
    def reset(*, processed: bool = True) -> Fault:
        """The connection is reset (RST) without an answer."""
        return Fault("reset", processed, deliver=_reset)

    @staticmethod
    def hang(*, processed: bool = True) -> Fault:
        """Nothing is ever answered, until the caller or the emulator goes away."""
        return Fault("hang", processed, deliver=_hang)

    @staticmethod
    def slow(seconds: float) -> Fault:
        """The proper answer comes late.

        Args:
            seconds: Delay on the event loop's clock. The work is done before it, and
                the answer tells of that moment.
        """
        return Fault("slow", deliver=_late(seconds))

    @staticmethod
    def cut(*, processed: bool = True) -> Fault:
        """The head is complete; of the body only the first half comes, then FIN."""
        return Fault("cut", processed, deliver=_cut)

    @staticmethod
    def garbage(*, processed: bool = True) -> Fault:
        """The answer is bytes that are no HTTP, then FIN."""
        return Fault("garbage", processed, deliver=_garbage)

    @staticmethod
    def html(status: int = 200, *, processed: bool = True) -> Fault:
        """The answer is a proxy's HTML page under this HTTP status."""
        page = Answer(status, _PAGE, {"Content-Type": "text/html; charset=utf-8"})
        return Fault("html", processed, rewrite=_replaced_by(page))

    @staticmethod
    def text(
        body: bytes,
        status: int = 200,
        content_type: str = "application/json",
        *,
        processed: bool = True,
    ) -> Fault:
        """The answer is any body under any HTTP status."""
        answer = Answer(status, body, {"Content-Type": content_type})
        return Fault("text", processed, rewrite=_replaced_by(answer))

    @staticmethod
    def status(
        status: int,
        code: str | None = None,
        message: str | None = None,
        *,
        retry_after: int | str | None = None,
        location: str | None = None,
        processed: bool = False,
    ) -> Fault:
        """The answer is an error in the service's own shape.

        Args:
            status: HTTP status.
            code: The service's code, None for the usual one of that status.
            message: Text for people, None for the usual one.
            retry_after: Value of the ``Retry-After`` header: seconds or a date; None
                for no such header.
            location: Value of the ``Location`` header, None for none.
            processed: As for every fault, but False unless said otherwise.
        """
        given = {"Retry-After": retry_after, "Location": location}
        headers = {
            name: str(value) for name, value in given.items() if value is not None
        }

        def rewrite(_: Answer, service: Service, action: Action) -> Answer:
            answer = service.refuse(status, code=code, message=message, action=action)
            return attrs.evolve(answer, headers={**answer.headers, **headers})

        return Fault("status", processed, rewrite=rewrite)

    @staticmethod
    def patch(
        changes: Mapping[str, object],
        *,
        remove: Iterable[str] = (),
        processed: bool = True,
    ) -> Fault:
        """The proper answer comes with some of its top-level members changed.

        Args:
            changes: New values by member name, ready for JSON.
            remove: Names of members to leave out.
            processed: With False the answer consists of `changes` alone.
        """
        removed, actions = frozenset(remove), _ANY - {"download"}

        def rewrite(answer: Answer, _: Service, __: Action) -> Answer:
            members = {**json.loads(answer.body), **changes}
            kept = {name: members[name] for name in members if name not in removed}
            return json_answer(answer.status, kept, answer.headers)

        return Fault("patch", processed, actions, rewrite=rewrite)

    @staticmethod
    def fails(
        code: str = "service_error",
        message: str = "The service could not finish this task.",
    ) -> Fault:
        """The submit is accepted, and the task ends as ``failed``.

        Args:
            code: Code of the task's error.
            message: Its text for people.

        Source: Evolink API manual, "Error codes" (documented codes).
        """
        return Fault("fails", actions=_SUBMIT, task_error=TaskError(code, message))


@attrs.define
class _Plan:
    """A fault waiting for its requests; None as a limit means there is none."""

    fault: Fault
    on: Action
    left: int | None
    until: float | None

    def is_spent(self, now: float) -> bool:
        return self.left == 0 or (self.until is not None and now >= self.until)


class Script:
    """The faults to come, in the order in which they were injected."""

    def __init__(self) -> None:
        self._plans: list[_Plan] = []

    def inject(
        self, fault: Fault, on: Action, *, times: int | None, until: float | None
    ) -> None:
        """Plan a fault for requests of one action.

        Args:
            fault: What happens.
            on: What it happens to.
            times: How many requests it hits, None for all.
            until: Second of the event loop's time at which it ends, None for never.

        Raises:
            ValueError: this fault cannot happen to such requests.
        """
        if on not in fault.actions:
            known = ", ".join(sorted(fault.actions))
            raise ValueError(f"{fault.name} cannot happen on {on!r}, only on: {known}")
        self._plans.append(_Plan(fault, on, times, until))

    def clear(self) -> None:
        """Forget all faults to come."""
        self._plans.clear()

    def take(self, action: Action, now: float) -> Fault | None:
        """Return the fault that hits this request, None for none."""
        self._plans = [plan for plan in self._plans if not plan.is_spent(now)]
        for plan in self._plans:
            if plan.on == action:
                plan.left = None if plan.left is None else plan.left - 1
                return plan.fault
        return None


def _replaced_by(answer: Answer) -> Rewrite:
    return lambda _, __, ___: answer


def _transport(request: web.Request) -> asyncio.Transport:
    # A lost connection cancels its handler, so whoever still runs has a transport.
    return cast("asyncio.Transport", request.transport)


async def _drop(request: web.Request, _: Answer) -> None:
    _transport(request).close()


async def _reset(request: web.Request, _: Answer) -> None:
    transport = _transport(request)
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


async def _hang(_: web.Request, __: Answer) -> None:
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    await never


async def _garbage(request: web.Request, _: Answer) -> None:
    transport = _transport(request)
    transport.write(_GARBAGE)
    transport.close()


async def _cut(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=dict(answer.headers))
    response.content_length = len(answer.body)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    _transport(request).close()
    return response


def _late(seconds: float) -> Deliver:
    async def deliver(request: web.Request, answer: Answer) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await deliver_whole(request, answer)

    return deliver
