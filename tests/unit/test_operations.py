"""How operations are put together, on a service that answers at once."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from personakit.errors import InvalidRequest, JobFailed, Unsupported
from personakit.models import Persona, Stems, Track, TrackRef, VocalWindow
from personakit.operations import FILE_LIMIT, Operations, SungPersona
from personakit.receipt import Ability
from personakit.requests import (
    AudioFile,
    CoverRequest,
    ExtendRequest,
    MashupRequest,
    MusicRequest,
    PersonaRequest,
    StemsRequest,
    UploadRequest,
)

LINK = "https://x.example/a.mp3"
SOURCE = Track("demo", "j", "t", audio_url=LINK)
UPLOADED = Track("demo", "clip", "clip")
VOICE = Persona("persona-1", "demo")
SONGS = (Track("demo", "j2", "t2"),)
SONG = MusicRequest(idea="rain")
NAMED = {"name": "n", "description": "d"}
WINDOW = VocalWindow(1, 2)


class Desk(Operations):
    """Takes every request, and answers from a table."""

    provider = "demo"
    personas = None  # no test here asks for known ones

    def __init__(self, *abilities, failing=()):
        self.abilities = abilities
        self.failing = failing
        self.ran = []
        self.checked = []

    def can(self, ability):
        return ability in self.abilities

    def check(self, request):
        self.checked.append(request)

    def require(self, ability):
        if not self.can(ability):
            raise Unsupported(f"no {ability}")

    def deadline_in(self, timeout):
        return 100 if timeout is None else timeout

    async def run(self, request, *, deadline, key=None):
        self.ran.append((request, deadline))
        if isinstance(request, self.failing):
            raise JobFailed("It failed.")
        if isinstance(request, PersonaRequest):
            return VOICE
        if isinstance(request, StemsRequest):
            return Stems(attrs.evolve(SOURCE, track_id="stem-1"))
        return UPLOADED if isinstance(request, UploadRequest) else SONGS


OPERATIONS = {
    "generate": (lambda desk: desk.generate(idea="rain"), MusicRequest(idea="rain")),
    "create_persona": (
        lambda desk: desk.create_persona(SOURCE, **NAMED, window=WINDOW, style="s"),
        PersonaRequest(SOURCE, **NAMED, window=WINDOW, style="s"),
    ),
    "extend": (
        lambda desk: desk.extend(SOURCE, at=3, lyrics="la"),
        ExtendRequest(SOURCE, at=3, lyrics="la"),
    ),
    "cover": (
        lambda desk: desk.cover(LINK, style="s"),
        CoverRequest(LINK, style="s"),
    ),
    "mashup": (
        lambda desk: desk.mashup(LINK, SOURCE, title="t"),
        MashupRequest(LINK, SOURCE, title="t"),
    ),
    "separate_stems": (
        lambda desk: desk.separate_stems(SOURCE, window=WINDOW),
        StemsRequest(SOURCE, window=WINDOW),
    ),
    "upload": (lambda desk: desk.upload(LINK), UploadRequest(LINK)),
}


@pytest.mark.parametrize(("work", "request_"), OPERATIONS.values(), ids=OPERATIONS)
async def test_operations_run_one_request(work, request_):
    """Each coroutine runs exactly the request that its arguments make."""
    desk = Desk()
    await work(desk)

    assert desk.ran == [(request_, 100)]


@pytest.mark.looptime(False)
async def test_file_is_read_and_uploaded(tmp_path):
    """A path becomes the audio that lies there, under its name."""
    path = tmp_path / "song.mp3"
    path.write_bytes(b"sound")
    desk = Desk()

    assert await desk.upload(path, timeout=7) is UPLOADED
    assert desk.ran == [(UploadRequest(AudioFile("song.mp3", b"sound")), 7)]


@pytest.mark.looptime(False)
async def test_file_that_cannot_be_read_is_refused(tmp_path):
    """A missing file, a folder, or an empty file is refused before anything is run."""
    empty = tmp_path / "empty.mp3"
    empty.touch()
    desk = Desk()
    for path in (tmp_path / "missing.mp3", tmp_path, empty):
        with pytest.raises(InvalidRequest, match=r"must (be|have)") as caught:
            await desk.upload(path)
        assert caught.value.field == "audio"

    assert desk.ran == []


@pytest.mark.looptime(False)
async def test_file_beyond_the_limit_is_not_read(tmp_path):
    """A file that is too large is refused by its size alone."""
    path = tmp_path / "huge.wav"
    with path.open("wb") as file:
        file.truncate(FILE_LIMIT + 1)
    with pytest.raises(InvalidRequest, match="must have from 1 to 104857600 bytes"):
        await Desk().upload(path)


async def test_whole_workflow():
    """The voice is isolated, uploaded, made a persona of, and sings; each step once."""
    desk = Desk(Ability.VOICE)
    made = await desk.sing(SONG, voice_of=SOURCE, **NAMED, timeout=50)

    assert made == SungPersona(VOICE, SONGS)
    assert desk.ran == [
        (StemsRequest(SOURCE), 50),
        (UploadRequest(LINK), 50),
        (PersonaRequest(UPLOADED, **NAMED), 50),
        (MusicRequest(idea="rain", persona=VOICE), 50),
    ]


async def test_workflow_without_isolation():
    """Where the service cannot, or is told not to, the source is the persona's own."""
    plain, told = Desk(), Desk(Ability.VOICE)
    await plain.sing(SONG, voice_of=SOURCE, **NAMED)
    await told.sing(SONG, voice_of=SOURCE, isolate=False, **NAMED)

    assert plain.ran == told.ran
    assert [request for request, _ in plain.ran] == [
        PersonaRequest(SOURCE, **NAMED),
        MusicRequest(idea="rain", persona=VOICE),
    ]


