"""What the steps of a call do where the flow leaves the usual path."""

from __future__ import annotations

import asyncio
import math

import attrs
import pytest

from personakit import PersonaKit
from personakit.errors import InvalidRequest, Unsupported
from personakit.http.transport import Transport, check_base_url
from personakit.jobs.engine import Engine, call_with_retry, check_ability, deadline_in
from personakit.jobs.step_writer import StepWriter
from personakit.journal import Account, MemoryJournal
from personakit.models import Snapshot
from personakit.polling.polled_job import PolledJob
from personakit.polling.poller import Poller
from personakit.polling.schedule import Pace
from personakit.providers.evolink import Evolink
from personakit.ratelimit.limits import Limit
from personakit.ratelimit.shared import SharedRateLimiter, load_tally
from personakit.receipt import Ability
from personakit.requests import MusicRequest
from tests.journals import open_states
from tests.unit.ratelimit.test_shared import Board

NOBODY = check_base_url("http://127.0.0.1:1")


@pytest.fixture
async def poor_kit():
    """A client of a service that offers nothing, where nobody listens."""
    provider = attrs.evolve(Evolink(), abilities=frozenset())
    async with PersonaKit(provider, api_key="k", base_url=str(NOBODY)) as kit:
        yield kit


async def test_absent_ability_is_refused_before_any_step(poor_kit):
    """What a service lacks is refused by name, without a receipt or a request."""
    engine = await poor_kit._here()
    with pytest.raises(Unsupported, match="evolink does not offer music"):
        await poor_kit.submit(MusicRequest(idea="rain"), timeout=9)
    build = engine.provider.build_credits
    with pytest.raises(Unsupported, match="evolink does not offer credits"):
        await call_with_retry(engine, Ability.CREDITS, build, deadline=9)

    assert await open_states(poor_kit) == ()
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


class Silent:
    """Reads for ever."""

    at_once, kind, expects_callback = 1, "k", False

    async def poll(self, _: PolledJob) -> Snapshot:
        await asyncio.sleep(math.inf)
        raise AssertionError


async def test_closing_leaves_nothing_in_a_shared_lane():
    """Readings under way give their places back before the rate limiter is closed."""
    board = Board()
    limiter = SharedRateLimiter(Limit(), "a", board)
    poller = Poller(Pace(), limiter=limiter)
    journal, account = MemoryJournal(), Account("evolink", str(NOBODY), "a")
    engine = Engine(
        provider=Evolink(),
        account=account,
        transport=Transport(NOBODY, "key", None),
        poller=poller,
        journal=journal,
        writer=StepWriter(journal, account),
        starts=limiter,
        reads=limiter,
        address=lambda *_: None,
    )
    poller.subscribe("j", Silent(), lambda _: None, latest=None, age=0.0)
    await asyncio.sleep(1)
    held = limiter.held
    await engine.aclose()
    await asyncio.sleep(1)

    assert (held, limiter.held) == (1, 0)
    assert load_tally(board.text, Limit()).holders == {}
    assert asyncio.all_tasks() == {asyncio.current_task()}
