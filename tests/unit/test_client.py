"""The client: its arguments, its key, and what it hands on."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace

import pytest

from personakit import (
    Ability,
    InvalidRequest,
    MusicRequest,
    PersonaKit,
    StemsRequest,
    Unsupported,
)
from personakit.providers.evolink import Evolink


def test_unknown_service_is_refused():
    """A wrong name lists the right ones."""
    with pytest.raises(InvalidRequest, match="provider must be one of evolink"):
        PersonaKit("evo", api_key="k")


async def test_upload_needs_an_address_of_its_own_beside_another_base():
    """With an address of the caller's own, files never go to the public one."""
    kit = PersonaKit("kie", api_key="k", base_url="http://127.0.0.1:1")
    with pytest.raises(InvalidRequest, match="files_url must be given beside base_url"):
        await kit.upload("https://x.example/a.mp3")
    await kit.aclose()


def test_address_for_files_is_checked():
    """The key goes to that address too, so it must be safe."""
    with pytest.raises(InvalidRequest, match="files_url must be an https address"):
        PersonaKit("kie", api_key="k", files_url="http://files.example")


def test_dialect_of_the_callers_own():
    """A dialect may be passed instead of a name."""
    here = Evolink(base_url="https://proxy.example")

    assert repr(PersonaKit(here, api_key="k")) == (
        "<PersonaKit evolink at https://proxy.example>"
    )
    assert PersonaKit(here, api_key="k").provider == "evolink"


def test_request_can_be_checked_without_sending():
    """What the service would refuse is refused, and nothing is opened."""
    kit = PersonaKit("evolink", api_key="k")

    assert kit.check(MusicRequest(idea="rain")) is None
    with pytest.raises(InvalidRequest, match="style has no effect beside idea"):
        kit.check(MusicRequest(idea="rain", style="jazz"))
    with pytest.raises(Unsupported, match="evolink does not offer stems"):
        kit.check(StemsRequest("https://x.example/a.mp3"))


@pytest.mark.parametrize("timeout", [0, -1, math.nan, -math.inf, "9", None, True])
def test_timeout_is_a_positive_number(timeout):
    """Seconds are a positive number, or infinite."""
    with pytest.raises(InvalidRequest, match="timeout must be a positive number"):
        PersonaKit("evolink", api_key="k", timeout=timeout)


@pytest.mark.parametrize(
    ("ability", "expected"),
    [
        (Ability.PERSONA, True),
        (Ability.MUSIC, True),
        (Ability.CREDITS, True),
        (Ability.TRACK, False),
    ],
)
def test_can_tells_what_the_service_offers(ability, expected):
    """Abilities are known without any request."""
    assert PersonaKit("evolink", api_key="k").can(ability) is expected


async def test_closing_what_was_never_opened_is_harmless():
    """A client that was not used closes."""
    async with PersonaKit("evolink", api_key="k") as kit:
        pass
    await kit.aclose()

    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_report_about_a_closed_loop_is_harmless():
    """A loop that was closed a moment ago does not make a callback fail."""
    kit, loop = PersonaKit("evolink", api_key="k"), asyncio.new_event_loop()
    loop.close()
    engine = SimpleNamespace(poller=SimpleNamespace(wake=None))
    kit._engines = SimpleNamespace(items=lambda: [(loop, engine)])

    assert kit._wake("j1") is None
