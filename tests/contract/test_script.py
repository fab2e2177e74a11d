"""One user's script on every service, with only the name and the address changed."""

from __future__ import annotations

import pytest

from personakit import PersonaKit, Track
from personakit.providers import PROVIDERS
from tests.contract.worlds import connect


async def sing_with_a_persona(kit: PersonaKit) -> tuple[Track, ...]:
    """Make a song, a persona of its voice, and a song by the persona."""
    source, *_ = await kit.generate(
        lyrics="[Verse]\nStay, night", style="jazz", title="Stay"
    )
    persona = await kit.create_persona(
        source, name="Jazz Vocalist", description="Smooth and warm"
    )
    return await kit.generate(
        lyrics="[Verse]\nBlue hour",
        style="smooth jazz",
        title="Blue hour",
        persona=persona,
    )


@pytest.mark.parametrize("name", PROVIDERS)
async def test_one_script_for_all(emulator, name):
    """The script knows no service, and sings on all of them."""
    async with connect(emulator, name) as kit:
        tracks = await sing_with_a_persona(kit)

    assert {track.title for track in tracks} == {"Blue hour"}
    assert [charge.kind for charge in emulator.charges] == ["music", "persona", "music"]
    assert emulator.count("submit") == 3
