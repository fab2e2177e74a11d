"""What is sent to MusicMint, and what is refused before it is."""

from __future__ import annotations

import json

import pytest

from personakit.errors import Unsupported
from personakit.http.messages import SUBMIT_TIMEOUT
from personakit.models import Persona, Track, TrackRef, VocalWindow
from personakit.providers.musicmint import MusicMint
from personakit.providers.musicmint.build import STEM_TIMEOUT
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
from tests.unit.providers.refusals import check_refusal

LINK = "https://x.example/a.mp3"
CLIP = TrackRef("64f3a1b2c8d9e0f1a2b3c4d5", "abc123def456")
VOICE = Persona("persona-abc123", "musicmint")
# The specification's own example, verbatim.
SPEC = {
    "prompt": "[Verse]\n月光照在窗台\n风轻轻吹来\n[Chorus]\n你是我心中的光",
    "title": "心中的光",
    "tags": "流行 抒情 女声",
    "persona_id": "persona-abc123",
}
SONG = {"lyrics": SPEC["prompt"], "title": SPEC["title"], "style": SPEC["tags"]}
NAMED = {"name": "My Custom Singer", "description": "d"}


def build(request, *, bold=False, **more):
    """Build the path and the body of a request."""
    sent = MusicMint(allow_undocumented=bold).build_submit(request, **more).request
    assert (sent.method, sent.repeatable) == ("POST", False)
    return sent.path, json.loads(sent.body)


def test_song_of_the_specification():
    """The specification's example is built as it stands there, unescaped."""
    request = MusicRequest(**SONG, persona=VOICE)
    sent = MusicMint().build_submit(request).request

    assert build(request) == ("/api/v1/music/generate", SPEC)
    assert "月光照在窗台" in sent.body.decode()


@pytest.mark.parametrize("style", [None, "", "jazz"])
def test_persona_of_the_specification(style):
    """Only name and clip are sent; labels stay on our side."""
    request = PersonaRequest(CLIP, **NAMED, style=style)

    assert build(request) == (
        "/api/v1/music/persona",
        {"name": "My Custom Singer", "clip_id": "abc123def456"},
    )


def test_persona_sings_ideas_too():
    """A persona is valid in both modes."""
    _, body = build(MusicRequest(idea="a bright song", title="t", persona=VOICE))

    assert body == {
        "gpt_description_prompt": "a bright song",
        "title": "t",
        "persona_id": "persona-abc123",
    }


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({"lyrics": "la"}, {"prompt": "la"}),
        (
            {"instrumental": True, "style": "jazz"},
            {"tags": "jazz", "make_instrumental": True},
        ),
        (
            {"idea": "rain", "instrumental": True},
            {"gpt_description_prompt": "rain", "make_instrumental": True},
        ),
        ({"lyrics": "a" * 100_000}, {"prompt": "a" * 100_000}),
    ],
    ids=["lyrics", "style", "idea", "huge"],
)
def test_mode_follows_from_the_fields(fields, body):
    """No flag declares the mode, and no length is published."""
    assert build(MusicRequest(**fields)) == ("/api/v1/music/generate", body)


def test_extension():
    """Extending is generating with a clip to continue, at a whole second."""
    assert build(ExtendRequest(CLIP, at=60.0, **SONG)) == (
        "/api/v1/music/generate",
        {
            "prompt": SPEC["prompt"],
            "title": SPEC["title"],
            "tags": SPEC["tags"],
            "continue_clip_id": "abc123def456",
            "continue_at": 60,
        },
    )
    assert "continue_at" not in build(ExtendRequest(CLIP, style="s"))[1]


@pytest.mark.parametrize(
    ("more", "extra"), [({}, {}), ({"model": "chirp-v3-5"}, {"mv": "chirp-v3-5"})]
)
def test_cover(more, extra):
    """A cover names its clip and, as the only one, a model."""
    path, body = build(CoverRequest(CLIP, style="jazz", **more))

    assert path == "/api/v1/music/cover"
    assert body == {"tags": "jazz", "cover_clip_id": "abc123def456", **extra}


def test_cover_needs_no_words():
    """Everything but the clip may be left to the service."""
    assert build(CoverRequest(CLIP))[1] == {"cover_clip_id": "abc123def456"}


