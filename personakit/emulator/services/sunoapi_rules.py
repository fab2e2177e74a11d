"""What the sunoapi family refuses: reads the bodies of its requests, or raises.

Where the revisions of the documentation disagree, the widest limit counts. Codes that
no page tells (an unfinished source, an old model, a wrong pair of ids) are chosen: 404
for what does not exist, 422 for everything else.

Sources: the two persona pages (the specification) and the other pages of the family.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

import attrs

from personakit.emulator.services.fields import Fields
from personakit.emulator.state import State
from personakit.emulator.tasks import Song

DAY = 86_400
LIFE = 14 * DAY
"""Seconds that audio is kept (documented: 14 or 15 days, by page)."""

_UPSTREAM = {
    # the upstream's names, of which two are documented; the others are chosen
    "V3_5": "chirp-v3-5",
    "V4": "chirp-v4",
    "V5": "chirp-v5",
}
_SHORT = {"V4"}
_WITH_MODE = {"V5", "V5_5", "V6", "V6_WILD", "V6_MINI"}
_WITH_DURATION = _WITH_MODE - {"V5"}
_MODELS = {"V4", "V4_5", "V4_5PLUS", "V4_5ALL", *_WITH_MODE}
_SIMPLE = 3_000  # characters
_LENGTHS = {True: (3_000, 200), False: (5_000, 1_000)}  # of lyrics and style
_STEP = re.compile(r"-?\d+(\.\d{1,2})?")


@attrs.frozen(kw_only=True)
class Profile:
    """How one host of the family differs.

    Attributes:
        name: Of the service.
        credits_path: Where it tells the balance.
        old_codes: True where most paths use the older table of codes: 429 for no
            credits, 400 for bad parameters.
        window: Shortest and longest vocal window in seconds, None for no such rule.
        steps: True where its ends must be multiples of 0.01 s.
        signs: True where callbacks are signed.
        gone: HTTP status of expired audio.
    """

    name: str
    credits_path: str = "/api/v1/generate/credit"
    old_codes: bool = True
    window: tuple[float, float] | None = (10.0, 30.0)
    steps: bool = False
    signs: bool = False
    gone: int = 441  # seen


PROFILES = (
    Profile(name="sunoapi", window=None),
    Profile(name="sunoapi.org"),
    Profile(
        name="kie",
        credits_path="/api/v1/chat/credit",
        old_codes=False,
        steps=True,
        signs=True,
        gone=404,  # chosen
    ),
)


class Refusal(Exception):
    """The service says no.

    Attributes:
        message: Text for people.
        code: The code of the envelope.
    """

    def __init__(self, message: str, *, code: int = 422) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def invalid(message: str) -> Refusal:
    """Make the refusal of a body, by the newer table."""
    return Refusal(message)


def invalid_old(message: str) -> Refusal:
    """Make the refusal of a body, by the older table."""
    return Refusal(message, code=400)


def upstream(model: str) -> str:
    """Return the upstream's name of a model."""
    return _UPSTREAM.get(model, f"chirp-{model.lower()}")


def read_persona(body: Fields, state: State, profile: Profile) -> Song:
    """Return the song that a persona may be made of.

    Source: the specification, "Generate Persona".
    """
    job_id, track_id = body.required("taskId"), body.required("audioId")
    body.required("name")
    body.required("description")
    body.text("style")
    song = _find_song(track_id, state, job_id)
    _check_window(body, profile, song)
    if song.model == "V3_5":
        raise Refusal("only V4 and above are supported")
    return song


def _check_window(body: Fields, profile: Profile, song: Song) -> None:
    start = body.number("vocalStart", 0, math.inf)
    end = body.number("vocalEnd", 0, math.inf)
    start, end = start or 0, 30.0 if end is None else end
    if end <= start:
        raise Refusal("vocalEnd must be greater than vocalStart")
    if profile.window is None or not body.has("vocalEnd"):
        return
    if not profile.window[0] <= round(end - start, 6) <= profile.window[1]:
        raise Refusal("the segment must be 10 to 30 seconds long")
    if end > song.duration:
        raise Refusal("the segment must lie within the track")
    if profile.steps and not all(_STEP.fullmatch(f"{one:g}") for one in (start, end)):
        raise Refusal("vocalStart and vocalEnd must be multiples of 0.01")


def _find_song(track_id: str, state: State, job_id: str | None = None) -> Song:
    """Return a finished song, of this task if one is named."""
    song = state.songs.get(track_id)
    if song is None or (job_id is not None and song.job_id != job_id):
        raise Refusal("music not found", code=404)
    if state.tasks[song.job_id].stage(state.clock.now()).status != "completed":
        raise Refusal("the music is still being generated")
    if not state.is_kept(song):
        raise Refusal("the music has expired", code=404)
    return song


def read_music(body: Fields, state: State) -> Song:
    """Return what a generation orders; its ids are still empty.

    Source: the pages on generation (documented).
    """
    if body.flag("customMode") is None or body.flag("instrumental") is None:
        raise body.refuse("customMode cannot be null")
    return _read_song(body, state)


