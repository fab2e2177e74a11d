"""What the steps of a call do where the flow leaves the usual path."""

from __future__ import annotations

import asyncio
import math

import attrs
import pytest

from personakit.errors import InvalidRequest, OutcomeUnknown, Unsupported
from personakit.journal.memory import MemoryJournal
from personakit.lanes import OwnLane
from personakit.limits import Limit
from personakit.models import Snapshot
from personakit.pace import Pace
from personakit.poller import Poller
from personakit.providers.evolink import Evolink
from personakit.receipt import Ability, Receipt
from personakit.requests import MusicRequest
from personakit.sharedlane import SharedLane, load_tally
from personakit.submits import submit
from personakit.transport import Transport, check_base_url
from personakit.watch import Watch
from personakit.workflows import (
    Engine,
    ask,
    check_ability,
    deadline_in,
)
from tests.journals import open_marks
from tests.unit.test_sharedlane import Board


@pytest.fixture
async def poor_engine():
    """An engine of a service that offers nothing, where nobody listens."""
    engine = Engine(
        provider=attrs.evolve(Evolink(), abilities=frozenset()),
        transport=Transport(check_base_url("http://127.0.0.1:1"), "key", None),
        poller=Poller(Pace()),
        journal=MemoryJournal(),
        starts=OwnLane(Limit()),
        reads=OwnLane(Limit()),
    )
    yield engine
    await engine.aclose()


async def test_absent_ability_is_refused_before_any_step(poor_engine):
    """What a service lacks is refused by name, without a receipt or a request."""
    with pytest.raises(Unsupported, match="evolink does not offer music"):
        await submit(poor_engine, MusicRequest(idea="rain"), deadline=9)
    build = poor_engine.provider.build_credits
    with pytest.raises(Unsupported, match="evolink does not offer credits"):
        await ask(poor_engine, Ability.CREDITS, build, deadline=9)

    assert await open_marks(poor_engine.journal) == ()
    assert asyncio.get_running_loop().time() == 0


@pytest.mark.parametrize("ability", [Ability.PERSONA, Ability.MUSIC, Ability.CREDITS])
def test_offered_ability_passes(ability):
    """What a service offers is not refused."""
    assert check_ability(Evolink(), ability) is None


async def test_deadline_is_loop_time():
    """Seconds from now become loop time."""
    await asyncio.sleep(5)

    assert deadline_in(2.5) == 7.5
    with pytest.raises(InvalidRequest, match="timeout"):
        deadline_in(0)


async def test_owned_request_outlives_its_caller(poor_engine):
    """A paid request goes on when the one who awaits it is cancelled."""
    done: list[int] = []

    async def send() -> None:
        await asyncio.sleep(10)
        done.append(1)

    caller = asyncio.create_task(
        poor_engine.own(send(), Receipt("evolink", Ability.MUSIC), math.inf)
    )
    await asyncio.sleep(1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == []
    await asyncio.sleep(10)

    assert done == [1]
    assert poor_engine.sendings == {}


async def test_deadline_leaves_a_paid_request_alone(poor_engine):
    """A caller whose time is up is told that the outcome is open, and it comes."""
    done: list[int] = []

    async def send() -> None:
        await asyncio.sleep(10)
        done.append(1)

    receipt = Receipt("evolink", Ability.MUSIC)
    with pytest.raises(OutcomeUnknown, match="deadline came while a paid") as caught:
        await poor_engine.own(send(), receipt, 3)
    before = asyncio.get_running_loop().time(), done.copy()
    await asyncio.sleep(10)

    assert caught.value.receipt is receipt
    assert before == (3, [])
    assert done == [1]


class Silent:
    """Reads for ever."""

    at_once, kind, expects_reports = 1, "k", False

    async def read(self, _: Watch) -> Snapshot:
        await asyncio.sleep(math.inf)
        raise AssertionError


async def test_closing_leaves_nothing_in_a_shared_lane():
    """Readings under way give their places back before the lane is closed."""
    board = Board()
    lane = SharedLane(Limit(), "a", board)
    poller = Poller(Pace(), lane=lane)
    engine = Engine(
        provider=Evolink(),
        transport=Transport(check_base_url("http://127.0.0.1:1"), "key", None),
        poller=poller,
        journal=MemoryJournal(),
        starts=lane,
        reads=lane,
    )
    poller.attend("j", Silent(), lambda _: None, latest=None, age=0.0)
    await asyncio.sleep(1)
    held = lane.held
    await engine.aclose()
    await asyncio.sleep(1)

    assert (held, lane.held) == (1, 0)
    assert load_tally(board.text, Limit()).holders == {}
    assert asyncio.all_tasks() == {asyncio.current_task()}
