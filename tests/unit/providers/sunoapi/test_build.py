"""What is sent to the sunoapi family, and what is refused before it is."""

from __future__ import annotations

import attrs
import pytest

from personakit.errors import Unsupported
from personakit.models import Persona, Track, TrackRef, VocalWindow
from personakit.providers.sunoapi.build import INERT_CALLBACK, build_body
from personakit.providers.sunoapi.presets import KIE, SUNOAPI, SUNOAPI_ORG
from personakit.requests import (
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
REF = TrackRef("5c79****be8e", "e231****-****-****-****-****8cadc7dc")
SOURCE = Track("sunoapi", "j", "t", audio_url=LINK, duration=60, model="V5")
VOICE = Persona("a1b2****c3d4", "sunoapi")
NAMED = {
    "name": "Electronic Pop Singer",
    "description": (
        "A modern electronic music style pop singer, skilled in dynamic rhythms and "
        "synthesizer tones"
    ),
}
SONG = {"lyrics": "[Verse] city lights", "style": "Electronic Pop", "title": "Lights"}
TAIL = {"callBackUrl": INERT_CALLBACK}


def build(request, preset=SUNOAPI, callback=None):
    """Build the path and the body of a request."""
    return build_body(preset, request, callback)


def test_persona_of_the_specification():
    """The specification's example is built as it stands there."""
    request = PersonaRequest(
        REF, **NAMED, window=VocalWindow(0, 30), style="Electronic Pop"
    )

    assert build(request) == (
        "/api/v1/generate/generate-persona",
        {
            "taskId": "5c79****be8e",
            "audioId": "e231****-****-****-****-****8cadc7dc",
            **NAMED,
            "vocalStart": 0,
            "vocalEnd": 30,
            "style": "Electronic Pop",
        },
    )


@pytest.mark.parametrize("style", [None, "", "  "])
def test_least_persona(style):
    """Without window and style neither is sent, and no address for callbacks either."""
    _, body = build(PersonaRequest(REF, **NAMED, style=style), callback="https://a.b/c")

    assert body == {"taskId": REF.job_id, "audioId": REF.track_id, **NAMED}


@pytest.mark.parametrize(
    "window", [(0, 0.01), (5, 9.5), (0, 400), (10.001, 30), (100, 120)]
)
def test_any_window_on_the_host_of_the_specification(window):
    """There a window only has to end after it starts."""
    request = PersonaRequest(REF, **NAMED, window=VocalWindow(*window))
    _, body = build(request)

    assert (body["vocalStart"], body["vocalEnd"]) == window


@pytest.mark.parametrize("preset", [SUNOAPI_ORG, KIE], ids=lambda one: one.name)
@pytest.mark.parametrize(
    "window", [(0, 10), (0, 30), (5, 35), (10.2, 40.2), (0.01, 20)]
)
def test_windows_at_the_limits(preset, window):
    """Elsewhere 10 to 30 s are right, both ends of that allowed."""
    request = PersonaRequest(REF, **NAMED, window=VocalWindow(*window))

    assert build(request, preset)[1]["vocalEnd"] == window[1]


@pytest.mark.parametrize("preset", [SUNOAPI_ORG, KIE], ids=lambda one: one.name)
@pytest.mark.parametrize("window", [(0, 9.99), (0, 30.01), (5, 14), (1, 100)])
def test_windows_beyond_the_limits(preset, window):
    """Anything shorter or longer is refused there."""
    request = PersonaRequest(REF, **NAMED, window=VocalWindow(*window))
    check_refusal(
        lambda: build(request, preset),
        "window",
        "must be 10 to 30 s long",
        preset.window.source,
    )


def test_window_between_the_steps():
    """On kie both ends are multiples of 0.01 s; elsewhere any number is."""
    request = PersonaRequest(REF, **NAMED, window=VocalWindow(0.005, 20))

    assert build(request, SUNOAPI_ORG)[1]["vocalStart"] == 0.005
    check_refusal(lambda: build(request, KIE), "window", "multiples of 0.01 s")


def test_window_beyond_the_track():
    """Where the length is known, a window has to end within it."""
    source = attrs.evolve(SOURCE, provider="kie", duration=25)
    request = PersonaRequest(source, **NAMED, window=VocalWindow(0, 26))
    check_refusal(
        lambda: build(request, KIE), "window", "within the track, which is 25 s"
    )
    inside = attrs.evolve(request, window=VocalWindow(0, 25))

    assert build(inside, KIE)[1]["vocalEnd"] == 25


@pytest.mark.parametrize("model", ["V3_5", "chirp-v3-5", "V3"])
def test_source_that_is_too_old(model):
    """Only V4 and newer can give their voice."""
    request = PersonaRequest(attrs.evolve(SOURCE, model=model), **NAMED)
    check_refusal(lambda: build(request), "source", "must be made by V4 or newer")


@pytest.mark.parametrize("model", ["V4", "chirp-v4", "V5", None, "V6_MINI"])
def test_source_that_is_new_enough(model):
    """Any other model, or one that is not known, is the service's to judge."""
    request = PersonaRequest(attrs.evolve(SOURCE, model=model), **NAMED)

    assert build(request)[1]["taskId"] == "j"


def test_source_of_another_service():
    """Hosts of the family do not share ids, as far as is known."""
    request = PersonaRequest(SOURCE, **NAMED)
    check_refusal(lambda: build(request, KIE), "source", "must come from kie")


@pytest.mark.parametrize(
    ("callback", "sent"), [(None, INERT_CALLBACK), ("https://a.b/c", "https://a.b/c")]
)
@pytest.mark.parametrize(
    "request_",
    [
        MusicRequest(**SONG),
        ExtendRequest(SOURCE, at=3, **SONG),
        CoverRequest(LINK, **SONG),
        MashupRequest(LINK, SOURCE, **SONG),
        StemsRequest(SOURCE),
    ],
    ids=lambda one: str(one.ability),
)
def test_address_for_reports_is_always_sent(request_, callback, sent):
    """It is required, so that one that leads nowhere stands in for it."""
    assert build(request_, callback=callback)[1]["callBackUrl"] == sent


def test_extension_of_a_track():
    """With fields of its own every needed field is sent, under the track's model."""
    assert build(ExtendRequest(SOURCE, at=30.5, **SONG)) == (
        "/api/v1/generate/extend",
        {
            "audioId": "t",
            "defaultParamFlag": True,
            "model": "V5",
            "prompt": SONG["lyrics"],
            "style": SONG["style"],
            "title": SONG["title"],
            "continueAt": 30.5,
            **TAIL,
        },
    )


def test_extension_that_inherits():
    """Without any field everything is inherited, in spite of the flag's name."""
    assert build(ExtendRequest(SOURCE)) == (
        "/api/v1/generate/extend",
        {"audioId": "t", "defaultParamFlag": False, "model": "V5", **TAIL},
    )


def test_extension_of_audio_from_elsewhere():
    """An address is fetched by the service, and only the place is needed then."""
    assert build(ExtendRequest(LINK, at=3, instrumental=True)) == (
        "/api/v1/generate/upload-extend",
        {
            "uploadUrl": LINK,
            "instrumental": True,
            "defaultParamFlag": True,
            "model": "V5",
            "continueAt": 3,
            **TAIL,
        },
    )
    assert build(ExtendRequest(LINK, model="V6"))[1] == {
        "uploadUrl": LINK,
        "instrumental": False,
        "defaultParamFlag": False,
        "model": "V6",
        **TAIL,
    }


@pytest.mark.parametrize(
    ("told", "wanted", "sent"),
    [
        ("V4_5PLUS", None, "V4_5PLUS"),
        ("chirp-v4", None, "V4"),
        ("chirp-v3-5", None, "V3_5"),
        ("chirp-v5", "V5", "V5"),
        (None, "V4", "V4"),
    ],
)
def test_model_of_an_extension(told, wanted, sent):
    """It is that of the source, by whatever name the source tells it."""
    source = attrs.evolve(SOURCE, model=told)

    assert build(ExtendRequest(source, model=wanted))[1]["model"] == sent


@pytest.mark.parametrize(
    ("request_", "field", "rule"),
    [
        (ExtendRequest(REF), "model", "must be that of the source, which its ids"),
        (ExtendRequest(SOURCE, model="V6"), "model", "of the source, which is V5"),
        (ExtendRequest(SOURCE, idea="rain"), "idea", "is not known when extending"),
        (ExtendRequest(SOURCE, at=3), "lyrics", "as soon as anything"),
        (ExtendRequest(SOURCE, lyrics="a", style="s", at=3), "title", "is needed"),
        (ExtendRequest(SOURCE, **SONG), "at", "is needed"),
        (ExtendRequest(SOURCE, persona=VOICE), "lyrics", "is needed"),
        (ExtendRequest(SOURCE, at=0, **SONG), "at", "must be above 0"),
        (ExtendRequest(LINK, style="s"), "at", "is needed"),
        (ExtendRequest(SOURCE, instrumental=True), "instrumental", "has no effect"),
        (CoverRequest(REF, **SONG), "source", "must have a web address"),
        (CoverRequest(SOURCE, lyrics="a"), "style", "is needed"),
        (CoverRequest(SOURCE, idea="rain", persona=VOICE), "persona", "has no effect"),
        (MashupRequest(REF, LINK, **SONG), "first", "must have a web address"),
        (MashupRequest(LINK, REF, **SONG), "second", "must have a web address"),
        (
            MashupRequest(LINK, LINK, **SONG, persona=VOICE),
            "persona",
            "has no effect in a mashup before V6",
        ),
        (
            StemsRequest(SOURCE, window=VocalWindow(0, 9)),
            "window",
            "has no effect here",
        ),
        (
            StemsRequest(attrs.evolve(SOURCE, provider="kie")),
            "source",
            "must come from",
        ),
    ],
)
def test_refusals(request_, field, rule):
    """What would be refused, or ignored and paid for, is not sent."""
    check_refusal(lambda: build(request_), field, rule)


def test_extension_may_have_a_persona():
    """With fields of its own an extension takes a persona, too."""
    _, body = build(ExtendRequest(SOURCE, at=3, **SONG, persona=VOICE))

    assert body["personaId"] == "a1b2****c3d4"


def test_cover():
    """A cover is a song over audio that the service fetches."""
    path, body = build(CoverRequest(SOURCE, **SONG, persona=VOICE, model="V5"))

    assert path == "/api/v1/generate/upload-cover"
    assert body == {
        "uploadUrl": LINK,
        "customMode": True,
        "instrumental": False,
        "model": "V5",
        "prompt": SONG["lyrics"],
        "style": SONG["style"],
        "title": SONG["title"],
        "personaId": "a1b2****c3d4",
        **TAIL,
    }


def test_mashup():
    """A mashup has exactly two addresses, and a persona from V6 on."""
    request = MashupRequest(LINK, SOURCE, **SONG, persona=VOICE, model="V6")
    path, body = build(request)

    assert path == "/api/v1/generate/mashup"
    assert body["uploadUrlList"] == [LINK, LINK]
    assert body["personaId"] == "a1b2****c3d4"


def test_mashup_of_an_unknown_model_has_no_persona():
    """Before it is known that a model heeds it, a persona is not paid for."""
    request = MashupRequest(LINK, SOURCE, **SONG, persona=VOICE, model="V7")
    check_refusal(
        lambda: build(request), "persona", "has no effect in a mashup before V6"
    )


@pytest.mark.parametrize(
    ("source", "ids"),
    [(SOURCE, {"taskId": "j", "audioId": "t"}), (LINK, {"audioUrl": LINK})],
)
def test_stems(source, ids):
    """A track is named by its ids, audio from elsewhere by its address."""
    assert build(StemsRequest(source)) == (
        "/api/v1/vocal-removal/generate",
        {"type": "separate_vocal", **ids, **TAIL},
    )


def test_what_the_host_cannot_do():
    """Where no address for files is known, uploads are refused by name."""
    with pytest.raises(Unsupported, match="sunoapi does not offer upload"):
        build(UploadRequest(LINK))
