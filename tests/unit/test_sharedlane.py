"""Shared lanes: processes together never ask for more than the account allows."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import attrs
import pytest

from personakit import JournalError, PersonaKitError, RateLimited
from personakit.lanes import IN_FLIGHT, RESERVED, OwnLane
from personakit.limits import UNKNOWN, Limit
from personakit.sharedlane import (
    LEASE,
    SharedLane,
    Tally,
    load_tally,
    open_lane,
)
from personakit.windows import Window
from tests.unit.test_lanes import Service, most_in


@attrs.define
class Board:
    """A text that several lanes share, in memory, slow as a database."""

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
    """Four lanes, one account: no window holds more than one lane might alone."""
    lanes = [SharedLane(Limit(20, 10), "a", board) for _ in range(4)]
    services = [Service(lane, seed=number) for number, lane in enumerate(lanes)]
    await asyncio.gather(
        *(service.ask(number) for service in services for number in range(60))
    )
    for lane in lanes:
        await lane.aclose()
    arrived = [time for service in services for time in service.arrived]

    assert len(arrived) == 240
    assert most_in(arrived, 10) == 20
    # Nearly all places are used, and nobody is left behind.
    assert asyncio.get_running_loop().time() < 240 / 20 * 10 / 0.75
    assert all(len(service.arrived) == 60 for service in services)
    assert load_tally(board.text, Limit(20, 10)).holders == {}


async def test_first_come_first_served(board):
    """Within a process who waits longer goes first."""
    lane = SharedLane(Limit(2, 10), "a", board)
    passed: list[int] = []

    async def pass_through(number: int) -> None:
        await lane.enter()
        passed.append(number)
        lane.leave()

    await asyncio.gather(*(pass_through(number) for number in range(8)))
    await lane.aclose()

    assert passed == list(range(8))


async def test_untold_limit_bounds_what_is_under_way(board):
    """Where none is known, only so many are under way in one process."""
    lane = SharedLane(UNKNOWN, "a", board)
    turns = [lane.ask() for _ in range(100)]
    await asyncio.sleep(1)
    first = sum(turn.done() for turn in turns)
    for _ in range(first):
        lane.leave()
    await asyncio.sleep(1)

    assert first == IN_FLIGHT
    assert all(turn.done() for turn in turns)
    assert board.changes < 20
    await lane.aclose()


async def test_direct_calls_have_places_of_their_own(board):
    """Polls that hang leave a few places for direct calls here as well."""
    lane = SharedLane(UNKNOWN, "a", board)
    polls = [lane.ask() for _ in range(IN_FLIGHT + 1)]
    direct = [asyncio.create_task(lane.enter()) for _ in range(RESERVED + 1)]
    await asyncio.sleep(1)
    passed = sum(task.done() for task in direct)
    for _ in range(2 + RESERVED):
        lane.leave()
    await asyncio.sleep(1)

    assert passed == RESERVED
    assert direct[-1].done()
    assert polls[-1].done()
    await lane.aclose()


async def test_refusal_pauses_all(board):
    """What one process is told by the service holds for the others."""
    one, two = (SharedLane(UNKNOWN, "a", board) for _ in range(2))
    loop = asyncio.get_running_loop()
    await one.enter()
    one.refuse(7.0)
    one.leave(is_refused=True)
    await asyncio.sleep(0.1)
    began = loop.time()
    await two.enter()

    assert loop.time() - began == pytest.approx(7, abs=0.5)
    two.leave()
    await one.aclose()
    await two.aclose()


async def test_places_of_the_dead_are_free_again(board):
    """A process that died holds its places for its lease, and a period more."""
    dead, lane = (SharedLane(Limit(1, 10), "a", board) for _ in range(2))
    await dead.enter()
    dead._serving.cancel()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await lane.enter()

    assert LEASE + 9 < loop.time() - began < LEASE + 12
    await lane.aclose()


async def test_long_requests_keep_their_place(board):
    """What is under way for long is not taken for dead."""
    long, lane = (SharedLane(Limit(1, 10), "a", board) for _ in range(2))
    await long.enter()
    waiting = asyncio.create_task(lane.enter())
    await asyncio.sleep(LEASE * 3)
    assert not waiting.done()
    long.leave()
    await waiting

    assert lane.held == 1
    await long.aclose()
    await lane.aclose()


async def test_who_has_no_time_is_told(board):
    """Nothing is asked of the service then, and no place is taken."""
    lane = SharedLane(Limit(1, 1000), "a", board)
    await lane.enter()
    with pytest.raises(RateLimited):
        await lane.enter(deadline=3)

    assert lane.held == 1
    await lane.aclose()


async def test_left_in_the_moment_of_entering(board, monkeypatch):
    """A place that comes in the moment of a cancellation is given back."""
    lane = SharedLane(Limit(1, 10), "a", board)
    entering = asyncio.create_task(lane.enter())
    let_in = lane._let_in

    def let_in_and_cancel(waiting: object) -> None:
        let_in(waiting)
        entering.cancel()

    monkeypatch.setattr(lane, "_let_in", let_in_and_cancel)
    with pytest.raises(asyncio.CancelledError):
        await entering

    assert lane.held == 0
    await lane.aclose()


async def test_left_while_the_others_are_asked(board):
    """A place that was meant for who has left goes back."""
    lane = SharedLane(Limit(1, 10), "a", board)
    entering = asyncio.create_task(lane.enter())
    await asyncio.sleep(0.001)
    entering.cancel()
    await asyncio.sleep(1)

    assert lane.held == 0
    assert load_tally(board.text, Limit(1, 10)).holders != {}
    await lane.enter()
    assert lane.held == 1
    await lane.aclose()


async def test_journal_that_is_away_lets_wait(board, caplog):
    """Nothing passes unseen; what happened in between is told afterwards."""
    lane = SharedLane(Limit(2, 100), "a", board)
    await lane.enter()
    board.is_away = True
    lane.leave()
    lane.refuse(1.0)
    waiting = asyncio.create_task(lane.enter())
    await asyncio.sleep(20)
    assert not waiting.done()
    board.is_away = False
    await waiting
    known = load_tally(board.text, Limit(2, 100))

    assert len(known.window.ended) == 1
    assert known.window.refusals == 1
    assert "cannot be looked up" in caplog.text
    await lane.aclose()


async def test_closed_lane_lets_nobody_wait(board):
    """Whoever waits is told; a journal that is away is no hindrance."""
    lane = SharedLane(Limit(1, 1000), "a", board)
    await lane.enter()
    waiting = asyncio.create_task(lane.enter())
    await asyncio.sleep(1)
    board.is_away = True
    await lane.aclose()
    with pytest.raises(PersonaKitError, match="closed"):
        await waiting


async def test_unused_lane_is_closed(board):
    """A lane that was never used asks nothing."""
    await SharedLane(UNKNOWN, "a", board).aclose()

    assert board.changes == 0


def test_account_as_text():
    """What is written is read back; ends are never taken for earlier ones."""
    window = Window(UNKNOWN, count=7.0, refusals=2, changed_at=3.0)
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
    """Whoever shares nothing has an own lane."""
    limit = Limit(1, 1)
    own = open_lane("starts", limit, account="a", shared=None)
    shared = open_lane("starts", limit, account="a", shared=board)

    assert isinstance(own, OwnLane)
    assert isinstance(shared, SharedLane)
    await shared.aclose()
