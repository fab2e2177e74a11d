"""Rules that every dialect shares."""

from __future__ import annotations

import pytest

from personakit.errors import InvalidRequest
from personakit.models import Persona, Track, TrackRef
from personakit.providers.suno import (
    CUSTOM_ONLY,
    check_length,
    check_origin,
    check_persona,
    find_address,
    find_ids,
    set_fields,
)
from personakit.requests import MusicRequest

HERE = "demo"
LINK = "https://x.example/a.mp3"
TRACK = Track(HERE, "j", "t", audio_url=LINK)


def test_what_was_filled_in():
    """Only fields with a value count as given, and 0 is a value."""
    request = MusicRequest(idea="rain", style="s", style_weight=0, title=None)

    assert set_fields(request, *CUSTOM_ONLY) == ("style", "style_weight")


def test_origin():
    """What comes from elsewhere is refused, with both names."""
    assert check_origin(HERE, "persona", HERE) is None
    with pytest.raises(InvalidRequest, match="persona must come from demo, not from x"):
        check_origin(HERE, "persona", "x")


def test_persona_of_another_service():
    """A persona sings only where it was made."""
    own = MusicRequest(idea="rain", persona=Persona("p", HERE))
    strange = MusicRequest(idea="rain", persona=Persona("p", "x"))

    assert check_persona(HERE, own) is None
    assert check_persona(HERE, MusicRequest(idea="rain")) is None
    with pytest.raises(InvalidRequest, match="persona must come from demo"):
        check_persona(HERE, strange)


@pytest.mark.parametrize("text", [None, "", "ab", "月光"])
def test_short_text(text):
    """Text up to the limit passes, counted in characters."""
    assert check_length("title", text, 2, "Page") is None


def test_long_text():
    """Longer text is refused with both lengths and the source of the rule."""
    with pytest.raises(InvalidRequest, match="at most 2 characters long") as told:
        check_length("title", "abc", 2, "Page")

    assert (told.value.field, told.value.source) == ("title", "Page")


def test_ids_of_a_source():
    """A track of the service, or its ids, tell the ids."""
    assert find_ids(HERE, "source", TRACK) == TrackRef("j", "t")
    assert find_ids(HERE, "source", TrackRef("a", "b")) == TrackRef("a", "b")


@pytest.mark.parametrize("source", [LINK, Track("x", "j", "t")])
def test_source_without_ids(source):
    """An address has no ids, and those of another service mean nothing here."""
    with pytest.raises(InvalidRequest) as caught:
        find_ids(HERE, "source", source)

    assert caught.value.field == "source"


@pytest.mark.parametrize("source", [LINK, TRACK, Track("x", "j", "t", audio_url=LINK)])
def test_address_of_a_source(source):
    """Any final audio has an address, whoever made it."""
    assert find_address("source", source) == LINK


@pytest.mark.parametrize(
    "source", [TrackRef("j", "t"), Track(HERE, "j", "t", stream_url=LINK)]
)
def test_source_without_an_address(source):
    """Ids alone, or a mere preview, have none."""
    with pytest.raises(InvalidRequest, match="must have a web address"):
        find_address("source", source)