def read_extend(body: Fields, state: State) -> Song:
    """Return what the extension of a song orders.

    Source: the page on extending (documented).
    """
    source = _find_song(body.required("audioId"), state)
    own = _read_own(body, "prompt", "style", "title", "continueAt")
    if body.required("model") != source.model:
        raise body.refuse("model must be that of the source")
    _check_place(body, source.duration)
    return _read_song(body, state) if own else _inherit(body, source)


def read_upload_extend(body: Fields, state: State) -> Song:
    """Return what the extension of audio from elsewhere orders.

    Source: the page on uploading and extending (documented).
    """
    body.required("uploadUrl")
    body.address("uploadUrl")
    _read_own(body, "continueAt")
    _check_place(body, math.inf)
    return _read_song(body, state)


def _read_own(body: Fields, *needed: str) -> bool:
    own = body.flag("defaultParamFlag")
    if own is None:
        raise body.refuse("defaultParamFlag cannot be null")
    if own and not all(body.has(name) for name in needed):
        raise body.refuse(f"{', '.join(needed)} cannot be null")
    return own


def _check_place(body: Fields, length: float) -> None:
    at = body.number("continueAt", 0, math.inf)
    if at is not None and not 0 < at < length:
        raise body.refuse("continueAt must lie within the track")


def _inherit(body: Fields, source: Song) -> Song:
    _check_callback(body)
    return attrs.evolve(source, job_id="", track_id="", life=LIFE)


def read_cover(body: Fields, state: State) -> Song:
    """Return what a cover orders.

    Source: the page on uploading and covering (documented).
    """
    body.required("uploadUrl")
    body.address("uploadUrl")
    return _read_song(body, state)


def read_mashup(body: Fields, state: State) -> Song:
    """Return what a mashup orders.

    Source: the page on mashups (documented).
    """
    sources = body.values.get("uploadUrlList")
    two = 2
    if not isinstance(sources, list) or len(sources) != two:  # pyright: ignore[reportUnknownArgumentType]
        raise body.refuse("uploadUrlList must have exactly 2 addresses")
    return _read_song(body, state)


def _read_song(body: Fields, state: State) -> Song:
    model = body.required("model")
    if model not in _MODELS:
        raise body.refuse(f"unknown model {model}")
    _check_callback(body)
    custom = body.flag("customMode") is not False
    lyrics = _check_lengths(body, model, custom=custom)
    persona = _read_persona_fields(body, state, model, custom=custom)
    _check_tuning(body, model, custom=custom)
    style = body.text("style")
    return Song(
        job_id="",
        track_id="",
        title=body.text("title") or " ".join(lyrics.split()[:4]),
        style=style if custom else lyrics,
        model=model,
        persona_id=persona,
        instrumental=bool(body.flag("instrumental")),
        lyrics=lyrics,
        life=LIFE,
    )


def _check_callback(body: Fields) -> None:
    if not body.text("callBackUrl"):
        raise body.refuse("Please enter callBackUrl.")  # seen
    body.address("callBackUrl")


def _check_lengths(body: Fields, model: str, *, custom: bool) -> str:
    longest, style = _LENGTHS[model in _SHORT]
    lyrics = body.text("lyrics", most=5_000)
    lyrics = lyrics or body.text("prompt", most=longest if custom else _SIMPLE)
    body.text("style", most=style)
    body.text("title", most=100)
    if not custom and not lyrics:
        raise body.refuse("prompt cannot be null")
    if custom and body.has("customMode"):
        _check_words(body, model, lyrics)
    return lyrics


def _check_words(body: Fields, model: str, lyrics: str) -> None:
    if model.startswith("V6"):
        if not (lyrics or body.text("style") or body.text("negativeTags")):
            raise body.refuse("style, lyrics or negativeTags is required")
        return
    body.required("style")
    body.required("title")
    if not lyrics and not body.flag("instrumental"):
        raise body.refuse("prompt cannot be null")


def _read_persona_fields(
    body: Fields, state: State, model: str, *, custom: bool
) -> str | None:
    """In simple mode a persona is accepted and ignored (seen)."""
    persona = body.text("personaId")
    mode = body.choice("personaModel", "style_persona", "voice_persona")
    if not custom:
        return None
    if mode and model not in _WITH_MODE:
        raise body.refuse(f"personaModel is not supported by {model}")
    if persona and not state.knows_persona(persona):
        raise Refusal("persona not found", code=404)
    return persona or None


def _check_tuning(body: Fields, model: str, *, custom: bool) -> None:
    body.choice("vocalGender", "m", "f")
    for name in ("styleWeight", "weirdnessConstraint", "audioWeight"):
        body.number(name, 0, 1)
    seconds = body.number("duration", 10, 360)
    if seconds is not None and not (custom and model in _WITH_DURATION):
        raise body.refuse("duration is not supported here")


def read_stems(body: Fields, state: State) -> Song | None:
    """Return the song to take apart, None for audio from elsewhere.

    Source: the page on separating vocals (documented).
    """
    body.choice("type", "separate_vocal")
    _check_callback(body)
    if body.address("audioUrl"):
        return None
    return _find_song(body.required("audioId"), state, body.required("taskId"))


Reader = Callable[[Fields, State], Song]
ORDERS: Mapping[str, Reader] = {
    "generate": read_music,
    "extend": read_extend,
    "upload-cover": read_cover,
    "upload-extend": read_upload_extend,
    "mashup": read_mashup,
}
"""How the body of each operation is read."""
