"""The Create persona page of MusicMint, fact by fact."""

from __future__ import annotations

import json

import pytest

from personakit import (
    Ability,
    InvalidRequest,
    MusicRequest,
    NotFound,
    OutcomeUnknown,
    Persona,
    PersonaKit,
    PersonaRequest,
    TrackRef,
)
from personakit.emulator import Fault
from personakit.http.messages import Response
from personakit.providers.musicmint import MusicMint
from tests.contract.worlds import connect, seed

fact = pytest.mark.fact

CLIP = TrackRef("64f3a1b2c8d9e0f1a2b3c4d5", "abc123def456")
NAMED = {"name": "My Custom Singer", "description": "d"}
WISH = PersonaRequest(CLIP, **NAMED)
# The page's own song, verbatim.
SONG = {
    "prompt": "[Verse]\n月光照在窗台\n风轻轻吹来\n[Chorus]\n你是我心中的光",
    "title": "心中的光",
    "tags": "流行 抒情 女声",
    "persona_id": "persona-abc123",
}
WORDS = {"lyrics": SONG["prompt"], "title": SONG["title"], "style": SONG["tags"]}
# The page's own answer, verbatim.
MADE = {
    "code": 0,
    "message": "ok",
    "request_id": "req-1710000000000",
    "data": {
        "taskBatchId": "batch-xyz789",
        "items": [{"id": "persona-abc123", "status": "complete"}],
    },
}


@pytest.fixture
async def kit(emulator):
    """Open a client of the emulated service."""
    async with connect(emulator, "musicmint") as client:
        yield client


def parse(body, status=200):
    """Read an answer to the request for a persona."""
    call = MusicMint().build_submit(WISH)
    return call.parse(Response(status, {}, json.dumps(body).encode()))


def paths(emulator):
    """Return what was asked for, in order."""
    return [(one.method, one.path) for one in emulator.exchanges]


@fact("musicmint-envelope")
@pytest.mark.parametrize("status", [200, 400, 500])
def test_envelope_is_the_outcome(status):
    """Code 0 is success and any other is not, under whatever HTTP status."""
    with pytest.raises(NotFound):
        parse({"code": 4005, "message": "gone", "request_id": "req-1"}, status)

    assert parse(MADE, status).result.id == "persona-abc123"


@fact("musicmint-envelope")
def test_request_id_is_kept():
    """An error carries message and request_id of its envelope."""
    with pytest.raises(NotFound, match="Music result has expired") as caught:
        parse(
            {
                "code": 4005,
                "message": "Music result has expired",
                "request_id": "req-1710000000000",
            }
        )

    assert caught.value.request_id == "req-1710000000000"


@fact("musicmint-prefix")
async def test_paths_and_key(kit, emulator):
    """Every path begins with /api/v1, and every call has the key."""
    await kit.create_persona(seed(emulator, "musicmint"), **NAMED)
    await kit.generate(**WORDS)

    assert all(path.startswith("/musicmint/api/v1/") for _, path in paths(emulator))
    assert all(one.key_seen for one in emulator.exchanges)


@fact("musicmint-base")
def test_placeholder_is_never_called():
    """Without an address of the caller's there is no client."""
    with pytest.raises(InvalidRequest, match="base_url must be given") as caught:
        PersonaKit("musicmint", api_key="sk-mm-your-key")

    assert caught.value.field == "base_url"


@fact("musicmint-at-once", "musicmint-items", "musicmint-naming")
async def test_persona_comes_at_once(kit, emulator):
    """One request brings the id, which songs are then given; nothing is polled."""
    persona = await kit.create_persona(seed(emulator, "musicmint"), **NAMED)
    before = paths(emulator)
    await kit.generate(**WORDS, persona=persona)
    song = json.loads(emulator.exchanges[1].body)

    assert before == [("POST", "/musicmint/api/v1/music/persona")]
    assert song["persona_id"] == persona.id


@fact("musicmint-naming")
def test_batch_id_is_not_needed():
    """The batch is internal: without it, or with another, the persona is the same."""
    bare = {**MADE, "data": {"items": MADE["data"]["items"]}}

    assert parse(bare) == parse(MADE)


@fact("musicmint-name")
@pytest.mark.parametrize("name", ["My Artist", "我的歌手", "🎵" * 500])
async def test_name_in_any_language(kit, emulator, name):
    """Any name is sent as it is; a blank one is refused before."""
    persona = await kit.create_persona(
        seed(emulator, "musicmint"), name=name, description="d"
    )

    assert json.loads(emulator.exchanges[0].body)["name"] == persona.name == name
    with pytest.raises(InvalidRequest, match="name must not be blank"):
        PersonaRequest(CLIP, name=" ", description="d")


