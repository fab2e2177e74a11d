"""Shared rate limiters: processes together never exceed the account's limit."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import attrs
import pytest

from personakit import JournalError, PersonaKitError, RateLimited
from personakit.ratelimit.limiter import (
    IN_FLIGHT,
    RESERVED,
    LocalRateLimiter,
    SlidingWindow,
)
from personakit.ratelimit.limits import UNKNOWN, Limit
from personakit.ratelimit.shared import (
    LEASE,
    SharedRateLimiter,
    Tally,
    load_tally,
    open_limiter,
)
from tests.unit.ratelimit.test_limiter import Service, most_in


@attrs.define
class Board:
    """A text that several rate limiters share, in memory, slow as a database."""

    worker: str = "w"
    text: str | None = None
    changes: int = 0
    is_away: bool = False
    lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    async def change(
        self, name: str, change: Callable[[str | None, float], str]
    ) -> None:
        async with self.lock:
            await asyncio.sleep(0.002)
            if self.is_away:
                raise JournalError("away")
            self.changes += 1
            # A clock of its own, and an answer that may be lost and asked for again.
            now = asyncio.get_running_loop().time() + 5000
            change(self.text, now)
            self.text = change(self.text, now)


@pytest.fixture
def board():
    return Board()


async def test_all_together_keep_the_limit(board):
    """Four rate limiters of one account together stay within the limit of one."""
    limiters = [SharedRateLimiter(Limit(20, 10), "a", board) for _ in range(4)]
    services = [
        Service(limiter, seed=number) for number, limiter in enumerate(limiters)
    ]
    await asyncio.gather(
        *(service.reserve(number) for service in services for number in range(60))
    )
    for limiter in limiters:
        await limiter.aclose()
    arrived = [time for service in services for time in service.arrived]

    assert len(arrived) == 240
    assert most_in(arrived, 10) == 20
    # Nearly all places are used, and nobody is left behind.
    assert asyncio.get_running_loop().time() < 240 / 20 * 10 / 0.75
    assert all(len(service.arrived) == 60 for service in services)
    assert load_tally(board.text, Limit(20, 10)).holders == {}


async def test_first_come_first_served(board):
    """Within a process who waits longer goes first."""
    limiter = SharedRateLimiter(Limit(2, 10), "a", board)
    passed: list[int] = []

    async def pass_through(number: int) -> None:
        await limiter.acquire()
        passed.append(number)
        limiter.release()

    await asyncio.gather(*(pass_through(number) for number in range(8)))
    await limiter.aclose()

    assert passed == list(range(8))


async def test_untold_limit_bounds_what_is_under_way(board):
    """Where none is known, only so many are under way in one process."""
    limiter = SharedRateLimiter(UNKNOWN, "a", board)
    turns = [limiter.reserve() for _ in range(100)]
    await asyncio.sleep(1)
    first = sum(turn.done() for turn in turns)
    for _ in range(first):
        limiter.release()
    await asyncio.sleep(1)

    assert first == IN_FLIGHT
    assert all(turn.done() for turn in turns)
    assert board.changes < 20
    await limiter.aclose()


async def test_direct_calls_have_places_of_their_own(board):
    """Polls that hang leave a few places for direct calls here as well."""
    limiter = SharedRateLimiter(UNKNOWN, "a", board)
    polls = [limiter.reserve() for _ in range(IN_FLIGHT + 1)]
    direct = [asyncio.create_task(limiter.acquire()) for _ in range(RESERVED + 1)]
    await asyncio.sleep(1)
    passed = sum(task.done() for task in direct)
    for _ in range(2 + RESERVED):
        limiter.release()
    await asyncio.sleep(1)

    assert passed == RESERVED
    assert direct[-1].done()
    assert polls[-1].done()
    await limiter.aclose()


async def test_refusal_pauses_all(board):
    """What one process is told by the service holds for the others."""
    one, two = (SharedRateLimiter(UNKNOWN, "a", board) for _ in range(2))
    loop = asyncio.get_running_loop()
    await one.acquire()
    one.back_off(7.0)
    one.release(is_refused=True)
    await asyncio.sleep(0.1)
    began = loop.time()
    await two.acquire()

    assert loop.time() - began == pytest.approx(7, abs=0.5)
    two.release()
    await one.aclose()
    await two.aclose()


async def test_places_of_the_dead_are_free_again(board):
    """A process that died holds its places for its lease, and a period more."""
    dead, limiter = (SharedRateLimiter(Limit(1, 10), "a", board) for _ in range(2))
    await dead.acquire()
    dead._serving.cancel()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await limiter.acquire()

    assert LEASE + 9 < loop.time() - began < LEASE + 12
    await limiter.aclose()


async def test_long_requests_keep_their_place(board):
    """What is under way for long is not taken for dead."""
    long, limiter = (SharedRateLimiter(Limit(1, 10), "a", board) for _ in range(2))
    await long.acquire()
    waiting = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(LEASE * 3)
    assert not waiting.done()
    long.release()
    await waiting

    assert limiter.held == 1
    await long.aclose()
    await limiter.aclose()


async def test_who_has_no_time_is_told(board):
    """Nothing is asked of the service then, and no place is taken."""
    limiter = SharedRateLimiter(Limit(1, 1000), "a", board)
    await limiter.acquire()
    with pytest.raises(RateLimited):
        await limiter.acquire(deadline=3)

    assert limiter.held == 1
    await limiter.aclose()


async def test_left_in_the_moment_of_entering(board, monkeypatch):
    """A place that comes in the moment of a cancellation is given back."""
    limiter = SharedRateLimiter(Limit(1, 10), "a", board)
    entering = asyncio.create_task(limiter.acquire())
    let_in = limiter._grant

    def let_in_and_cancel(waiting: object) -> None:
        let_in(waiting)
        entering.cancel()

    monkeypatch.setattr(limiter, "_grant", let_in_and_cancel)
    with pytest.raises(asyncio.CancelledError):
        await entering

    assert limiter.held == 0
    await limiter.aclose()


async def test_left_while_the_others_are_asked(board):
    """A place that was meant for who has left goes back."""
    limiter = SharedRateLimiter(Limit(1, 10), "a", board)
    entering = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0.001)
    entering.cancel()
    await asyncio.sleep(1)

    assert limiter.held == 0
    assert load_tally(board.text, Limit(1, 10)).holders != {}
    await limiter.acquire()
    assert limiter.held == 1
    await limiter.aclose()


async def test_journal_that_is_away_lets_wait(board, caplog):
    """Nothing passes unseen; what happened in between is told afterwards."""
    limiter = SharedRateLimiter(Limit(2, 100), "a", board)
    await limiter.acquire()
    board.is_away = True
    limiter.release()
    limiter.back_off(1.0)
    waiting = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(20)
    assert not waiting.done()
    board.is_away = False
    await waiting
    known = load_tally(board.text, Limit(2, 100))

    assert len(known.window.ended) == 1
    assert known.window.refusals == 1
    assert "cannot be looked up" in caplog.text
    await limiter.aclose()


async def test_closed_lane_lets_nobody_wait(board):
    """Whoever waits is told; a journal that is away is no hindrance."""
    limiter = SharedRateLimiter(Limit(1, 1000), "a", board)
    await limiter.acquire()
    waiting = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(1)
    board.is_away = True
    await limiter.aclose()
    with pytest.raises(PersonaKitError, match="closed"):
        await waiting


async def test_unused_lane_is_closed(board):
    """A rate limiter that was never used asks nothing."""
    await SharedRateLimiter(UNKNOWN, "a", board).aclose()

    assert board.changes == 0


def test_account_as_text():
    """What is written is read back; ends are never taken for earlier ones."""
    window = SlidingWindow(UNKNOWN, count=7.0, refusals=2, changed_at=3.0)
    window.ended.extend([1.01, 1.02, 1.04, 2.0])
    tally = Tally(window, {"w": (3, 40.0)})
    read = load_tally(tally.dump(), UNKNOWN)
    told = load_tally(tally.dump(), Limit(20, 10))

    assert list(read.window.ended) == pytest.approx([1.05, 1.05, 1.05, 2.0])
    assert (read.window.count, read.window.refusals) == (7.0, 2)
    assert read.window.closed_until == -math.inf
    assert read.holders == {"w": (3, 40.0)}
    assert told.window.count == 20


@pytest.mark.parametrize("text", ["nonsense", "{}", "[1]", '{"count": 1}'])
def test_text_that_cannot_be_read(text, caplog):
    """It begins anew: at worst a few requests are refused, which costs nothing."""
    tally = load_tally(text, Limit(20, 10))

    assert (tally.window.count, tally.holders) == (20, {})
    assert "begins anew" in caplog.text


async def test_kinds_of_lane(board):
    """Whoever shares nothing has an own rate limiter."""
    limit = Limit(1, 1)
    own = open_limiter("starts", limit, account="a", shared=None)
    shared = open_limiter("starts", limit, account="a", shared=board)

    assert isinstance(own, LocalRateLimiter)
    assert isinstance(shared, SharedRateLimiter)
    await shared.aclose()
