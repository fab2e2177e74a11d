"""What can be read of an account, and what a service lacks."""

from __future__ import annotations

import pytest

from personakit import (
    AuthenticationError,
    NotFound,
    ServiceUnavailable,
    TrackRef,
    Unsupported,
)
from personakit.emulator import Fault
from tests.contract.worlds import connect

REF = TrackRef("j", "t")


async def test_balance(kit, emulator):
    """It is read, through weather, and costs nothing."""
    emulator.inject(Fault.status(503), on="credits", times=2)
    balance = await kit.credits()

    assert balance.spendable == 1000
    assert emulator.charges == ()


@pytest.mark.parametrize("name", ["evolink", "sunoapi", "musicmint"])
async def test_ping(emulator, name):
    """Every service can be asked, for nothing, and tells its clock."""
    async with connect(emulator, name) as kit:
        ping = await kit.ping()

    assert 0 <= ping.seconds < 60
    assert ping.clock is not None
    assert emulator.charges == ()


async def test_ping_of_a_service_without_a_clock(kit, monkeypatch):
    """What is not told is None."""
    monkeypatch.setattr("personakit.http.messages._parse_date", lambda _: None)

    assert (await kit.ping()).clock is None


async def test_ping_with_a_wrong_key(emulator):
    """The service refuses the key."""
    async with connect(emulator, "evolink", api_key="sk-wrong-key") as kit:
        with pytest.raises(AuthenticationError):
            await kit.ping()


async def test_outage_ends_with_the_time(kit, emulator):
    """When the time is up the last error is raised."""
    emulator.inject(Fault.status(503), on="credits", times=99)
    with pytest.raises(ServiceUnavailable):
        await kit.credits(timeout=5)


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("musicmint", lambda kit: kit.credits()),
        ("evolink", lambda kit: kit.track(REF)),
        ("sunoapi", lambda kit: anext(kit.jobs())),
    ],
)
async def test_what_a_service_lacks_is_refused_by_name(emulator, name, ask):
    """Nothing is sent for it."""
    async with connect(emulator, name) as kit:
        with pytest.raises(Unsupported, match=f"{name} does not offer"):
            await ask(kit)

    assert emulator.exchanges == ()


async def test_unknown_track(emulator):
    """A track that the service does not know is not found."""
    async with connect(emulator, "musicmint") as kit:
        with pytest.raises(NotFound):
            await kit.track(REF)


async def test_jobs_of_other_models_are_skipped(kit, emulator):
    """A page of images alone yields no job, and is not the end of the list."""
    song = emulator.seed_song()
    for _ in range(50):
        emulator.seed_song(model="z-image")

    assert [job.id async for job in kit.jobs()] == [song.job_id]