async def test_workflow_from_an_address():
    """Audio from elsewhere is uploaded first."""
    desk = Desk(Ability.VOICE)
    await desk.sing(SONG, voice_of=LINK, isolate=False, **NAMED)

    assert [request for request, _ in desk.ran][:2] == [
        UploadRequest(LINK),
        PersonaRequest(UPLOADED, **NAMED),
    ]


@pytest.mark.parametrize("more", [{"voice_of": LINK}, {"isolate": True}])
async def test_workflow_that_the_service_cannot_do_runs_nothing(more):
    """What only some services can do is refused by name elsewhere."""
    desk = Desk()
    with pytest.raises(Unsupported, match="no voice"):
        await desk.sing(SONG, **{"voice_of": SOURCE, **NAMED, **more})

    assert desk.ran == []


async def test_song_that_has_a_persona_already():
    """The persona of the song is the one to be made."""
    song = attrs.evolve(SONG, persona=VOICE)
    with pytest.raises(InvalidRequest, match="song must leave its persona open"):
        await Desk().sing(song, voice_of=SOURCE, **NAMED)


@pytest.mark.parametrize("source", [SOURCE, TrackRef("j", "t"), LINK])
async def test_last_step_is_checked_before_the_first_is_paid(source):
    """Song and persona are held against the service's rules before anything runs."""
    desk = Desk(Ability.VOICE, failing=(UploadRequest, StemsRequest))
    with pytest.raises(JobFailed):
        await desk.sing(SONG, voice_of=source, **NAMED)

    song, persona = desk.checked
    assert song == attrs.evolve(SONG, persona=Persona("not made yet", "demo"))
    assert isinstance(persona, PersonaRequest)
    assert len(desk.ran) == 1


async def test_persona_is_not_lost_when_the_song_fails():
    """The error of a later step names the persona that was made and paid for."""
    desk = Desk(failing=(MusicRequest,))
    with pytest.raises(JobFailed) as caught:
        await desk.sing(SONG, voice_of=SOURCE, **NAMED)

    assert caught.value.persona_id == "persona-1"


async def test_persona_is_not_lost_when_the_song_is_cancelled(caplog):
    """Who is cancelled gets no error, so that the log names the persona."""

    class Slow(Desk):
        async def run(self, request, *, deadline, key=None):
            if isinstance(request, MusicRequest):
                await asyncio.sleep(60)
            return await super().run(request, deadline=deadline, key=key)

    singing = asyncio.create_task(Slow().sing(SONG, voice_of=SOURCE, **NAMED))
    await asyncio.sleep(1)
    singing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await singing

    assert caplog.messages == ["Cancelled after persona persona-1 was made"]
