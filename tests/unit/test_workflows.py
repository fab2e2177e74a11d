"""What the steps of a call do where the flow leaves the usual path."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from personakit.errors import InvalidRequest, Unsupported
from personakit.journal.memory import MemoryJournal
from personakit.models import MusicRequest
from personakit.pace import Pace
from personakit.poller import Poller
from personakit.providers.evolink import Evolink
from personakit.receipt import Ability, Receipt
from personakit.transport import Transport, check_base_url
from personakit.workflows import (
    Engine,
    check_ability,
    deadline_in,
    read_credits,
    submit,
)


@pytest.fixture
async def poor_engine():
    """An engine of a service that offers nothing, where nobody listens."""
    engine = Engine(
        provider=attrs.evolve(Evolink(), abilities=frozenset()),
        transport=Transport(check_base_url("http://127.0.0.1:1"), "key", None),
        poller=Poller(Pace()),
        journal=MemoryJournal(),
    )
    yield engine
    await engine.aclose()


async def test_absent_ability_is_refused_before_any_step(poor_engine):
    """What a service lacks is refused by name, without a receipt or a request."""
    with pytest.raises(Unsupported, match="evolink does not offer music"):
        await submit(poor_engine, MusicRequest(idea="rain"), deadline=9)
    with pytest.raises(Unsupported, match="evolink does not offer credits"):
        await read_credits(poor_engine, deadline=9)

    assert await poor_engine.journal.unfinished() == ()
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
        poor_engine.own(send(), Receipt("evolink", Ability.MUSIC))
    )
    await asyncio.sleep(1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == []
    await asyncio.sleep(10)

    assert done == [1]
    assert poor_engine.sendings == set()
