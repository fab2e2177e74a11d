"""Requests check themselves when they are built."""

from __future__ import annotations

import math

import attrs
import pytest

from personakit.errors import InvalidRequest
from personakit.models import (
    Credits,
    JobState,
    Persona,
    Snapshot,
    Stems,
    Track,
    TrackRef,
    VocalWindow,
)
from personakit.receipt import JOB_KINDS, Ability
from personakit.requests import (
    AudioFile,
    CoverRequest,
    ExtendRequest,
    JobRequest,
    MashupRequest,
    MusicRequest,
    PersonaRequest,
    SongFields,
    SongRequest,
    StemsRequest,
    UploadRequest,
)

SOURCE = TrackRef("task-unified-1", "4fcc4507-a7ae-4441-ad8a-465c2f61d5bb")
VOICE = Persona("p1", "evolink")
HUGE = pytest.param(10**400, id="huge")


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


@pytest.mark.parametrize("style", [None, "", "  "])
def test_blank_style_is_none(style):
    """A style that says nothing is no style of the new persona."""
    wish = PersonaRequest(SOURCE, name="n", description="d", style=style)

    assert wish.complete(VOICE).style is None


@pytest.mark.parametrize("value", [1, 1.0, 10**300])
def test_least_duration_passes(value):
    """A duration is any finite number from one second."""
    assert MusicRequest(lyrics="la", duration=value).duration == value


@pytest.mark.parametrize("value", [0.99, -1, True, math.nan, HUGE, "60"])
def test_duration(value):
    """A duration below one second, or none at all, is refused."""
    with pytest.raises(InvalidRequest, match=r"^duration must be a number from 1\."):
        MusicRequest(lyrics="la", duration=value)


@pytest.mark.parametrize(
    ("make", "rule", "remedy"),
    [
        (
            lambda: MusicRequest(lyrics="la", vocal_gender="x"),
            "must be 'female' or 'male'",
            "Change or omit it",
        ),
        (
            lambda: PersonaRequest("x", name="n", description="d"),
            "must be a Track or a TrackRef",
            "Pass such a value",
        ),
        (lambda: TrackRef(" ", "t"), "must not be blank", "Fill it in"),
        (
            lambda: TrackRef("j", "\udc00"),
            "must be valid Unicode text",
            "Correct or omit it",
        ),
    ],
)
def test_refusal_tells_rule_and_remedy(make, rule, remedy):
    """What is refused comes with the rule and with what to do."""
    with pytest.raises(InvalidRequest) as caught:
        make()

    assert (caught.value.rule, caught.value.remedy) == (rule, remedy)
    assert (caught.value.source, caught.value.charged) == ("personakit", "no")


@pytest.mark.parametrize("text", ["\ud7ff", "\ue000", "\U0010ffff", "🎵", "e\u0301"])
def test_text_beside_the_surrogates_passes(text):
    """Every character that can be sent is accepted."""
    assert MusicRequest(lyrics=text).lyrics == text


TRACK = Track("sunoapi", "j", "t", audio_url="https://x.example/a.mp3", duration=60)


@pytest.mark.parametrize("kind", [ExtendRequest, CoverRequest, StemsRequest])
@pytest.mark.parametrize("source", [TRACK, SOURCE, "https://x.example/a.mp3"])
def test_source_is_a_track_or_an_address(kind, source):
    """A source is a track, its ids, or a web address."""
    assert kind(source).source == source


@pytest.mark.parametrize("kind", [ExtendRequest, CoverRequest, StemsRequest])
@pytest.mark.parametrize(
    "source", [None, "", "a.mp3", "ftp://x/a", "https://", "https://x/a b", 7, b"x"]
)
def test_other_sources_are_refused(kind, source):
    """Anything else is refused by name."""
    with pytest.raises(InvalidRequest, match="or an https address") as caught:
        kind(source)

    assert caught.value.field == "source"


@pytest.mark.parametrize("at", [0, 59.9, None])
def test_place_inside_the_source(at):
    """A track is continued from anywhere in it."""
    assert ExtendRequest(TRACK, at=at).at == at


@pytest.mark.parametrize("at", [60, 61, -1, math.nan])
def test_place_outside_the_source(at):
    """A place beyond the end, or none at all, is refused."""
    with pytest.raises(InvalidRequest) as caught:
        ExtendRequest(TRACK, at=at)

    assert caught.value.field == "at"


def test_length_of_ids_is_not_known():
    """Of mere ids the length is not known, so that any place may be right."""
    assert ExtendRequest(SOURCE, at=9999).at == 9999


def test_mashup_takes_two():
    """Both sources of a mashup are checked."""
    assert MashupRequest(TRACK, SOURCE, style="s").second == SOURCE
    with pytest.raises(InvalidRequest, match=r"^second must be"):
        MashupRequest(TRACK, None)


@pytest.mark.parametrize("audio", ["https://x.example/a.mp3", AudioFile("a", b"x")])
def test_upload_takes_an_address_or_audio(audio):
    """What is uploaded lies in the web or is passed whole."""
    assert UploadRequest(audio).audio == audio


@pytest.mark.parametrize("audio", ["a.mp3", b"x", None])
def test_upload_takes_nothing_else(audio):
    """A bare file name is no address."""
    with pytest.raises(InvalidRequest, match="must be a AudioFile or an https"):
        UploadRequest(audio)


def test_audio_is_not_shown():
    """The content of a file stays out of logs."""
    assert repr(AudioFile("a.mp3", b"secret")) == "AudioFile(name='a.mp3')"


def test_fields_of_songs_are_all_named():
    """The signature of the client's coroutines has every field of a song."""
    fields = {field.name: field.type for field in attrs.fields(SongRequest)}

    assert list(SongFields.__annotations__) == list(fields)
    assert fields == {
        name: hint.__forward_arg__ for name, hint in SongFields.__annotations__.items()
    }


def test_every_kind_of_job_has_one_request():
    """Each ability that makes a job is asked for by one class."""
    kinds = [
        CoverRequest,
        ExtendRequest,
        MashupRequest,
        MusicRequest,
        PersonaRequest,
        StemsRequest,
        UploadRequest,
    ]

    assert {kind.ability for kind in kinds} == JOB_KINDS
    assert len(kinds) == len(JOB_KINDS)


def test_tracks_are_completed_with_what_was_asked_for():
    """What the service did not repeat is known from the request, and only that."""
    wish = MusicRequest(lyrics="la", title="T", style="s", model="V5")
    bare, full = wish.complete((TRACK, attrs.evolve(TRACK, title="Own", model="V6")))

    assert (bare.lyrics, bare.title, bare.style, bare.model) == ("la", "T", "s", "V5")
    assert (full.title, full.model) == ("Own", "V6")


def test_stems_and_uploads_add_nothing():
    """What was separated or uploaded is as the service told it."""
    stems = Stems(TRACK)

    assert StemsRequest(SOURCE).complete(stems) is stems
    assert UploadRequest("https://x.example/a").complete(TRACK) is TRACK
