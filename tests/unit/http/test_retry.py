"""The one loop that repeats: patience and the deadline, never judgement."""

from __future__ import annotations

import asyncio
import math
from itertools import islice, pairwise

import attrs
import pytest

from personakit.errors import (
    InvalidRequest,
    OutcomeUnknown,
    PersonaKitError,
    RateLimited,
    ServiceUnavailable,
)
from personakit.http.messages import Call, NoAnswer, Request, Response
from personakit.http.retry import LONGEST_PAUSE, _pauses, attempt_call, repeat

BUSY = ServiceUnavailable("busy", retry_safe=True)


class Script:
    """Raises or returns what it is told, one after the other, and notes when."""

    def __init__(self, *steps: object) -> None:
        self.steps = list(steps)
        self.times: list[float] = []

    async def __call__(self) -> object:
        self.times.append(asyncio.get_running_loop().time())
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return step


async def test_success_is_returned_at_once():
    """What succeeds is not repeated."""
    script = Script("done")
    result = await repeat(script, deadline=math.inf)

    assert result == "done"
    assert script.times == [0]


async def test_safe_errors_are_repeated_until_success():
    """What is safe to repeat is repeated, after growing pauses."""
    script = Script(BUSY, BUSY, BUSY, "done")
    result = await repeat(script, deadline=math.inf)

    first, second, third, fourth = script.times
    assert result == "done"
    assert 0.25 <= second - first <= 0.5
    assert 0.5 <= third - second <= 1.0
    assert 1.0 <= fourth - third <= 2.0


@pytest.mark.parametrize(
    "error", [OutcomeUnknown("lost"), InvalidRequest("no")], ids=["unknown", "refused"]
)
async def test_other_errors_are_raised_at_once(error):
    """What is not safe to repeat is never repeated."""
    script = Script(error)
    with pytest.raises(type(error)):
        await repeat(script, deadline=math.inf)

    assert len(script.times) == 1


@pytest.mark.parametrize(("asked", "expected"), [(7.0, 7.0), (0.5, 0.5)])
async def test_service_may_lengthen_the_pause(asked, expected):
    """A Retry-After that is longer than our own pause is respected."""
    slow_down = RateLimited("slow down", retry_safe=True, retry_after=asked)
    script = Script(slow_down, "done")
    await repeat(script, deadline=math.inf)

    assert script.times[1] == pytest.approx(expected)


@pytest.mark.parametrize("asked", [0.0, 0.000001, 0.2])
async def test_service_may_not_shorten_the_pause(asked):
    """A service that asks for a short pause each time gets no flood of requests."""
    script = Script(RateLimited("now", retry_safe=True, retry_after=asked))
    with pytest.raises(RateLimited):
        await repeat(script, deadline=10)
    pauses = [later - time for time, later in pairwise(script.times)]

    assert 4 <= len(script.times) < 10
    assert all(pause >= 0.25 * 2**number - 0.001 for number, pause in enumerate(pauses))


async def test_passed_deadline_allows_no_attempt():
    """Nothing was sent then, so nothing was charged."""
    await asyncio.sleep(5)
    script = Script("done")
    with pytest.raises(ServiceUnavailable, match="deadline passed") as caught:
        await repeat(script, deadline=5)

    assert script.times == []
    assert (caught.value.charged, caught.value.retry_safe) == ("no", True)


async def test_requested_cancellation_allows_no_attempt():
    """A timeout in the past, or a task that cancels itself, stops the first attempt."""
    script = Script("done")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(-1):
            await repeat(script, deadline=math.inf)

    assert script.times == []


async def test_pause_past_the_deadline_is_not_begun():
    """When the pause would reach past the deadline the error comes at once."""
    script = Script(RateLimited("wait", retry_safe=True, retry_after=30.0))
    with pytest.raises(RateLimited) as caught:
        await repeat(script, deadline=20)

    assert asyncio.get_running_loop().time() == 0
    assert caught.value.retry_after == 30.0


async def test_deadline_ends_the_repetition():
    """No attempt begins after the deadline."""
    script = Script(BUSY)
    with pytest.raises(ServiceUnavailable):
        await repeat(script, deadline=60)

    assert max(script.times) < 60
    assert asyncio.get_running_loop().time() < 60


async def test_cancellation_passes_through():
    """A cancelled repetition ends within its pause."""
    task = asyncio.create_task(repeat(Script(BUSY), deadline=math.inf))
    await asyncio.sleep(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert asyncio.get_running_loop().time() == 5


def test_pauses_are_bounded():
    """Pauses grow up to the longest and stay there."""
    pauses = list(islice(_pauses(), 50))

    assert all(0 < pause <= LONGEST_PAUSE for pause in pauses)
    assert all(pause >= LONGEST_PAUSE / 2 for pause in pauses[10:])


@attrs.frozen
class Line:
    """A sender with one answer, or none."""

    outcome: Response | NoAnswer

    async def send(
        self, request: Request, *, deadline: float, may_send: object
    ) -> Response:
        if isinstance(self.outcome, NoAnswer):
            raise self.outcome
        return self.outcome


async def test_parser_decides_on_an_answer():
    """Whatever the status, the call's parser makes the result."""
    call = Call(Request("GET", "/"), lambda response: response.status + 1)
    result = await attempt_call(Line(Response(599, {}, b"")), call, deadline=9)

    assert result == 600


@pytest.mark.parametrize(
    ("repeatable", "sent", "hopeless", "error", "charged", "retry_safe"),
    [
        (True, True, False, ServiceUnavailable, "no", True),
        (True, False, True, ServiceUnavailable, "no", False),
        (False, False, False, ServiceUnavailable, "no", True),
        (False, False, True, ServiceUnavailable, "no", False),
        (False, True, False, OutcomeUnknown, "unknown", False),
    ],
)
async def test_what_a_missing_answer_means(
    repeatable, sent, hopeless, error, charged, retry_safe
):
    """Only a paid request that may have arrived has an unknown outcome."""
    call = Call(Request("POST", "/", repeatable=repeatable), lambda _: None)
    fact = NoAnswer("gone", sent=sent, hopeless=hopeless, request_id="r1")
    with pytest.raises(PersonaKitError) as caught:
        await attempt_call(Line(fact), call, deadline=9)

    assert type(caught.value) is error
    assert caught.value.charged == charged
    assert caught.value.retry_safe is retry_safe
    assert caught.value.request_id == "r1"
    assert "gone" in str(caught.value)
