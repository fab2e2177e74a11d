"""What MusicMint refuses, field by field."""

from __future__ import annotations

import pytest

from personakit.emulator.clock import Clock
from personakit.emulator.services.fields import Fields
from personakit.emulator.services.musicmint_rules import (
    Refusal,
    read_cover,
    read_music,
    read_page,
    read_persona,
    read_stem,
    read_upload,
)
from personakit.emulator.state import Account, State
from personakit.emulator.tasks import Song


@pytest.fixture
def state():
    clock = Clock(1.0)
    state = State(clock, Account(clock, 100), seed=0)
    state.add_song(Song("j1", "c1", "Title", "pop", "m", "p1"), finished=True)
    state.add_song(Song("j2", "c2", "Title", "pop", "m"), finished=False)
    state.order("stems", job_id="s1", model="m", price=0, seconds=0, songs=(STEM,))
    return state


STEM = Song("s1", "s1", "Title", "pop", "m")


def fields(body):
    return Fields(body, Refusal)


@pytest.mark.parametrize(
    ("body", "song"),
    [
        ({"prompt": "la"}, ("la", "", None, False)),
        ({"tags": "jazz"}, ("", "jazz", None, False)),
        ({"gpt_description_prompt": "a b c d e"}, ("a b c d e", "", None, False)),
        (
            {"prompt": "la", "persona_id": "p1", "make_instrumental": True},
            ("la", "", "p1", True),
        ),
        (
            {"prompt": "la", "continue_clip_id": "c1", "continue_at": 0},
            ("la", "", None, False),
        ),
    ],
)
def test_orders(state, body, song):
    """The mode follows from the fields that are there."""
    made = read_music(fields(body), state)

    assert (made.lyrics, made.style, made.persona_id, made.instrumental) == song
    assert made.life == 7 * 86_400


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, 4001),
        ({"title": "t"}, 4001),
        ({"gpt_description_prompt": "a", "prompt": "b"}, 4001),
        ({"gpt_description_prompt": "a", "tags": "b"}, 4001),
        ({"prompt": "a", "continue_at": 3}, 4001),
        ({"prompt": "a", "continue_clip_id": "c1", "continue_at": 1.5}, 4001),
        ({"prompt": "a", "continue_clip_id": "x"}, 4002),
        ({"prompt": "a", "continue_clip_id": "c2"}, 4001),
        ({"prompt": "a", "continue_clip_id": "s1"}, 4002),
        ({"prompt": "a", "persona_id": "x"}, 4004),
        ({"prompt": 7}, 4001),
        ({"prompt": "a", "make_instrumental": "yes"}, 4001),
        ({"prompt": "a", "retention_days": 31}, 4001),
        ({"prompt": "a", "retention_days": 0}, 4001),
    ],
)
def test_refused_orders(state, body, code):
    """What the page forbids is refused."""
    with pytest.raises(Refusal) as caught:
        read_music(fields(body), state)

    assert caught.value.code == code


@pytest.mark.parametrize(
    "body", [{}, {"name": "n"}, {"clip_id": "c1"}, {"name": " ", "clip_id": "c1"}]
)
def test_persona_needs_name_and_clip(state, body):
    """Both are required, and blank text is none."""
    with pytest.raises(Refusal, match="cannot be null"):
        read_persona(fields(body), state)


def test_persona_of_a_clip(state):
    """A finished clip gives its voice."""
    assert read_persona(fields({"name": "n", "clip_id": "c1"}), state).track_id == "c1"


def test_cover_of_a_clip(state):
    """A cover needs a clip, and may choose a model."""
    made = read_cover(fields({"cover_clip_id": "c1", "mv": "chirp-v3-5"}), state)

    assert made.model == "chirp-v3-5"
    with pytest.raises(Refusal, match="no such clip"):
        read_cover(fields({"cover_clip_id": "x"}), state)


def test_part_of_a_clip(state):
    """A part ends after it starts; without one it is the whole clip."""
    clip, start, end = read_stem(fields({"clip_id": "c1"}), state)

    assert (clip.track_id, start, end) == ("c1", 0, clip.duration)
    with pytest.raises(Refusal, match="must be after"):
        read_stem(
            fields({"clip_id": "c1", "vocal_start_s": 5, "vocal_end_s": 5}), state
        )


@pytest.mark.parametrize("body", [{}, {"audio_url": "a.mp3"}])
def test_upload_needs_an_address(body):
    """Only what lies in the web can be fetched."""
    with pytest.raises(Refusal, match="audio_url"):
        read_upload(fields(body))


def test_upload_is_named_after_its_file():
    """The end of the address is its title."""
    assert read_upload(fields({"audio_url": "https://x.example/a/b.mp3"})) == "b.mp3"


@pytest.mark.parametrize(
    ("body", "page"),
    [
        ({}, (1, 20, -1)),
        ({"page": 2, "page_size": 100, "status": 0}, (2, 100, 0)),
        ({"status": -1}, (1, 20, -1)),
    ],
)
def test_pages(body, page):
    """A list has the documented page, size and filter."""
    assert read_page(fields(body)) == page


@pytest.mark.parametrize(
    "body", [{"page": 0}, {"page_size": 101}, {"status": 4}, {"status": "completed"}]
)
def test_refused_pages(body):
    """Numbers beyond the documented ones are refused."""
    with pytest.raises(Refusal):
        read_page(fields(body))
