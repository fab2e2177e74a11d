"""The one loop that repeats anything, and the only user of backoff.

Reads repeat. A paid request repeats only when it surely never arrived or was surely
refused. Which of these holds is said by the error's ``retry_safe``; this loop adds
patience and the deadline, never judgement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import backoff

from personakit.errors import OutcomeUnknown, PersonaKitError, ServiceUnavailable
from personakit.wire import Call, NoAnswer, Request, Response, Sender

T = TypeVar("T")

FIRST_PAUSE = 0.5
"""Seconds before the second attempt, doubled for each further one."""
LONGEST_PAUSE = 30.0
"""Seconds between two attempts at the most, unless the service asks for more."""


async def repeat(attempt: Callable[[float], Awaitable[T]], *, deadline: float) -> T:
    """Call `attempt` until it succeeds, fails for good, or time is up.

    Args:
        attempt: Takes the seconds left; raises a PersonaKitError.
        deadline: Loop time; infinite for none.

    Raises:
        PersonaKitError: the last one, when it is not safe to repeat or when its pause
            would reach past the deadline.
    """
    clock = asyncio.get_running_loop().time
    pauses = _pauses()
    while True:
        try:
            return await attempt(deadline - clock())
        except PersonaKitError as error:
            pause = error.retry_after or next(pauses)
            if not error.retry_safe or clock() + pause >= deadline:
                raise
        await asyncio.sleep(pause)


async def attempt_call(sender: Sender, call: Call[T], within: float) -> T:
    """Send a call once, and raise what its answer, or the lack of one, means.

    Raises:
        PersonaKitError: as `fetch`, or whatever the call's parser makes of the answer.
    """
    return call.parse(await fetch(sender, call.request, within))


async def fetch(sender: Sender, request: Request, within: float) -> Response:
    """Send once, and return the answer, whatever its status.

    Raises:
        OutcomeUnknown: it was paid, it may have arrived, and the answer is lost.
        ServiceUnavailable: there is no answer, and sending again cannot cost twice.
    """
    try:
        return await sender.send(request, within=within)
    except NoAnswer as lost:
        raise _judge(lost, request) from None


def _judge(lost: NoAnswer, request: Request) -> PersonaKitError:
    if lost.sent and not request.repeatable:
        return OutcomeUnknown(
            f"A paid request was sent and its answer is lost ({lost.reason}).",
            request_id=lost.request_id,
        )
    return ServiceUnavailable(
        f"The service gave no answer ({lost.reason}).",
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
