"""How a song is told to the sunoapi family, model by model."""

from __future__ import annotations

import pytest

from personakit.models import Persona
from personakit.providers.sunoapi.presets import KIE, SUNOAPI
from personakit.providers.sunoapi.songs import build_song, is_multiple, is_v6
from personakit.requests import MusicRequest
from tests.unit.providers.refusals import check_refusal

VOICE = Persona("a1b2****c3d4", "sunoapi")
SONG = {"lyrics": "[Verse] city lights", "style": "Electronic Pop", "title": "Lights"}


def build(preset=SUNOAPI, **fields):
    """Build the fields of a song."""
    return build_song(preset, MusicRequest(**fields))


def test_song_with_a_persona():
    """A persona sings in custom mode."""
    assert build(**SONG, persona=VOICE, persona_mode="style") == {
        "customMode": True,
        "instrumental": False,
        "model": "V5",
        "prompt": "[Verse] city lights",
        "style": "Electronic Pop",
        "title": "Lights",
        "personaId": "a1b2****c3d4",
        "personaModel": "style_persona",
    }


def test_idea():
    """An idea is the prompt of simple mode, and nothing else goes with it."""
    assert build(idea="a rainy night", instrumental=True) == {
        "customMode": False,
        "instrumental": True,
        "model": "V5",
        "prompt": "a rainy night",
    }


def test_everything():
    """Every field of ours has its own on the wire; zero is a value."""
    body = build(
        **SONG,
        persona=VOICE,
        persona_mode="voice",
        model="V6_WILD",
        negative_style="metal",
        vocal_gender="female",
        style_weight=0,
        weirdness=0.33,
        audio_weight=1,
        duration=120.5,
    )

    assert body == {
        "customMode": True,
        "instrumental": False,
        "model": "V6_WILD",
        "prompt": "[Verse] city lights",
        "lyrics": "[Verse] city lights",
        "style": "Electronic Pop",
        "title": "Lights",
        "negativeTags": "metal",
        "vocalGender": "f",
        "styleWeight": 0,
        "weirdnessConstraint": 0.33,
        "audioWeight": 1,
        "personaId": "a1b2****c3d4",
        "personaModel": "voice_persona",
        "duration": 120.5,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"instrumental": True, "style": "s", "title": "t"},
        {"lyrics": "la", "model": "V6"},
        {"instrumental": True, "negative_style": "metal", "model": "V6"},
        {"lyrics": "a" * 3000, "style": "b" * 200, "title": "t", "model": "V4"},
        {"lyrics": "a" * 5000, "style": "b" * 1000, "title": "c" * 100},
        {"lyrics": "月" * 5000, "style": "s", "title": "t"},
        {"lyrics": "a" * 9000, "style": "s", "title": "t", "model": "V9"},
        {"idea": "a" * 3000},
        {**SONG, "duration": 10, "model": "V5_5"},
        {**SONG, "duration": 360, "model": "V6_MINI"},
        {**SONG, "duration": 60, "model": "V9"},
        {**SONG, "persona": VOICE, "persona_mode": "voice", "model": "V9"},
    ],
    ids=",".join,
)
def test_what_is_possible(fields):
    """What some revision allows is sent, and unknown models are the service's."""
    assert build(**fields)["model"] == fields.get("model", "V5")


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"lyrics": "la", "title": "t"}, "style", "is needed"),
        ({"lyrics": "la", "style": "s"}, "title", "is needed"),
        ({"instrumental": True, "title": "t"}, "style", "is needed"),
        ({"instrumental": True, "title": "t", "model": "V6"}, "style", "or lyrics or"),
        ({"idea": "x", "style": "s"}, "style", "has no effect beside idea"),
        ({"idea": "x", "persona": VOICE}, "persona", "has no effect beside idea"),
        ({"idea": "x", "duration": 60}, "duration", "has no effect beside idea"),
        ({"idea": "a" * 3001}, "idea", "at most 3000"),
        ({**SONG, "lyrics": "a" * 5001}, "lyrics", "at most 5000"),
        ({**SONG, "lyrics": "a" * 3001, "model": "V4"}, "lyrics", "at most 3000"),
        ({**SONG, "style": "a" * 1001}, "style", "at most 1000"),
        ({**SONG, "style": "a" * 201, "model": "V4"}, "style", "at most 200"),
        ({**SONG, "title": "a" * 101}, "title", "at most 100"),
        ({**SONG, "style_weight": 0.333}, "style_weight", "at most two decimals"),
        ({**SONG, "weirdness": 0.001}, "weirdness", "at most two decimals"),
        ({**SONG, "audio_weight": 0.999}, "audio_weight", "at most two decimals"),
        ({**SONG, "duration": 9, "model": "V6"}, "duration", "must be 10 to 360 s"),
        ({**SONG, "duration": 361, "model": "V6"}, "duration", "must be 10 to 360 s"),
        ({**SONG, "duration": 60}, "duration", "is not possible with V5"),
        (
            {**SONG, "persona": VOICE, "persona_mode": "style", "model": "V4_5"},
            "persona_mode",
            "is not possible with V4_5",
        ),
        ({**SONG, "persona": Persona("p", "kie")}, "persona", "must come from sunoapi"),
    ],
)
def test_refusals(fields, field, rule):
    """What every revision refuses or ignores is not sent."""
    check_refusal(lambda: build(**fields), field, rule)


def test_persona_of_the_same_host():
    """A persona of kie sings on kie."""
    assert build(KIE, **SONG, persona=Persona("p", "kie"))["personaId"] == "p"


@pytest.mark.parametrize(
    ("model", "expected"), [("V6", True), ("V5", False), ("x", False)]
)
def test_family_of_a_model(model, expected):
    """Only names that are known count as of the V6 family."""
    assert is_v6(model) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, True), (0.1, True), (0.29, True), (0.58, True), (1, True), (0.005, False)],
)
def test_multiples(value, expected):
    """Binary fractions do not make a hundredth anything else."""
    assert is_multiple(value, 0.01) is expected
