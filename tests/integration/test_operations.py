"""Whole operations over real sockets: workflows, lists, and what comes at once."""

from __future__ import annotations

import asyncio

import pytest

from personakit import (
    InvalidRequest,
    JobFailed,
    JobState,
    MusicRequest,
    NotFound,
    OutcomeUnknown,
    PersonaKit,
    Receipt,
    TrackRef,
    Unsupported,
    VocalWindow,
)
from personakit.emulator import Emulator, Fault
from personakit.journal import SubmitState
from personakit.providers.musicmint import MusicMint
from personakit.receipt import Ability
from tests.contract.worlds import NAMED, SONG, WORLDS, connect, seed
from tests.journals import open_states

LINK = "https://x.example/a.mp3"


async def test_complete_workflow_of_musicmint(emulator):
    """Stems, upload, persona, song: each paid once, and the song is by the persona."""
    async with connect(emulator, "musicmint") as kit:
        source = seed(emulator, "musicmint")
        song = MusicRequest(**SONG)
        made = await kit.sing(song, voice_of=source, **NAMED)

    paid = [charge.kind for charge in emulator.charges]
    paths = [one.path.rpartition("/")[2] for one in emulator.exchanges][:4]
    assert paid == ["stems", "upload", "persona", "music"]
    assert paths == ["stem", "upload", "persona", "generate"]
    assert made.persona.source != source.ref
    assert made.persona.name == NAMED["name"]
    assert len(made.tracks) == 2
    assert made.persona.id.encode() in emulator.exchanges[3].body


async def test_workflow_from_an_address(emulator):
    """Audio from elsewhere is uploaded, isolated, and sings."""
    async with connect(emulator, "musicmint") as kit:
        made = await kit.sing(MusicRequest(**SONG), voice_of=LINK, **NAMED)

    paid = [charge.kind for charge in emulator.charges]
    assert paid == ["upload", "stems", "upload", "persona", "music"]
    assert made.tracks


@pytest.mark.parametrize("name", [name for name in WORLDS if name != "musicmint"])
async def test_workflow_elsewhere(emulator, name):
    """Where a voice cannot be isolated, the persona is made of the track itself."""
    async with connect(emulator, name) as kit:
        source = seed(emulator, name)
        made = await kit.sing(MusicRequest(**SONG), voice_of=source, **NAMED)
        with pytest.raises(Unsupported, match=f"{name} does not offer voice"):
            await kit.sing(MusicRequest(**SONG), voice_of=LINK, **NAMED)

    assert made.persona.source == source.ref
    assert [charge.kind for charge in emulator.charges] == ["persona", "music"]


async def test_song_that_breaks_a_rule_costs_no_persona(emulator):
    """The last step is held against the rules before the first is paid."""
    async with connect(emulator, "musicmint") as kit:
        song = MusicRequest(lyrics="la", duration=60)
        with pytest.raises(InvalidRequest, match="duration has no effect"):
            await kit.sing(song, voice_of=seed(emulator, "musicmint"), **NAMED)
        with pytest.raises(InvalidRequest, match="window has no effect"):
            await kit.sing(
                MusicRequest(**SONG),
                voice_of=seed(emulator, "musicmint"),
                window=VocalWindow(0, 30),
                **NAMED,
            )

    assert emulator.exchanges == ()


async def test_persona_survives_a_song_that_fails(emulator):
    """The error of the last step names the persona that was paid for."""
    async with connect(emulator, "musicmint") as kit:
        persona = await kit.create_persona(seed(emulator, "musicmint"), **NAMED)
        emulator.inject(Fault.slow(0), on="submit", times=3)
        emulator.inject(Fault.fails("x", "No."), on="submit")
        with pytest.raises(JobFailed) as caught:
            await kit.sing(
                MusicRequest(**SONG), voice_of=seed(emulator, "musicmint"), **NAMED
            )

    assert caught.value.persona_id.startswith("persona-")
    assert caught.value.persona_id != persona.id
    assert f"Persona: {caught.value.persona_id}." in str(caught.value)


