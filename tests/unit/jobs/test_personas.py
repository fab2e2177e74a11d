"""Personas that a journal knows, and what they save."""

from __future__ import annotations

import pytest

from personakit import (
    InvalidRequest,
    JournalError,
    Persona,
    PersonaExists,
    PersonaKit,
    TrackRef,
)
from personakit.emulator import Emulator
from personakit.journal import MemoryJournal
from tests.contract.worlds import connect, seed

NAMED = {"name": "Jazz", "description": "Warm"}


@pytest.mark.parametrize("name", ["evolink", "sunoapi", "kie-jobs", "musicmint"])
async def test_created_personas_are_known(emulator, name):
    """Every persona that was seen finished is found by name, id and source."""
    async with connect(emulator, name) as kit:
        source = seed(emulator, name)
        persona = await kit.create_persona(source, **NAMED)
        found = [
            await kit.personas.get("Jazz"),
            await kit.personas.get(persona.id),
            await kit.personas.of(source),
            await kit.personas.of(source.ref),
            *await kit.personas.list(),
        ]

        assert found == [persona] * 5
        assert persona.name == "Jazz"
        assert await kit.personas.get("Pop") is None
        assert await kit.personas.of(TrackRef("j", "t")) is None


@pytest.mark.parametrize("name", ["evolink", "sunoapi", "kie-jobs", "musicmint"])
async def test_known_persona_is_not_paid_for_again(emulator, name):
    """``if_exists="return"`` gives the known one, without a request."""
    async with connect(emulator, name) as kit:
        source = seed(emulator, name)
        first = await kit.create_persona(source, **NAMED, if_exists="return")
        again = await kit.create_persona(source, **NAMED, if_exists="return")

        assert first == again
        assert emulator.count("submit") == len(emulator.charges) == 1


@pytest.mark.looptime(False)
async def test_persona_of_an_earlier_life(emulator, tmp_path):
    """What the service refuses to make twice is found in the journal's file."""
    path = tmp_path / "jobs.db"
    async with connect(emulator, "sunoapi", journal=path) as kit:
        source = seed(emulator, "sunoapi")
        persona = await kit.create_persona(source, **NAMED)
    async with connect(emulator, "sunoapi", journal=path) as kit:
        with pytest.raises(PersonaExists):
            await kit.create_persona(source, **NAMED)

        assert await kit.create_persona(source, **NAMED, if_exists="return") == persona


async def test_unknown_persona_that_exists(emulator):
    """Where nobody knows which it is, the error comes through."""
    async with connect(emulator, "sunoapi") as kit:
        source = seed(emulator, "sunoapi")
        persona = await kit.create_persona(source, **NAMED)
        assert await kit.personas.forget(persona)
        with pytest.raises(PersonaExists):
            await kit.create_persona(source, **NAMED, if_exists="return")


async def test_service_that_tells_which_persona_exists(emulator, monkeypatch):
    """A refusal that names the persona is enough."""
    async with connect(emulator, "sunoapi") as kit:
        source = seed(emulator, "sunoapi")

        async def refuse(*_: object, **__: object) -> Persona:
            raise PersonaExists("It exists.", persona_id="p9")

        monkeypatch.setattr(kit, "run", refuse)
        persona = await kit.create_persona(source, **NAMED, if_exists="return")

        assert (persona.id, persona.name, persona.source) == ("p9", "Jazz", source.ref)


async def test_latest_of_a_name_wins(kit: PersonaKit):
    """Two of one name are told apart by id; the name means the latest."""
    old, new = Persona("p1", "evolink", "Jazz"), Persona("p2", "evolink", "Jazz")
    await kit.personas.add(old)
    await kit.personas.add(new)

    assert await kit.personas.get("Jazz") == new
    assert await kit.personas.get("p1") == old


async def test_personas_can_be_added_and_forgotten(kit: PersonaKit, emulator: Emulator):
    """The registry is the caller's; nothing of it is sent."""
    persona = Persona("p1", "evolink", "Made elsewhere")
    await kit.personas.add(persona)
    with pytest.raises(InvalidRequest, match="must be one of evolink"):
        await kit.personas.add(Persona("p1", "sunoapi"))
    forgotten = [await kit.personas.forget("p1"), await kit.personas.forget(persona)]

    assert forgotten == [True, False]
    assert emulator.exchanges == ()


async def test_persona_that_cannot_be_kept_is_still_given(emulator, caplog):
    """A registry that cannot be written loses no persona that was paid for."""

    class Full(MemoryJournal):
        async def remember(self, account, persona):
            raise JournalError("No space left on device.")

    async with connect(emulator, "evolink", journal=Full()) as kit:
        persona = await kit.create_persona(seed(emulator, "evolink"), **NAMED)

    assert persona.name == "Jazz"
    assert f"Persona {persona.id} is not in the registry" in caplog.text
