"""Lanes: never more than the limit in any period, first come first served."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from personakit import (
    InvalidRequest,
    PersonaKitError,
    RateLimited,
    ServiceUnavailable,
)
from personakit.ratelimit.limiter import (
    IN_FLIGHT,
    RESERVED,
    LocalRateLimiter,
    RateLimiter,
)
from personakit.ratelimit.limits import UNKNOWN, Limit


class Service:
    """Counts what arrives, and takes its time to answer."""

    def __init__(self, limiter: RateLimiter, *, seed: int = 0):
        self.lane = limiter
        self.chance = random.Random(seed)
        self.arrived: list[float] = []
        self.order: list[int] = []

    async def reserve(self, number: int, deadline: float = math.inf) -> None:
        await self.lane.acquire(deadline)
        await asyncio.sleep(self.chance.uniform(0, 0.5))  # on the way
        self.arrived.append(asyncio.get_running_loop().time())
        self.order.append(number)
        await asyncio.sleep(self.chance.uniform(0, 2))  # the answer
        self.lane.release()


def most_in(times: list[float], period: float) -> int:
    """Return the most arrivals in any window of that length."""
    times = sorted(times)
    return max(
        sum(1 for other in times[place:] if other < start + period)
        for place, start in enumerate(times)
    )


@pytest.mark.parametrize("seed", range(5))
async def test_no_window_holds_more_than_the_limit(seed):
    """A thousand who come at once pass as the limit allows, as the service counts."""
    limiter = LocalRateLimiter(Limit(20, 10))
    service = Service(limiter, seed=seed)
    await asyncio.gather(*(service.reserve(number) for number in range(300)))

    assert most_in(service.arrived, 10) == 20
    # At least three of four places are used, although answers take up to two seconds.
    assert asyncio.get_running_loop().time() < 300 / 20 * 10 / 0.75
    assert len(service.arrived) == 300


async def test_first_come_first_served():
    """Who waits longer goes first."""
    limiter = LocalRateLimiter(Limit(2, 10))
    passed: list[int] = []

    async def ask(number: int) -> None:
        await limiter.acquire()
        passed.append(number)
        limiter.release()

    await asyncio.gather(*map(ask, range(20)))

    assert passed == list(range(20))


async def test_unknown_limit_holds_nobody():
    """Without a figure everybody passes at once."""
    limiter = LocalRateLimiter(UNKNOWN)
    for _ in range(10_000):
        await limiter.acquire()
        limiter.release()

    assert asyncio.get_running_loop().time() == 0


async def test_who_has_no_time_is_told_before_anything_is_asked():
    """A place that does not come in time is an error that cost nothing."""
    limiter = LocalRateLimiter(Limit(1, 10))
    await limiter.acquire()
    with pytest.raises(RateLimited, match="no room before") as caught:
        await limiter.acquire(5)
    assert caught.value.retry_safe
    assert asyncio.get_running_loop().time() == pytest.approx(5, abs=0.01)
    limiter.release()
    await limiter.acquire(5 + 11)

    assert asyncio.get_running_loop().time() == pytest.approx(15, abs=0.01)


async def test_passed_deadline_takes_no_place():
    """Whoever comes too late is told so, even if there is a place."""
    limiter = LocalRateLimiter(UNKNOWN)
    await asyncio.sleep(5)
    with pytest.raises(ServiceUnavailable, match="deadline passed"):
        await limiter.acquire(5)

    assert limiter.held == 0


async def test_direct_calls_pass_waiting_polls():
    """Polls that hang leave a few places for direct calls, which queue for more."""
    limiter = LocalRateLimiter(UNKNOWN)
    polls = [limiter.reserve() for _ in range(IN_FLIGHT + 1)]
    is_full = not limiter.try_acquire()
    direct = [asyncio.create_task(limiter.acquire()) for _ in range(RESERVED + 1)]
    await asyncio.sleep(1)
    passed = sum(task.done() for task in direct)
    limiter.release()  # one of all: a direct call waits for that place, a poll for more
    await direct[-1]
    waiting = polls[-1].done()
    for _ in range(RESERVED + 1):
        limiter.release()

    assert is_full
    assert passed == RESERVED
    assert not waiting
    assert polls[-1].done()
    assert limiter.held == IN_FLIGHT


async def test_waiting_direct_calls_hold_polls_back():
    """A poll does not pass a direct call that waits for the account's limit."""
    limiter = LocalRateLimiter(Limit(1, 10))
    await limiter.acquire()
    direct = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(1)
    poll = limiter.reserve()
    limiter.release()
    await direct

    assert not poll.done()
    assert not limiter.try_acquire()


