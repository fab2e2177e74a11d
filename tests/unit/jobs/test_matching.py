"""Which jobs of a list can be the one whose answer was lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from personakit.http.messages import FILE_TIMEOUT, SUBMIT_TIMEOUT
from personakit.jobs.matching import (
    CLOCK_SKEW,
    SHORTEST_CUT,
    could_be,
    fits,
    fits_result,
)
from personakit.models import JobState, Listed, Persona, Snapshot, Track, TrackRef
from personakit.receipt import Ability
from personakit.requests import MusicRequest, PersonaRequest

SENT = datetime(2026, 3, 22, 12, tzinfo=UTC)
SKEW = CLOCK_SKEW.total_seconds()
LONG = (
    "the rain falls on the roof of my house and i sing along with every drop of it all"
)
PERSONA = Persona("p", "evolink")


def line(kind=Ability.MUSIC, after: float | None = 0, model=None) -> Listed:
    """Make a line of a list, created some seconds after the submit."""
    snapshot = Snapshot("job", JobState.RUNNING, "processing")
    created_at = None if after is None else SENT + timedelta(seconds=after)
    return Listed(kind, snapshot, created_at, model)


def tracks(**texts) -> tuple[Track, ...]:
    """Make the result of a job: two tracks with the same texts."""
    return tuple(Track("evolink", "job", name, **texts) for name in "ab")


@pytest.mark.parametrize(
    ("kind", "listed", "expected"),
    [
        (Ability.MUSIC, Ability.MUSIC, True),
        (Ability.PERSONA, Ability.PERSONA, True),
        (Ability.EXTEND, Ability.MUSIC, True),
        (Ability.COVER, Ability.MUSIC, True),
        (Ability.COVER, Ability.EXTEND, False),
        (Ability.MUSIC, Ability.PERSONA, False),
        (Ability.PERSONA, Ability.MUSIC, False),
        (Ability.STEMS, Ability.MUSIC, False),
        (Ability.MUSIC, None, False),
    ],
)
def test_kind_must_agree(kind, listed, expected):
    """A list may call every song music; other kinds must be the same."""
    assert could_be(kind, [SENT], line(listed), None) is expected


@pytest.mark.parametrize(
    ("kind", "after", "expected"),
    [
        (Ability.MUSIC, -SKEW - 1, False),
        (Ability.MUSIC, -SKEW, True),
        (Ability.MUSIC, SUBMIT_TIMEOUT + SKEW, True),
        (Ability.MUSIC, SUBMIT_TIMEOUT + SKEW + 1, False),
        (Ability.UPLOAD, FILE_TIMEOUT + SKEW, True),
        (Ability.UPLOAD, FILE_TIMEOUT + SKEW + 1, False),
        (Ability.MUSIC, None, False),
    ],
)
def test_time_must_agree(kind, after, expected):
    """A job is created while its submit is under way, with some skew of the clocks."""
    assert could_be(kind, [SENT], line(kind, after), None) is expected


@pytest.mark.parametrize("clock", [-86_400.0, 0.0, 3_600.5])
def test_times_are_corrected(clock):
    """A service whose clock is wrong matches once the difference is known."""
    right = line(after=clock)
    wrong = line(after=clock + SUBMIT_TIMEOUT + SKEW + 1)

    assert could_be(Ability.MUSIC, [SENT], right, clock)
    assert not could_be(Ability.MUSIC, [SENT], wrong, clock)
    assert could_be(Ability.MUSIC, [SENT], right, None) is (clock == 0)


def test_any_attempt_counts():
    """A job can come from each attempt, and not from the time between two."""
    later = SENT + timedelta(hours=2)

    assert could_be(Ability.MUSIC, [SENT, later], line(after=0), None)
    assert could_be(Ability.MUSIC, [SENT, later], line(after=7_200), None)
    assert not could_be(Ability.MUSIC, [SENT, later], line(after=3_600), None)
    assert not could_be(Ability.MUSIC, [], line(), None)


@pytest.mark.parametrize(
    ("asked", "listed", "expected"),
    [
        ("suno-v5", "suno-v4.5-beta", False),
        ("suno-v5", "suno-v5.5-beta", False),
        ("suno-v5", "suno-v5-beta", None),
        ("suno-v5-beta", "suno-v5-beta", None),
        ("suno-v5", None, None),
        (None, "suno-v5-beta", None),
    ],
)
def test_model_can_only_contradict(asked, listed, expected):
    """Another model is a contradiction, and the same model proves nothing."""
    request = MusicRequest(idea="rain", model=asked)

    assert fits(request, line(model=listed)) is expected


def test_requests_without_a_model_prove_nothing():
    """Unknown requests and those for personas cannot be compared with a line."""
    persona = PersonaRequest(TrackRef("j", "t"), name="n", description="d")

    assert fits(None, line(model="suno-v5-beta")) is None
    assert fits(persona, line(Ability.PERSONA, model="suno-persona")) is None


@pytest.mark.parametrize(
    ("asked", "given", "expected"),
    [
        ("Blue hour", "Blue hour", True),
        ("Blue hour", "  blue\nHOUR ", True),
        ("Ｂｌｕｅ", "blue", True),
        ("Straße", "STRASSE", True),
        (LONG, LONG[:SHORTEST_CUT], True),
        (LONG, f"{LONG[:SHORTEST_CUT]}...", True),
        (LONG, f"{LONG[:SHORTEST_CUT]}…", True),
        (LONG, LONG[: SHORTEST_CUT - 1], None),
        ("Rain", "Rain (Remastered)", None),
        ("Rain in May", "Rain", None),
        ("Rain", "Snow", False),
        ("心中的光", "心中的雨", False),
        ("Rain", None, None),
        ("Rain", "  ", None),
        (None, "Rain", None),
    ],
)
def test_titles(asked, given, expected):
    """Equal titles agree, different ones do not, and a part of one proves nothing."""
    request = MusicRequest(instrumental=True, title=asked)

    assert fits_result(request, tracks(title=given)) is expected


@pytest.mark.parametrize(
    ("asked", "given", "expected"),
    [
        ("pop, upbeat", "Upbeat pop", True),
        ("流行 抒情", "流行,抒情", True),
        (LONG, LONG[:SHORTEST_CUT], True),
        ("pop upbeat female vocals", "pop upbeat", None),
        ("pop", "pop, female vocals", None),
        ("pop, jazz", "pop, rock", None),
        ("pop", "heavy metal", False),
        ("pop", None, None),
        ("pop", "&", None),
        (None, "pop", None),
    ],
)
def test_styles(asked, given, expected):
    """The same words agree; only styles without a common word contradict."""
    request = MusicRequest(instrumental=True, style=asked)

    assert fits_result(request, tracks(style=given)) is expected


def test_persona_may_change_the_style():
    """With a persona another style is no contradiction, and the same style agrees."""
    request = MusicRequest(lyrics="la", style="pop", persona=PERSONA)

    assert fits_result(request, tracks(style="heavy metal")) is None
    assert fits_result(request, tracks(style="pop")) is True


@pytest.mark.parametrize(
    ("asked", "given", "expected"),
    [
        ("[Verse]\nRain, rain", "[verse 1] Rain rain!", True),
        (LONG, LONG[:SHORTEST_CUT], True),
        (LONG, f"and before that, {LONG}, and after", True),
        ("Rain", "Rain in May", None),
        ("Rain in May", "Rain", None),
        ("[Instrumental]", "Rain", None),
        ("Rain", None, None),
        ("Rain", "Snow", False),
    ],
)
def test_lyrics(asked, given, expected):
    """Lyrics are sung as written: without tags and punctuation they are the same."""
    request = MusicRequest(lyrics=asked)

    assert fits_result(request, tracks(lyrics=given)) is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [("A rainy night.", None), ("a Rainy night", True), ("[Verse] Drops", None)],
)
def test_ideas(given, expected):
    """A service may return the idea; the lyrics that it wrote prove nothing."""
    request = MusicRequest(idea="A rainy night")

    assert fits_result(request, tracks(lyrics=given)) is expected


def test_one_contradiction_decides():
    """Whatever else agrees, in whichever track."""
    request = MusicRequest(lyrics="Rain", title="Blue", style="pop")
    same = tracks(lyrics="Rain", title="Blue", style="pop")
    other = tracks(lyrics="Rain", title="Red", style="pop")

    assert fits_result(request, same) is True
    assert fits_result(request, other) is False
    assert fits_result(request, (same[0], other[1])) is False
    assert fits_result(request, (same[0], *tracks())) is True


@pytest.mark.parametrize("result", [None, PERSONA, Track("musicmint", "j", "t"), ()])
def test_other_results_prove_nothing(result):
    """Only the tracks of a song contain texts of the request."""
    assert fits_result(MusicRequest(idea="rain"), result) is None


def test_unknown_requests_prove_nothing():
    """Without the request there is nothing to compare."""
    persona = PersonaRequest(TrackRef("j", "t"), name="n", description="d")

    assert fits_result(None, tracks(title="Rain")) is None
    assert fits_result(persona, named_persona()) is None


def named_persona() -> Persona:
    """Make a persona as `PersonaRequest.complete` does."""
    return Persona("p", "evolink", name="n", description="d")