async def test_separation_may_take_its_five_minutes(emulator):
    """The answer is waited for longer than it may take, and paid once."""
    async with connect(emulator, "musicmint") as kit:
        emulator.inject(Fault.slow(299), on="submit")
        stems = await kit.separate_stems(seed(emulator, "musicmint"))

    assert asyncio.get_running_loop().time() >= 299
    assert stems.vocals.audio_url.startswith(emulator.url("musicmint"))
    assert stems.instrumental is None
    assert emulator.count("submit") == 1


async def test_deadline_during_a_separation_loses_nothing(emulator):
    """Who cannot wait is told so in time; the answer still reaches the journal."""
    async with connect(emulator, "musicmint") as kit:
        emulator.inject(Fault.slow(200), on="submit")
        with pytest.raises(OutcomeUnknown) as caught:
            await kit.separate_stems(seed(emulator, "musicmint"), timeout=60)
        ended = asyncio.get_running_loop().time()
        await asyncio.sleep(200)
        [job] = [job async for job in kit.resume()]
        [(receipt, mark)] = await open_states(kit)
        stems = await job

    assert ended == pytest.approx(60, abs=0.1)
    assert receipt.key == caught.value.receipt.key
    assert mark is SubmitState.ENDED
    assert stems.vocals.track_id.startswith("stem-")
    assert emulator.count("submit") == 1


