"""The only retry loop, and the only user of backoff.

Reads are retried. A paid request is retried only if it never reached the service, or if
the service refused it. The error's ``retry_safe`` says so; this module adds the pauses
and the deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import backoff

from personakit.errors import (
    OutcomeUnknown,
    PersonaKitError,
    ServiceUnavailable,
    too_late,
)
from personakit.http.messages import Call, NoAnswer, Request, Response, Sender

T = TypeVar("T")

FIRST_PAUSE = 0.5
"""Seconds before the second attempt, doubled for each further one."""
LONGEST_PAUSE = 30.0
"""Longest pause (seconds) between two attempts, unless the service asks for more."""


async def repeat(attempt: Callable[[], Awaitable[T]], *, deadline: float) -> T:
    """Call `attempt` until it succeeds, fails for good, or the deadline comes.

    A cancellation that was requested before takes effect before the first attempt.

    Args:
        attempt: Makes one attempt and raises a PersonaKitError if it fails. It keeps
            to the deadline itself.
        deadline: Loop time; ``math.inf`` for no deadline.

    Raises:
        ServiceUnavailable: the deadline had passed; no attempt was made.
        PersonaKitError: the last error, if it is not safe to retry or if the pause
            after it would reach past the deadline.
    """
    clock = asyncio.get_running_loop().time
    # `asyncio.timeout` with a time in the past cancels only at the next suspension,
    # and without this one that could be after a paid request was handed over.
    await asyncio.sleep(0)
    pauses = _pauses()
    if clock() >= deadline:
        raise too_late()
    while True:
        try:
            return await attempt()
        except PersonaKitError as error:
            # The own pause is the least: a service that asks for a shorter one each
            # time would get a flood of requests.
            pause = max(error.retry_after or 0.0, next(pauses))
            if not error.retry_safe or clock() + pause >= deadline:
                raise
        await asyncio.sleep(pause)


async def attempt_call(
    sender: Sender,
    call: Call[T],
    *,
    deadline: float,
    may_send: Callable[[], bool] | None = None,
) -> T:
    """Send a call once and parse the response.

    Args:
        sender: Sends the request.
        call: The request and its parser.
        deadline: As for `Sender.send`.
        may_send: As for `Sender.send`.

    Raises:
        PersonaKitError: as for `fetch`, or raised by the call's parser.
    """
    return call.parse(
        await fetch(sender, call.request, deadline=deadline, may_send=may_send)
    )


async def fetch(
    sender: Sender,
    request: Request,
    *,
    deadline: float,
    may_send: Callable[[], bool] | None = None,
) -> Response:
    """Send a request once and return the response, whatever its status.

    Raises:
        OutcomeUnknown: a paid request may have arrived, and its response is lost.
        ServiceUnavailable: there is no response, and the request cannot have been
            charged; it is repeatable, or it was not sent at all.
    """
    try:
        return await sender.send(request, deadline=deadline, may_send=may_send)
    except NoAnswer as lost:
        raise _judge(lost, request) from None


def _judge(lost: NoAnswer, request: Request) -> PersonaKitError:
    if lost.sent and not request.repeatable:
        return OutcomeUnknown(
            f"A paid request was sent and its answer is lost ({lost.reason}).",
            request_id=lost.request_id,
        )
    event = "The service gave no answer" if lost.sent else "The request was not sent"
    return ServiceUnavailable(
        f"{event} ({lost.reason}).",
        retry_safe=not lost.hopeless,
        request_id=lost.request_id,
    )


def _pauses() -> Iterator[float]:
    """Yield growing pauses; half of each is left to chance, so that fleets spread."""
    waits = backoff.expo(base=2, factor=FIRST_PAUSE / 2, max_value=LONGEST_PAUSE / 2)
    next(waits)  # the first value only primes the generator
    while True:
        half = next(waits)
        yield half + backoff.full_jitter(half)
