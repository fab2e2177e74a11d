"""What may be sent to Evolink, and what is refused before it is."""

from __future__ import annotations

import json

import attrs
import pytest

from personakit.errors import InvalidRequest, Unsupported
from personakit.http.messages import paid_request
from personakit.models import Persona, Track, TrackRef, VocalWindow
from personakit.providers.evolink.build import build_body, check_job_id
from personakit.receipt import Ability
from personakit.requests import JobRequest, MusicRequest, PersonaRequest
from tests.unit.providers.evolink.cases import CASES

SOURCE = TrackRef(
    "task-unified-1774169216-ocqaqde7", "4fcc4507-a7ae-4441-ad8a-465c2f61d5bb"
)
VOICE = Persona("5c57d49ef834110496fae5aa14fec441", "evolink")
JAZZ = (
    "Smooth jazz vocal style with warm tones and improvisational flair suitable for "
    "lounge music"
)
POP = (
    "Modern electronic style with energetic beats and synthesizer tones for dance music"
)

GOOD = {
    "request-persona-basic": PersonaRequest(
        SOURCE, name="Electronic Pop Singer", description=POP
    ),
    "request-persona-window": PersonaRequest(
        SOURCE,
        name="Jazz Vocalist",
        description=JAZZ,
        window=VocalWindow(15, 35),
        style="jazz",
    ),
    "request-music-simple": MusicRequest(
        idea="A cheerful summer pop song about road trips and freedom"
    ),
    "request-music-persona": MusicRequest(
        lyrics=("[Verse]\nRoads are long tonight\n[Chorus]\nWe follow summer light"),
        style="pop, electronic, upbeat, female vocals",
        title="Summer Dreams",
        negative_style="heavy metal, screaming",
        vocal_gender="female",
        style_weight=0.7,
        weirdness=0.3,
        audio_weight=0.5,
        persona=VOICE,
        persona_mode="style",
    ),
}


def request(**fields: object) -> PersonaRequest:
    """Make a persona request with other fields."""
    usual = {"source": SOURCE, "name": "n", "description": "d"}
    return PersonaRequest(**{**usual, **fields})


def song(**fields: object) -> MusicRequest:
    """Make a request in custom mode with other fields."""
    return MusicRequest(**{"lyrics": "la", "style": "s", "title": "t", **fields})


def params(request: PersonaRequest) -> dict[str, object]:
    """Build a persona's own fields."""
    return build_body(request)["model_params"]


@pytest.mark.parametrize("name", GOOD)
def test_documented_requests(name):
    """The documentation's own requests are built member by member."""
    assert build_body(GOOD[name]) == CASES[name].request


def test_every_documented_request_is_built():
    """No recorded request is left out."""
    assert set(GOOD) == {name for name, case in CASES.items() if case.request}


@pytest.mark.parametrize("style", [None, "", "  "])
def test_blank_style_is_not_sent(style):
    """The service ignores an empty style, so none is sent [spec]."""
    assert "style" not in params(request(style=style))


@pytest.mark.parametrize(
    ("start", "end"), [(0, 10), (0, 30), (15, 35), (10.2, 40.2), (0.1, 10.1)]
)
def test_window_at_its_limits(start, end):
    """Ten and thirty seconds are allowed, also where binary fractions are not exact."""
    sent = params(request(window=VocalWindow(start, end)))

    assert (sent["vocal_start"], sent["vocal_end"]) == (start, end)


@pytest.mark.parametrize(
    ("request_", "field", "rule", "source"),
    [
        (
            request(window=VocalWindow(0, 9.99)),
            "window",
            "10 to 30 s long, not 9.99",
            "P",
        ),
        (request(window=VocalWindow(5, 35.01)), "window", "long, not 30.01 s", "P"),
        (
            request(source=TrackRef("job-1", SOURCE.track_id)),
            "source.job_id",
            "begins with 'task-unified-'",
            "T",
        ),
        (
            request(source=TrackRef("task-unified-", SOURCE.track_id)),
            "source.job_id",
            "must be the id of a task",
            "T",
        ),
        (
            request(source=TrackRef("task-unified-1/../2", SOURCE.track_id)),
            "source.job_id",
            "must be the id of a task",
            "T",
        ),
        (
            request(source=TrackRef(SOURCE.job_id, "4fcc4507")),
            "source.track_id",
            "must be a UUID",
            "P",
        ),
        (
            request(source=Track("sunoapi", SOURCE.job_id, SOURCE.track_id)),
            "source",
            "must come from evolink, not from sunoapi",
            None,
        ),
        (
            request(
                source=Track(
                    "evolink", SOURCE.job_id, SOURCE.track_id, model="suno-v3.5"
                )
            ),
            "source",
            "must be made by suno-v4 or newer",
            "P",
        ),
        *(
            (
                MusicRequest(idea="rain", **{field: value}),
                field,
                "has no effect beside idea",
                "M",
            )
            for field, value in {
                "persona": VOICE,
                "style": "s",
                "title": "t",
                "negative_style": "n",
                "vocal_gender": "male",
                "style_weight": 0,
                "weirdness": 0.1,
                "audio_weight": 1,
                "duration": 60,
            }.items()
        ),
        (MusicRequest(idea="a" * 3001), "idea", "at most 3000 characters", "M"),
        (MusicRequest(lyrics="la"), "style", "is needed", "M"),
        (MusicRequest(lyrics="la", style="s"), "title", "is needed", "M"),
        (MusicRequest(lyrics="la", title="t"), "style", "is needed", "M"),
        (MusicRequest(instrumental=True), "style", "is needed", "M"),
        (
            MusicRequest(instrumental=True, style="s", persona=VOICE),
            "title",
            "is needed",
            "M",
        ),
        (song(title="t" * 81), "title", "at most 80 characters long, not 81", "M"),
        (song(lyrics="a" * 5001), "lyrics", "at most 5000", "M"),
        (song(style="a" * 1001), "style", "at most 1000", "M"),
        *(
            row
            for model in ("suno-v4", "suno-v4-beta")
            for row in (
                (song(lyrics="a" * 3001, model=model), "lyrics", "at most 3000", "M"),
                (song(style="a" * 201, model=model), "style", "at most 200", "M"),
            )
        ),
        *(
            (
                song(persona=VOICE, persona_mode="voice", model=model),
                "persona_mode",
                f"is not possible with {model}",
                "M",
            )
            for model in ("suno-v4", "suno-v4.5-beta", "suno-v4.5plus", "suno-v4.5all")
        ),
        (
            song(persona=attrs.evolve(VOICE, provider="kie")),
            "persona",
            "must come from evolink, not from kie",
            None,
        ),
        *(
            (song(duration=60, model=model), "duration", "is not possible with", "M")
            for model in (None, "suno-v4", "suno-v4.5", "suno-v5-beta")
        ),
        *(
            (
                song(duration=seconds, model="suno-v6"),
                "duration",
                "must be a whole number of seconds from 10 to 360",
                "M",
            )
            for seconds in (9, 361, 10.5)
        ),
        *(
            (song(model=model), "model", "must be a Suno music model", "M")
            for model in ("suno-persona", "V5", "gpt", "suno")
        ),
        (MusicRequest(idea="rain", model="qwen3-tts-vd"), "model", "Suno music", "M"),
    ],
)
def test_refusals(request_, field, rule, source):
    """What every generation refuses or ignores is refused, with rule and source."""
    pages = {
        "P": "Evolink, Suno Persona creation",
        "M": "Evolink, Suno music generation",
        "T": "Evolink, task detail",
        None: "personakit",
    }
    with pytest.raises(InvalidRequest) as caught:
        build_body(request_)

    error = caught.value
    assert error.field == field
    assert rule in str(error)
    assert error.source == pages[source]
    assert error.remedy
    assert error.charged == "no"


