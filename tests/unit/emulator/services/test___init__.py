"""Every service is played, each with a memory of its own."""

from __future__ import annotations

import pytest

from personakit.emulator import Emulator
from personakit.emulator.callbacks import CallbackQueue
from personakit.emulator.clock import Clock
from personakit.emulator.services import Options, open_services
from personakit.emulator.state import Account
from personakit.providers import PROVIDERS


@pytest.fixture
def played():
    clock = Clock(1.0)
    options = Options(
        api_key="k",
        seed=0,
        song_shape="object",
        suno_shape="sunoData",
        mirror_status=False,
        persona_again=None,
        poll_verbs=("GET",),
        signing_secret="s",
    )
    return open_services(clock, Account(clock, 0), CallbackQueue(), options)


def test_every_service_of_the_package_is_played(played):
    """What the package speaks to, the emulator plays."""
    assert list(played) == list(PROVIDERS)


def test_memories_are_apart(played):
    """Only the two forms of kie share one; ids of others differ by their seeds."""
    assert played["kie"].state is played["kie-jobs"].state
    assert len({id(one.state) for one in played.values()}) == 5
    ids = {one.state.new_uuid() for one in played.values()}

    assert len(ids) == 6


@pytest.mark.parametrize("name", PROVIDERS)
async def test_seeded_song_is_known_to_its_service(name):
    """A song is put into the service that is named, in its own forms."""
    async with Emulator() as emulator:
        song = emulator.seed_song(provider=name)

    assert emulator._played[name].state.songs[song.track_id] is song
    assert song.model == emulator._played[name].model


def test_unknown_service():
    """A song of no service is refused."""
    with pytest.raises(ValueError, match="no service 'x' here, only: evolink"):
        Emulator().seed_song(provider="x")