@fact("musicmint-clip")
async def test_clip_is_named_and_known(kit, emulator):
    """The track's id is sent as clip_id; one that is not known is refused."""
    body = json.loads(MusicMint().build_submit(WISH).request.body)
    with pytest.raises(InvalidRequest) as caught:
        await kit.create_persona(CLIP, **NAMED)

    assert body == {"name": "My Custom Singer", "clip_id": "abc123def456"}
    assert caught.value.charged == "no"


@fact("musicmint-items")
@pytest.mark.parametrize(
    ("items", "made"),
    [
        ([{"id": "a", "status": "complete"}], "a"),
        ([{"id": "a", "status": "x"}, {"id": "b", "status": "complete"}], "b"),
    ],
)
def test_several_items(items, made):
    """One item is usual; of several, one that is complete is taken."""
    assert parse({**MADE, "data": {"items": items}}).result.id == made


@fact("musicmint-items")
def test_no_items():
    """Without any item nobody knows what became of the request."""
    with pytest.raises(OutcomeUnknown):
        parse({**MADE, "data": {"items": []}})


@fact("musicmint-status")
@pytest.mark.parametrize(("status", "is_known"), [("complete", True), ("new", False)])
def test_complete_means_ready(status, is_known):
    """Another word is told, and the id, which is shown only once, is kept."""
    told = parse({**MADE, "data": {"items": [{"id": "p", "status": status}]}})

    assert (told.service_state, told.is_known_state) == (status, is_known)
    assert told.result.id == "p"


@fact("musicmint-example")
def test_answer_of_the_example():
    """The page's answer is a persona."""
    told = parse(MADE)

    assert told.result == Persona("persona-abc123", "musicmint")
    assert (told.job_id, told.service_state) == ("persona-abc123", "complete")


@fact("musicmint-advice")
async def test_separation_is_recommended_not_required(kit, emulator):
    """A clip gives its voice as it is; the workflow isolates the voice by itself."""
    plain = await kit.create_persona(seed(emulator, "musicmint"), **NAMED)
    await kit.sing(MusicRequest(**WORDS), voice_of=seed(emulator, "musicmint"), **NAMED)

    kinds = [charge.kind for charge in emulator.charges]
    assert plain.id
    assert kinds == ["persona", "stems", "upload", "persona", "music"]


@fact("musicmint-both-modes")
@pytest.mark.parametrize("words", [WORDS, {"idea": "a bright song about summer"}])
async def test_persona_sings_in_both_modes(kit, emulator, words):
    """With lyrics and with an idea the persona is sent, and sings."""
    persona = await kit.create_persona(seed(emulator, "musicmint"), **NAMED)
    tracks = await kit.generate(**words, persona=persona)

    assert json.loads(emulator.exchanges[1].body)["persona_id"] == persona.id
    assert len(tracks) == 2


@fact("musicmint-generate-example")
def test_song_of_the_example():
    """The page's request is what is sent, to the letter."""
    song = MusicRequest(**WORDS, persona=Persona("persona-abc123", "musicmint"))
    sent = MusicMint().build_submit(song).request

    assert json.loads(sent.body) == SONG
    assert "月光照在窗台\\n风轻轻吹来" in sent.body.decode()


@fact("musicmint-poll")
async def test_task_is_polled_by_get(kit, emulator):
    """Every reading is a GET at the task's own path."""
    job = await kit.submit(MusicRequest(**WORDS))
    await job

    reads = set(paths(emulator)[1:])
    assert reads == {("GET", f"/musicmint/api/v1/task/{job.id}")}


@fact("musicmint-audio")
async def test_flow_ends_at_the_audio(kit, emulator):
    """What is polled for is the address of the audio."""
    tracks = await kit.generate(**WORDS)

    assert all(one.audio_url.endswith(".wav") for one in tracks)


@fact("musicmint-workflow")
async def test_complete_workflow(kit, emulator):
    """Source, stems, that voice as persona, song with it, poll, audio: in one go."""
    made = await kit.sing(
        MusicRequest(**WORDS), voice_of=seed(emulator, "musicmint"), **NAMED
    )
    steps = [path.removeprefix("/musicmint/api/v1/") for _, path in paths(emulator)]
    stem = json.loads(emulator.exchanges[1].body)["audio_url"]

    assert steps[:4] == [
        "music/stem",
        "music/upload",
        "music/persona",
        "music/generate",
    ]
    assert set(steps[4:]) == {f"task/{made.tracks[0].job_id}"}
    assert "/media/stem-" in stem
    assert made.tracks[0].audio_url
    assert kit.can(Ability.VOICE)


@fact("musicmint-workflow")
async def test_workflow_pays_each_step_once(kit, emulator):
    """A step whose answer is lost ends the workflow; nothing is paid again."""
    emulator.inject(Fault.drop(), on="submit")
    with pytest.raises(OutcomeUnknown):
        await kit.sing(
            MusicRequest(**WORDS), voice_of=seed(emulator, "musicmint"), **NAMED
        )

    assert emulator.count("submit") == len(emulator.charges) == 1
