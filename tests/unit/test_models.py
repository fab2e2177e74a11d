"""Values check themselves when they are built."""

from __future__ import annotations

import math

import attrs
import pytest

from personakit.errors import InvalidRequest
from personakit.models import (
    Credits,
    JobRequest,
    JobState,
    MusicRequest,
    Persona,
    PersonaRequest,
    Snapshot,
    Track,
    TrackRef,
    VocalWindow,
    number_or_none,
)
from personakit.receipt import Ability

SOURCE = TrackRef("task-unified-1", "4fcc4507-a7ae-4441-ad8a-465c2f61d5bb")
VOICE = Persona("p1", "evolink")

Q, R, C, F, X = JobState
STEPS = {
    Q: {Q, R, C, F, X},
    R: {R, C, F, X},
    C: {C},
    F: {F},
    X: {X},
}


@pytest.mark.parametrize("before", JobState)
@pytest.mark.parametrize("after", JobState)
def test_states_step_forward_only(before, after):
    """A state follows itself and earlier ones, and nothing follows an end."""
    assert before.can_become(after) is (after in STEPS[before])


@pytest.mark.parametrize("state", JobState)
def test_ends_are_final(state):
    """Completed, failed and cancelled are the ends."""
    assert state.is_final is (state in {C, F, X})


@pytest.mark.parametrize("value", [None, "", "  \n", 7, b"text", "\ud800", ["a"]])
@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda value: TrackRef(value, "t"), "job_id"),
        (lambda value: TrackRef("j", value), "track_id"),
        (lambda value: Persona(value, "evolink"), "id"),
        (lambda value: Persona("p", value), "provider"),
        (lambda value: PersonaRequest(SOURCE, name=value, description="d"), "name"),
        (
            lambda value: PersonaRequest(SOURCE, name="n", description=value),
            "description",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_needed_texts(make, field, value):
    """A text that is needed is a text, valid, and not blank."""
    with pytest.raises(InvalidRequest, match=rf"^{field} must ") as caught:
        make(value)

    assert caught.value.field == field


@pytest.mark.parametrize("value", ["", "  ", 7, "\udfff"])
@pytest.mark.parametrize(
    "field", ["lyrics", "idea", "style", "title", "model", "negative_style"]
)
def test_optional_texts(field, value):
    """A text that may be missing is None or a text that says something."""
    with pytest.raises(InvalidRequest, match=f"^{field} must "):
        MusicRequest(**{"lyrics": "la", field: value})


HUGE = pytest.param(10**400, id="huge")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, 7.0),
        (0.5, 0.5),
        (True, None),
        ("7", None),
        (None, None),
        ([], None),
        (math.nan, None),
        (math.inf, None),
        pytest.param(10**400, None, id="huge"),
    ],
)
def test_number_is_finite_or_nothing(value, expected):
    """What is no finite number is None, without an error."""
    assert number_or_none(value) == expected


@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan, math.inf, True, "1", HUGE])
@pytest.mark.parametrize("field", ["style_weight", "weirdness", "audio_weight"])
def test_weights(field, value):
    """A weight is a number from 0 to 1."""
    with pytest.raises(InvalidRequest, match=f"^{field} must be a number from 0 to 1"):
        MusicRequest(lyrics="la", **{field: value})


@pytest.mark.parametrize("value", [0, 0.5, 1])
def test_weights_at_their_limits(value):
    """Both ends are weights, and 0 is not None."""
    assert MusicRequest(lyrics="la", style_weight=value).style_weight == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("duration", 0),
        ("duration", math.inf),
        ("duration", "60"),
        ("vocal_gender", "f"),
        ("vocal_gender", ""),
        ("persona_mode", "style_persona"),
        ("instrumental", "false"),
        ("instrumental", None),
        ("persona", "p1"),
        ("persona", SOURCE),
    ],
)
def test_other_fields(field, value):
    """Each field names itself when it holds something else."""
    with pytest.raises(InvalidRequest, match=f"^{field} must be ") as caught:
        MusicRequest(**{"lyrics": "la", "persona": VOICE, field: value})

    assert caught.value.remedy


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "lyrics or idea must say what is sung"),
        ({"style": "jazz"}, "lyrics or idea must say what is sung"),
        ({"lyrics": "a", "idea": "b"}, "idea cannot go with lyrics"),
        ({"lyrics": "a", "persona_mode": "voice"}, "persona_mode has no effect alone"),
    ],
)
def test_fields_together(fields, message):
    """What must or must not stand together is checked too."""
    with pytest.raises(InvalidRequest, match=message):
        MusicRequest(**fields)