@pytest.mark.parametrize(
    "request_",
    [
        MusicRequest(idea="a" * 3000),
        MusicRequest(idea="rain", instrumental=True, model="suno-v4"),
        song(title="t" * 80, lyrics="a" * 5000, style="a" * 1000),
        song(lyrics="a" * 3000, style="a" * 200, model="suno-v4"),
        song(duration=10, model="suno-v5.5"),
        song(duration=360.0, model="suno-v6-wild-beta"),
        song(persona=VOICE, model="suno-v4"),
        song(persona=VOICE, persona_mode="style", model="suno-v4.5all"),
        song(persona=VOICE, persona_mode="voice"),
        song(persona=VOICE, persona_mode="voice", model="suno-v6-mini"),
        song(lyrics="a" * 9999, style="a" * 9999, duration=20, model="suno-v9-beta"),
        song(lyrics="🎵" * 5000),
        MusicRequest(instrumental=True, style="s", title="t"),
        song(instrumental=True),
        request(
            source=Track("evolink", SOURCE.job_id, SOURCE.track_id, model="suno-v4")
        ),
        request(source=Track("evolink", SOURCE.job_id, SOURCE.track_id, model="chirp")),
    ],
)
def test_rest_is_the_service_s_to_judge(request_):
    """What any generation may accept is sent."""
    body = build_body(request_)

    assert body["model"]


@pytest.mark.parametrize(
    ("fields", "member", "value"),
    [
        ({"style_weight": 0}, "style_weight", 0),
        ({"weirdness": 1}, "weirdness_constraint", 1),
        ({"audio_weight": 0.0}, "audio_weight", 0.0),
        ({"vocal_gender": "female"}, "vocal_gender", "f"),
        ({"vocal_gender": "male"}, "vocal_gender", "m"),
        ({"persona": VOICE}, "persona_id", VOICE.id),
        (
            {"persona": VOICE, "persona_mode": "voice"},
            "persona_model",
            "voice_persona",
        ),
        ({"duration": 60.0, "model": "suno-v6"}, "duration", 60),
        ({"model": "suno-v6"}, "model", "suno-v6"),
        ({}, "model", "suno-v5-beta"),
    ],
)
def test_members(fields, member, value):
    """Each field goes out under the service's name, and zero is a value."""
    sent = build_body(song(**fields))[member]

    assert (sent, type(sent)) == (value, type(value))


def test_what_is_not_said_is_not_sent():
    """Nothing is sent that the caller did not say."""
    assert set(build_body(MusicRequest(instrumental=True, style="s", title="t"))) == {
        "model",
        "custom_mode",
        "instrumental",
        "style",
        "title",
    }


@pytest.mark.parametrize("text", ["[Verse]\n月光照在窗台", "🎵 e\u0301 é", "a\x00b"])
def test_text_goes_out_unchanged(text):
    """Lyrics of any language reach the wire code point by code point."""
    request = paid_request("/", build_body(song(lyrics=text)))

    assert json.loads(request.body.decode("utf-8"))["prompt"] == text


def test_unknown_operation_is_refused_by_name():
    """A request that Evolink has no operation for is refused."""

    class Other(JobRequest[None]):
        ability = Ability.TRACK

    with pytest.raises(Unsupported, match="evolink does not offer track"):
        build_body(Other())


def test_longest_job_id_passes():
    """Ids of any documented form pass, up to what a token can carry."""
    assert check_job_id("job_id", "task-unified-" + "1" * 107) is None
    with pytest.raises(InvalidRequest):
        check_job_id("job_id", "task-unified-" + "1" * 108)