async def test_persona_whose_caller_was_cancelled_is_found_again(emulator):
    """An id that is told only once is not lost with the one who asked for it."""
    async with connect(emulator, "sunoapi") as kit:
        emulator.inject(Fault.slow(5), on="submit")
        asking = asyncio.create_task(
            kit.create_persona(seed(emulator, "sunoapi"), **NAMED)
        )
        await asyncio.sleep(1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.sleep(10)
        [job] = [job async for job in kit.resume()]
        persona = await job
        rest = await open_states(kit)

    assert len(persona.id) == 32
    assert rest == ()
    assert emulator.count("submit") == 1


async def test_receipt_of_a_persona_is_the_persona(emulator):
    """Another process has the persona from the token, without any request."""
    async with connect(emulator, "kie") as kit:
        persona = await kit.create_persona(seed(emulator, "kie"), **NAMED)
        asked = len(emulator.exchanges)
        token = Receipt("kie", Ability.PERSONA, job_id=persona.id).token
        again = await kit.attach(token)

    assert again.id == persona.id
    assert len(emulator.exchanges) == asked


@pytest.mark.parametrize("name", ["evolink", "musicmint"])
async def test_jobs_are_listed_and_can_be_awaited(emulator, name):
    """The account's jobs come newest first, page by page, and give their results."""
    async with connect(emulator, name) as kit:
        first = await kit.submit(MusicRequest(**SONG))
        tracks = await first
        second = await kit.submit(MusicRequest(**SONG))
        listed = [job async for job in kit.jobs()]
        states = [job.snapshot.state for job in listed]
        again = await listed[1]
        persona = await kit.create_persona(tracks[0], **NAMED)
        kinds = [job.receipt.kind async for job in kit.jobs()]

    assert [job.id for job in listed] == [second.id, first.id]
    assert states == [JobState.QUEUED, JobState.COMPLETED]
    assert [track.ref for track in again] == [track.ref for track in tracks]
    assert listed[1].receipt.at.tzinfo is not None
    assert persona.id
    assert (Ability.PERSONA in kinds) is (name == "evolink")


async def test_long_lists_are_read_as_they_are_needed(emulator):
    """Pages are read one by one; jobs that slide to the next page come once."""
    async with connect(emulator, "evolink") as kit:
        for _ in range(60):
            await kit.submit(MusicRequest(idea="rain"))
        seen = []
        async for job in kit.jobs():
            seen.append(job.id)
            if len(seen) == 1:
                await kit.submit(MusicRequest(idea="more rain"))

    assert len(seen) == len(set(seen)) == 60
    assert emulator.count("list") == 3


@pytest.mark.parametrize("name", ["sunoapi", "kie-jobs"])
async def test_services_without_a_list(emulator, name):
    """Where there is no list, asking for one is refused by name."""
    async with connect(emulator, name) as kit:
        with pytest.raises(Unsupported, match=f"{name} does not offer jobs"):
            await anext(kit.jobs())

    assert emulator.exchanges == ()


async def test_clip_is_told_of_again_until_it_expires(emulator):
    """A track is read again by its ids, and is not found after its life."""
    async with connect(emulator, "musicmint") as kit:
        track, _ = await kit.generate(**SONG)
        again = await kit.track(track)
        by_ids = await kit.track(TrackRef(track.job_id, track.track_id))
        emulator.advance(8 * 86_400)
        with pytest.raises(NotFound, match="has expired"):
            await kit.track(track)

    assert again == by_ids == track


async def test_tracks_without_an_address_of_their_own(emulator):
    """Where a service tells of tracks by their job alone, that is said."""
    async with connect(emulator, "evolink") as kit:
        with pytest.raises(Unsupported, match="evolink does not offer track"):
            await kit.track(seed(emulator, "evolink"))

    assert emulator.exchanges == ()


@pytest.mark.looptime(False)
@pytest.mark.parametrize("name", ["kie", "sunoapi.org"])
async def test_file_is_uploaded_and_covered(service, name, tmp_path):
    """A file on this machine becomes the source of a cover."""
    path = tmp_path / "song.mp3"
    path.write_bytes(b"sound" * 1000)
    async with connect(service, name) as kit:
        upload = await kit.upload(path)
        tracks = await kit.cover(upload, **SONG)

    [sent] = [one for one in service.exchanges if "upload" in one.path][:1]
    assert path.read_bytes() in sent.body
    assert upload.expires_at is not None
    assert len(tracks) == 2


async def test_task_is_read_by_the_verb_that_works(session_of_posts):
    """Where GET is switched off, POST is used from the second reading on."""
    emulator, kit = session_of_posts
    async with kit:
        first, second = await kit.generate(**SONG), await kit.generate(**SONG)

    verbs = [one.method for one in emulator.exchanges if one.action == "read"]
    assert len(first) == len(second) == 2
    assert verbs[0] == "GET"
    assert set(verbs[1:]) == {"POST"}


@pytest.fixture
async def session_of_posts():
    async with Emulator(poll_verbs=["POST"]) as emulator:
        yield emulator, connect(emulator, "musicmint")


async def test_undocumented_is_sent_when_asked_for(emulator):
    """A caller who insists may try what no document tells."""
    voice = MusicMint(allow_undocumented=True)
    options = {"api_key": emulator.api_key, "base_url": emulator.url("musicmint")}
    async with connect(emulator, "musicmint") as kit:
        persona = await kit.create_persona(seed(emulator, "musicmint"), **NAMED)
        song = {"instrumental": True, "style": "jazz", "persona": persona}
        with pytest.raises(InvalidRequest, match="is not documented"):
            await kit.generate(**song)
    async with PersonaKit(voice, **options) as bold:
        tracks = await bold.generate(**song)

    assert len(tracks) == 2


@pytest.mark.parametrize("name", WORLDS)
async def test_callback_address_is_sent_where_it_is_taken(emulator, name):
    """The address that the client was given goes with every song."""
    url = "https://hooks.example.com/suno"
    async with connect(emulator, name, callback_url=url) as kit:
        await kit.submit(MusicRequest(**SONG))
        await kit.create_persona(seed(emulator, name), **NAMED)

    sent = [url.encode() in one.body for one in emulator.exchanges if one.body]
    assert sent[0] is True
    assert sent[1] is (name == "kie-jobs")