async def test_cancelled_waiters_take_no_place():
    """Who leaves the queue leaves it to those behind."""
    limiter = LocalRateLimiter(Limit(1, 10))
    await limiter.acquire()
    waiters = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
    await asyncio.sleep(1)
    for waiter in waiters[:2]:
        waiter.cancel()
    limiter.release()
    await waiters[2]

    assert asyncio.get_running_loop().time() == pytest.approx(11, abs=0.01)


async def test_cancelled_in_the_moment_of_entering():
    """A place that comes together with the cancellation is given on."""
    limiter = LocalRateLimiter(Limit(1, 10))
    await limiter.acquire()
    first, second = (asyncio.create_task(limiter.acquire()) for _ in range(2))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_at(11.001, lambda: None)
    limiter.release()
    limiter._grant_turns()
    await asyncio.sleep(10.0009)
    limiter._window.ended.clear()
    limiter._grant_turns()  # the place is first's from here on
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second

    assert limiter.held == 1


async def test_refusal_pauses_everybody():
    """Nobody asks again before the service said."""
    limiter = LocalRateLimiter(Limit(100, 1))
    await limiter.acquire()
    limiter.back_off(7)
    limiter.release(is_refused=True)
    await asyncio.gather(*(limiter.acquire() for _ in range(3)))

    assert asyncio.get_running_loop().time() == 7


async def test_refusals_without_a_word_double_the_pause():
    """One after the other makes it longer, up to a bound; together they count once."""
    limiter, loop = LocalRateLimiter(Limit(100, 1)), asyncio.get_running_loop()
    pauses: list[float] = []
    for _ in range(9):
        began = loop.time()
        await limiter.acquire()
        pauses.append(loop.time() - began)
        for _ in range(5):
            limiter.back_off(None)
        limiter.release(is_refused=True)
    await limiter.acquire()
    limiter.release()
    await asyncio.sleep(2)
    await limiter.acquire()
    limiter.release()  # served after a period without a refusal
    limiter.back_off(None)
    began = loop.time()
    await limiter.acquire()

    assert pauses == pytest.approx([0, 1, 2, 4, 8, 16, 30, 30, 30], abs=0.01)
    assert loop.time() - began == pytest.approx(1, abs=0.01)


async def drive(limit: int, jobs: int) -> tuple[int, float]:
    """Push jobs through a rate limiter to a service with an untold limit."""
    limiter, loop = LocalRateLimiter(UNKNOWN), asyncio.get_running_loop()
    admitted: list[float] = []
    refused = 0

    async def ask() -> None:
        nonlocal refused
        while True:
            await limiter.acquire()
            await asyncio.sleep(0.05)
            now = loop.time()
            is_full = sum(1 for at in admitted if at > now - 10) >= limit
            if is_full:
                refused += 1
                limiter.back_off(None)
            else:
                admitted.append(now)
            limiter.release(is_refused=is_full)
            if not is_full:
                return

    await asyncio.gather(*(ask() for _ in range(jobs)))
    return refused, loop.time()


async def test_untold_limit_is_found_out():
    """After a first collision few requests are refused, and the limit is used."""
    refused, took = await drive(20, 500)

    assert refused <= 100
    assert took < 500 / 20 * 10 * 2


@pytest.mark.parametrize(("count", "period"), [(0, 1), (1, 0), (math.nan, 1), (1, -1)])
def test_limits_that_allow_nothing_are_refused(count, period):
    """A limit must let something pass."""
    with pytest.raises(InvalidRequest, match="at least one request"):
        Limit(count, period)


async def test_closed_lane_lets_nobody_wait():
    """Closing ends every wait with an error, and those who left stay away."""
    limiter = LocalRateLimiter(Limit(1, 10))
    await limiter.acquire()
    limiter.release()
    waiters = [asyncio.create_task(limiter.acquire()) for _ in range(2)]
    await asyncio.sleep(1)
    waiters[0].cancel()
    await asyncio.sleep(0)
    done = asyncio.get_running_loop().create_future()
    limiter._waiting.appendleft((done, 1))
    done.cancel()
    await limiter.aclose()
    with pytest.raises(PersonaKitError, match="client was closed"):
        await waiters[1]

    assert waiters[0].cancelled()


async def test_waiters_that_left_are_passed_over():
    """A place is given to the first who still waits."""
    limiter = LocalRateLimiter(Limit(1, 10))
    await limiter.acquire()
    waiters = [asyncio.create_task(limiter.acquire()) for _ in range(4)]
    await asyncio.sleep(1)
    limiter.release()
    for waiter in waiters[:3]:
        waiter.cancel()
    await asyncio.wait_for(waiters[3], 11)
    with pytest.raises(RateLimited):
        await limiter.acquire(asyncio.get_running_loop().time() + 1)
    await limiter.aclose()

    assert limiter.held == 1