@pytest.mark.parametrize(
    ("window", "part"),
    [(None, {}), (VocalWindow(30, 90), {"vocal_start_s": 30, "vocal_end_s": 90})],
)
def test_stems(window, part):
    """Separating may take five minutes, and the answer is waited for longer."""
    request = StemsRequest(CLIP, window=window)

    assert build(request) == ("/api/v1/music/stem", {"clip_id": "abc123def456", **part})
    assert MusicMint().build_submit(request).request.timeout == STEM_TIMEOUT > 300


def test_upload():
    """Audio is uploaded by its address."""
    request = UploadRequest(LINK)

    assert build(request) == ("/api/v1/music/upload", {"audio_url": LINK})
    assert MusicMint().build_submit(request).request.timeout == SUBMIT_TIMEOUT


@pytest.mark.parametrize(
    ("request_", "is_sent"),
    [
        (MusicRequest(idea="rain"), True),
        (ExtendRequest(CLIP, style="s"), True),
        (CoverRequest(CLIP), True),
        (PersonaRequest(CLIP, **NAMED), False),
        (StemsRequest(CLIP), False),
        (UploadRequest(LINK), False),
    ],
    ids=lambda one: str(getattr(one, "ability", one)),
)
def test_address_for_reports(request_, is_sent):
    """It goes with songs and covers, the only ones that report."""
    _, body = build(request_, callback_url="https://a.b/c")

    assert (body.get("callback_url") == "https://a.b/c") is is_sent


@pytest.mark.parametrize(
    ("request_", "field", "rule"),
    [
        (
            PersonaRequest(CLIP, **NAMED, window=VocalWindow(0, 30)),
            "window",
            "has no effect on MusicMint",
        ),
        (PersonaRequest(Track("kie", "j", "t"), **NAMED), "source", "must come from"),
        (MusicRequest(idea="x", style="s"), "style", "cannot go with idea"),
        (MusicRequest(instrumental=True), "style", "or lyrics or idea"),
        (MusicRequest(lyrics="x", persona=Persona("p", "kie")), "persona", "come from"),
        (ExtendRequest(CLIP), "style", "or lyrics or idea"),
        (ExtendRequest(CLIP, idea="x"), "idea", "has no effect"),
        (ExtendRequest(LINK, style="s"), "source", "not a web address"),
        (ExtendRequest(CLIP, style="s", at=1.5), "at", "must be a whole second"),
        (CoverRequest(LINK), "source", "not a web address"),
        (CoverRequest(CLIP, persona=VOICE), "persona", "has no effect"),
        (CoverRequest(CLIP, idea="x"), "idea", "has no effect"),
        (CoverRequest(CLIP, instrumental=True), "instrumental", "has no effect"),
        (StemsRequest(LINK), "source", "not a web address"),
        (UploadRequest(AudioFile("a", b"x")), "audio", "must be a web address"),
    ],
)
def test_refusals(request_, field, rule):
    """What would be refused, or ignored and paid for, is not sent."""
    check_refusal(lambda: build(request_), field, rule)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "V5"),
        ("negative_style", "metal"),
        ("vocal_gender", "female"),
        ("style_weight", 0),
        ("weirdness", 0.5),
        ("audio_weight", 1),
        ("duration", 60),
    ],
)
def test_fields_that_do_not_exist_there(name, value):
    """What the service has no field for would be paid for without effect."""
    request = MusicRequest(lyrics="la", **{name: value})
    check_refusal(lambda: build(request), name, "has no effect on MusicMint")


def test_mode_of_a_persona_does_not_exist_there():
    """A persona is applied in one way only."""
    request = MusicRequest(lyrics="la", persona=VOICE, persona_mode="voice")
    check_refusal(lambda: build(request), "persona_mode", "has no effect")


@pytest.mark.parametrize(
    "request_",
    [
        MusicRequest(instrumental=True, style="s", persona=VOICE),
        ExtendRequest(CLIP, style="s", persona=VOICE),
    ],
)
def test_what_no_document_tells(request_):
    """A persona of untold effect is not paid for, unless the caller insists."""
    check_refusal(lambda: build(request_), "persona", "is not documented")

    assert build(request_, bold=True)[1]["persona_id"] == "persona-abc123"


def test_what_musicmint_cannot_do():
    """A mashup is refused by name."""
    with pytest.raises(Unsupported, match="musicmint does not offer mashup"):
        build(MashupRequest(LINK, LINK))