def test_instrumental_needs_no_words():
    """Music without a voice needs neither lyrics nor idea."""
    assert MusicRequest(instrumental=True, style="jazz", title="t").lyrics is None


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (-1, 9, "start must be a number from 0"),
        (0, -1, "end must be a number from 0"),
        ("0", 9, "start must be"),
        (0, None, "end must be"),
        (True, 9, "start must be"),
        (math.nan, 9, "start must be"),
        (0, math.inf, "end must be"),
        (9, 9, "window must end after it starts"),
        (9, 8, "window must end after it starts"),
    ],
)
def test_window(start, end, message):
    """A window has two numbers of seconds in their order."""
    with pytest.raises(InvalidRequest, match=message):
        VocalWindow(start, end)


@pytest.mark.parametrize(
    ("start", "end", "length"), [(15, 35, 20), (10.2, 40.2, 30), (0.1, 0.3, 0.2)]
)
def test_window_has_a_decimal_length(start, end, length):
    """The length is free of the noise of binary fractions."""
    assert VocalWindow(start, end).length == length


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"source": ("task-unified-1", "t")}, "source"),
        ({"window": (15, 35)}, "window"),
        ({"style": 7}, "style"),
        ({"style": "\ud800"}, "style"),
    ],
)
def test_persona_request(fields, field):
    """A persona request takes its own values only."""
    usual = {"source": SOURCE, "name": "n", "description": "d"}
    with pytest.raises(InvalidRequest, match=f"^{field} must be "):
        PersonaRequest(**{**usual, **fields})


def test_source_is_a_track_or_its_ids():
    """A track stands for its ids."""
    track = Track("evolink", SOURCE.job_id, SOURCE.track_id)
    requests = [
        PersonaRequest(source, name="n", description="d") for source in (track, SOURCE)
    ]

    assert [request.source_ref for request in requests] == [SOURCE, SOURCE]


def test_persona_is_completed_with_what_the_caller_said():
    """A new persona gets name, description, style and source."""
    wish = PersonaRequest(SOURCE, name="n", description="d", style="jazz")

    assert wish.complete(VOICE) == Persona("p1", "evolink", "n", "d", "jazz", SOURCE)


def test_tracks_are_completed_with_the_lyrics():
    """Tracks get the lyrics unless the service told its own."""
    bare = Track("evolink", "j", "a")
    told = attrs.evolve(bare, lyrics="theirs")

    completed = MusicRequest(lyrics="mine").complete((bare, told))
    assert [track.lyrics for track in completed] == ["mine", "theirs"]


def test_request_adds_nothing_unless_it_says_so():
    """A kind of request without anything to add returns the result as it is."""
    assert JobRequest[Persona]().complete(VOICE) is VOICE


def test_requests_know_their_ability():
    """A request says which ability it needs."""
    assert PersonaRequest.ability is Ability.PERSONA
    assert MusicRequest.ability is Ability.MUSIC


@pytest.mark.parametrize(
    ("balance", "spendable"),
    [
        (Credits(10), 10),
        (Credits(10, key_remaining=3), 3),
        (Credits(2, key_remaining=3), 2),
        (Credits(2, key_remaining=0), 0),
    ],
)
def test_spendable_is_the_lesser(balance, spendable):
    """What can be spent is bounded by account and key."""
    assert balance.spendable == spendable


@pytest.mark.parametrize(
    "value",
    [
        SOURCE,
        VOICE,
        Track("evolink", "j", "t"),
        VocalWindow(1, 2),
        MusicRequest(idea="rain"),
        Snapshot("j", JobState.QUEUED, "pending"),
        Credits(1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_frozen(value):
    """No value changes once it is built."""
    name = attrs.fields(type(value))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, name, None)
