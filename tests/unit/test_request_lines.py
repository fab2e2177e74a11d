"""Requests as lines of JSON; a bad line names itself and its field."""

from __future__ import annotations

import json

import pytest

from personakit.errors import InvalidRequest
from personakit.models import Persona, TrackRef
from personakit.requests import CoverRequest, MusicRequest, PersonaRequest
from personakit.serialization import SHAPES, read_line

REF = {"job_id": "j", "track_id": "t"}


def read(**fields):
    return read_line(json.dumps(fields), 7, "evolink")


@pytest.mark.parametrize(
    ("fields", "wish"),
    [
        ({"idea": "rain"}, MusicRequest(idea="rain")),
        (
            {"kind": "music", "lyrics": "La", "persona": "p1"},
            MusicRequest(lyrics="La", persona=Persona("p1", "evolink")),
        ),
        (
            {"kind": "persona", "source": REF, "name": "V", "description": "Warm"},
            PersonaRequest(TrackRef("j", "t"), name="V", description="Warm"),
        ),
        (
            {"kind": "cover", "source": "https://example.com/a.mp3", "style": "jazz"},
            CoverRequest("https://example.com/a.mp3", style="jazz"),
        ),
    ],
)
def test_good_lines(fields, wish):
    """Each kind is read as what it is."""
    assert read(**fields) == wish


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nonsense", "line 7 must be a JSON object"),
        ("[1]", "line 7 must be a JSON object"),
        ('{"kind": "dance"}', "line 7, kind: must be one of music"),
        ('{"kind": ["music"]}', "line 7, kind: must be one of music"),
        ('{"idea": "rain", "mood": "sad"}', "line 7, mood: is no field of music"),
        ('{"kind": "persona", "source": {}}', "line 7, name: is missing"),
        ('{"idea": 7}', "line 7, idea: must be"),
        ('{"style_weight": 2, "idea": "a"}', "line 7, style_weight: must be"),
        (
            '{"kind": "cover", "source": {"job": 1}, "style": "a"}',
            "line 7, source: must",
        ),
    ],
)
def test_bad_lines(line, told):
    """Line, field and rule are named."""
    with pytest.raises(InvalidRequest) as caught:
        read_line(line, 7, "evolink")

    assert told in str(caught.value)
    assert caught.value.charged == "no"


def test_every_kind_has_a_shape():
    """What a line may be."""
    assert set(SHAPES) == {"music", "persona", "extend", "cover", "stems"}
