"""The read matrix on every service: whatever happens to a reading, the wait goes on."""

from __future__ import annotations

import asyncio
import json

import pytest

from personakit import JobState, MalformedAnswer, NotFound, PersonaKitError
from personakit.emulator import Fault
from personakit.polling.polled_job import EARLY_PATIENCE
from personakit.receipt import Ability
from tests.contract.worlds import SONG, WORLDS, connect, every_kind, make_request, seed

WEATHER = {
    "drop": Fault.drop(),
    "reset": Fault.reset(),
    "hang": Fault.hang(),
    "slow": Fault.slow(20),
    "cut body": Fault.cut(),
    "garbage": Fault.garbage(),
    "no json": Fault.text(b'{"code": 200, "da'),
    "empty": Fault.text(b""),
    "null": Fault.text(b"null"),
    "list": Fault.text(b"[1]"),
    "deep": Fault.text(b"[" * 100_000),
    "another field": Fault.patch({"surprise": {"a": [1, None]}}),
    **{
        f"html {status}": Fault.html(status)
        for status in (200, 301, 302, 308, 403, 404, 408, 409, 425, 429, 500, 502, 503)
    },
    "429 with Retry-After": Fault.status(429, retry_after=30),
    "404 just after submit": Fault.status(404),
}
CHANGED = {
    "evolink": {
        "no status": Fault.patch({}, remove=("status",)),
        "status of wrong type": Fault.patch({"status": 7}),
        "unknown status": Fault.patch({"status": "dreaming"}),
        "no result": Fault.patch({"status": "completed"}, remove=("result_data",)),
    },
    "": {
        "no data": Fault.patch({}, remove=("data",)),
        "null data": Fault.patch({"data": None}),
        "empty data": Fault.patch({"data": {}}),
        "data of wrong type": Fault.patch({"data": "x"}),
        "no code": Fault.patch({}, remove=("code",)),
        "code of wrong type": Fault.patch({"code": "0"}),
        "500 under 200": Fault.patch({"code": 500}),
    },
}


def every_change():
    """Return every way in which each service's answers may change."""
    return [
        pytest.param(name, fault, id=f"{name}-{change}")
        for name in WORLDS
        for change, fault in CHANGED.get(name, CHANGED[""]).items()
    ]


@pytest.mark.parametrize("fault", WEATHER.values(), ids=WEATHER)
@pytest.mark.parametrize("name", WORLDS)
async def test_weather_never_ends_a_wait(emulator, name, fault):
    """Three bad readings in a row delay the result, and are not fatal."""
    async with connect(emulator, name) as kit:
        emulator.inject(fault, on="read", times=3)
        tracks = await kit.generate(**SONG)

    assert len(tracks) == 2
    assert emulator.count("submit") == 1


@pytest.mark.parametrize(("name", "fault"), every_change())
async def test_changed_answers_never_end_a_wait(emulator, name, fault):
    """A reading of another shape is passed over, too."""
    async with connect(emulator, name) as kit:
        emulator.inject(fault, on="read", times=3)
        tracks = await kit.generate(**SONG)

    assert len(tracks) == 2
    assert emulator.count("submit") == 1


@pytest.mark.parametrize(("world", "ability"), every_kind())
async def test_outage_is_survived(emulator, world, ability):
    """Thirty seconds without one good reading are survived, whatever is awaited."""
    async with connect(emulator, world.name) as kit:
        job = await kit.submit(make_request(ability, seed(emulator, world.name)))
        emulator.inject(Fault.status(503), on="read", seconds=30)
        emulator.inject(Fault.drop(), on="read", times=2)
        result = await job

    assert result
    assert emulator.count("submit") == 1


@pytest.mark.parametrize("name", WORLDS)
async def test_failed_job_tells_why(emulator, name):
    """A job that ends badly is a JobFailed with the receipt, and is not tried again."""
    emulator.inject(Fault.fails("service_error", "It broke."), on="submit")
    async with connect(emulator, name) as kit:
        job = await kit.submit(make_request(Ability.MUSIC, seed(emulator, name)))
        with pytest.raises(PersonaKitError, match="It broke") as caught:
            await job

    assert job.snapshot.state is JobState.FAILED
    assert caught.value.receipt == job.receipt
    assert caught.value.charged in {"no", "unknown"}
    assert emulator.count("submit") == 1


@pytest.mark.parametrize("name", WORLDS)
async def test_job_that_is_gone_is_believed_soon(emulator, name):
    """A job that stays unknown is reported so, with its receipt."""
    async with connect(emulator, name) as kit:
        job = await kit.submit(make_request(Ability.MUSIC, seed(emulator, name)))
        emulator.inject(Fault.html(404), on="read", times=None)
        with pytest.raises(NotFound) as caught:
            await job

    assert asyncio.get_running_loop().time() <= 30 + EARLY_PATIENCE + 15
    assert caught.value.receipt == job.receipt


@pytest.mark.parametrize("name", WORLDS)
async def test_result_that_stays_malformed_names_its_place(emulator, name):
    """A changed service is a clear error with the path, and the job can be found."""
    async with connect(emulator, name) as kit:
        job = await kit.submit(make_request(Ability.MUSIC, seed(emulator, name)))
        broken = {"code": 0 if name == "musicmint" else 200, "data": {"id": 7}}
        fault = Fault.text(json.dumps({**broken, "id": 7}).encode())
        emulator.inject(fault, on="read", times=None)
        with pytest.raises(MalformedAnswer) as caught:
            await job

    assert caught.value.path.startswith("$.")
    assert caught.value.receipt == job.receipt


@pytest.mark.parametrize("name", WORLDS)
async def test_previews_are_never_taken_for_final(emulator, name):
    """Until a job is completed no snapshot has a result."""
    async with connect(emulator, name) as kit:
        job = await kit.submit(make_request(Ability.MUSIC, seed(emulator, name)))
        states = [
            (snapshot.state.is_final, snapshot.result is not None)
            async for snapshot in job.updates()
        ]
        tracks = await job

    assert len(states) >= 2
    assert set(states[:-1]) == {(False, False)}
    assert states[-1] == (True, True)
    assert all(track.audio_url for track in tracks)


@pytest.mark.looptime(False)
@pytest.mark.parametrize("name", WORLDS)
async def test_final_audio_can_be_saved(service, name, tmp_path):
    """What is final is real audio, and its address needs no key."""
    async with connect(service, name) as kit:
        tracks = await kit.generate(**SONG)
        path = await kit.download(tracks[0], tmp_path)

    [fetch] = [one for one in service.exchanges if one.action == "download"]
    assert path.read_bytes()[:4] == b"RIFF"
    assert not fetch.key_seen


@pytest.mark.parametrize("name", WORLDS)
async def test_tracks_carry_what_is_asked_for_later(emulator, name):
    """A track has its ids, service, length and links, and lives for a while."""
    async with connect(emulator, name) as kit:
        track, _ = await kit.generate(**SONG)

    assert track.provider == name
    assert track.job_id
    assert track.track_id
    assert track.duration > 1
    assert track.audio_url.startswith(emulator.url(name))
    assert track.image_url.startswith(emulator.url(name))
    assert track.expires_at is not None
    assert (track.title, track.lyrics) == (SONG["title"], SONG["lyrics"])
    assert (track.model is not None) is (name != "musicmint")
