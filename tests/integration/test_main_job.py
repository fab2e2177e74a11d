"""The main job over real sockets: create a persona, sing with it, save the audio."""

from __future__ import annotations

import asyncio
import math
import wave

import pytest

from personakit import (
    InvalidRequest,
    JobFailed,
    JobState,
    MusicRequest,
    Persona,
    PersonaRequest,
    Receipt,
    VocalWindow,
    WaitTimeout,
)
from personakit.emulator import Emulator, Fault
from personakit.receipt import Ability
from tests.conftest import connect

SONG = MusicRequest(lyrics="[Verse]\nLa", style="jazz", title="Blue hour")
IDEA = MusicRequest(idea="a rainy night")
DESCRIPTION = (
    "Smooth jazz vocal style with warm tones and improvisational flair suitable for "
    "lounge music"
)


async def test_persona_is_created_and_sings(kit, emulator, source):
    """The persona specification's example, from its source to a song by it."""
    persona = await kit.create_persona(
        source,
        name="Jazz Vocalist",
        description=DESCRIPTION,
        window=VocalWindow(15, 35),
        style="jazz",
    )
    tracks = await kit.generate(
        lyrics="[Verse]\n月光照在窗台", style="jazz", title="心中的光", persona=persona
    )

    assert (persona.name, persona.style) == ("Jazz Vocalist", "jazz")
    assert (persona.provider, persona.source) == ("evolink", source)
    assert len(tracks) == 2
    assert {track.lyrics for track in tracks} == {"[Verse]\n月光照在窗台"}
    assert tracks[0].title == "心中的光"
    assert tracks[0].expires_at is not None
    assert [(charge.kind, charge.credits) for charge in emulator.charges] == [
        ("persona", 1),
        ("music", 10),
    ]


async def test_track_of_a_song_becomes_a_persona(kit):
    """A track as it was returned serves as the source."""
    first, second = await kit.generate(idea="a rainy night")
    personas = [
        await kit.create_persona(track, name="Voice", description="Warm")
        for track in (first, second)
    ]

    assert personas[0].id != personas[1].id
    assert personas[0].source == first.ref


async def test_second_persona_of_a_track_is_refused_and_free(kit, emulator, source):
    """A track allows one persona; the service's own words are passed on."""
    await kit.create_persona(source, name="Voice", description="Warm")
    with pytest.raises(InvalidRequest, match="already exists") as caught:
        await kit.create_persona(source, name="Voice", description="Warm")

    assert caught.value.charged == "no"
    assert caught.value.code == "invalid_request"
    assert caught.value.request_id is not None
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("shape", ["object", "array"])
async def test_both_shapes_of_finished_songs_are_read(shape):
    """Songs come as an object with songs, or as the bare array of older days."""
    async with Emulator(song_shape=shape) as emulator, connect(emulator) as kit:
        tracks = await kit.generate(idea="a rainy night")

    assert [track.duration > 40 for track in tracks] == [True, True]


async def test_few_reads_and_small_lag(kit, emulator):
    """A song is noticed soon after its end, with few reads."""
    job = await kit.submit(IDEA)
    await job

    reads = [one.at for one in emulator.exchanges if one.action == "read"]
    assert len(reads) <= 25
    assert reads[-1] - reads[-2] <= 10


async def test_job_tells_its_progress(kit):
    """Updates show queued, then growing progress, then the result."""
    job = await kit.submit(SONG)
    seen = [snapshot async for snapshot in job.updates()]

    progress = [snapshot.progress for snapshot in seen[1:]]
    assert job.snapshot is seen[-1]
    assert seen[0].state is JobState.QUEUED
    assert seen[0].estimated_time == 60
    assert progress == sorted(progress)
    assert seen[-1].state is JobState.COMPLETED
    assert seen[-1].result == await job


async def test_finished_job_is_not_read_again(kit, emulator):
    """Awaiting a finished job again costs nothing."""
    job = await kit.submit(IDEA)
    first = await job
    reads = emulator.count("read")
    second = await job
    seen = [snapshot async for snapshot in job.updates()]

    assert first is second
    assert [snapshot.result for snapshot in seen] == [first]
    assert emulator.count("read") == reads


async def test_many_tasks_share_the_readings_of_one_job(kit, emulator):
    """Fifty waits, through one handle and through others, cost as much as one."""
    job = await kit.submit(IDEA)
    others = [kit.attach(job.token, MusicRequest) for _ in range(49)]
    results = await asyncio.gather(job.result(), *(other.result() for other in others))

    assert {tuple(track.ref for track in result) for result in results} == {
        tuple(track.ref for track in results[0])
    }
    assert emulator.count("read") <= 25


async def test_job_is_found_again_by_another_client(emulator, source):
    """A token taken elsewhere finds the job, whoever submitted it."""
    async with connect(emulator) as first:
        request = PersonaRequest(source, name="Voice", description="Warm")
        token = (await first.submit(request)).token
    async with connect(emulator) as second:
        job = second.attach(token, PersonaRequest)
        before = job.snapshot
        persona = await job
        same = await second.attach(token)

    assert same == persona
    assert before is None
    assert isinstance(persona, Persona)
    assert persona.name is None
    assert len(emulator.charges) == 1


async def test_failed_job_says_why_and_costs_nothing(kit, emulator):
    """A failed job raises with the service's code, its receipt, and the money back."""
    emulator.inject(Fault.fails("service_error", "try later"), on="submit")
    job = await kit.submit(IDEA)
    with pytest.raises(JobFailed, match="try later") as caught:
        await job

    error = caught.value
    assert (error.code, error.charged, error.retry_safe) == (
        "service_error",
        "no",
        True,
    )
    assert error.receipt == job.receipt
    assert emulator.credits == 1000


async def test_time_out_lets_the_job_run_on(kit):
    """When time is up the job is detached, and can be awaited again."""
    job = await kit.submit(IDEA)
    start = asyncio.get_running_loop().time()
    with pytest.raises(WaitTimeout, match="runs on") as caught:
        await job.result(timeout=1.5)
    waited = asyncio.get_running_loop().time() - start
    tracks = await job.result(timeout=math.inf)

    assert waited == pytest.approx(1.5, abs=0.1)
    assert caught.value.receipt == job.receipt
    assert caught.value.charged == "yes"
    assert len(tracks) == 2


async def test_unread_job_times_out_too(emulator, kit):
    """A job that could not be read even once is named so."""
    token = (await kit.submit(IDEA)).token
    emulator.inject(Fault.hang(), on="read")
    with pytest.raises(WaitTimeout, match="not read yet"):
        await kit.attach(token, MusicRequest).result(timeout=3)


async def test_one_deadline_covers_submit_and_wait(kit, emulator):
    """What the submit has used up is missing from the wait."""
    emulator.inject(Fault.status(429, retry_after=6), on="submit")
    start = asyncio.get_running_loop().time()
    with pytest.raises(WaitTimeout):
        await kit.generate(idea="a rainy night", timeout=10)

    waited = asyncio.get_running_loop().time() - start
    assert waited == pytest.approx(10, abs=0.1)


async def test_credits_tell_what_is_left(kit, emulator):
    """The balance is the account's."""
    await kit.submit(IDEA)
    balance = await kit.credits()

    assert balance.spendable == emulator.credits == 990


@pytest.mark.looptime(False)
async def test_download_is_playable_and_shows_no_key(tmp_path):
    """The audio is saved whole, is what the track says, and cost no key."""
    async with Emulator(speed=600) as emulator, connect(emulator) as kit:
        track, _ = await kit.generate(idea="a rainy night")
        path = await kit.download(track, tmp_path)

        with wave.open(str(path)) as audio:
            length = audio.getnframes() / audio.getframerate()
        fetched = [one for one in emulator.exchanges if one.action == "download"]

    assert length == pytest.approx(track.duration, abs=0.01)
    assert [one.key_seen for one in fetched] == [False]


async def test_nothing_is_sent_where_a_rule_is_broken(kit, emulator, source):
    """Local refusals, the trap of the ignored persona above all, reach nobody."""
    voice = Persona("5c57d49ef834110496fae5aa14fec441", "evolink")
    with pytest.raises(InvalidRequest, match="persona has no effect beside idea"):
        await kit.generate(idea="a rainy night", persona=voice)
    with pytest.raises(InvalidRequest, match="window must be 10 to 30 s long"):
        await kit.create_persona(
            source, name="V", description="d", window=VocalWindow(0, 31)
        )
    with pytest.raises(InvalidRequest, match="timeout must be a positive number"):
        await kit.generate(idea="a rainy night", timeout=0)

    assert emulator.exchanges == ()


async def test_what_cannot_be_attached_is_refused(kit):
    """A receipt must be of this service, name a job, and fit what is expected."""
    music = Receipt("evolink", Ability.MUSIC, job_id="task-unified-1")
    with pytest.raises(InvalidRequest, match="of must fit a job for music"):
        kit.attach(music, PersonaRequest)
    with pytest.raises(InvalidRequest, match="must be one of evolink, not sunoapi"):
        kit.attach(Receipt("sunoapi", Ability.MUSIC, job_id="x"), MusicRequest)
    with pytest.raises(InvalidRequest, match="outcome is unknown"):
        kit.attach(Receipt("evolink", Ability.MUSIC), MusicRequest)
