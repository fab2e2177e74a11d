"""How a song is told to the sunoapi family: its fields, and what models can do."""

from __future__ import annotations

import attrs

from personakit.errors import InvalidRequest, invalid
from personakit.http.messages import Json
from personakit.providers.suno import (
    CUSTOM_ONLY,
    check_length,
    check_persona,
    set_fields,
)
from personakit.providers.sunoapi.presets import Preset
from personakit.requests import SongRequest

DEFAULT_MODEL = "V5"
"""[docs] The newest model that every revision and every host knows."""

_MUSIC = "sunoapi, Generate music"

_IDEA = 3000  # [docs] characters; 500 in older revisions
_DURATION = (10, 360)  # [docs] seconds


@attrs.frozen
class _Model:
    """[docs] Limits of a model in characters, and what it can do."""

    lyrics: int = 5000
    style: int = 1000
    takes_mode: bool = False
    takes_duration: bool = False
    is_v6: bool = False


_V4_5 = _Model()
_V6 = _Model(takes_mode=True, takes_duration=True, is_v6=True)
_MODELS = {
    # [docs]
    "V4": _Model(lyrics=3000, style=200),
    "V4_5": _V4_5,
    "V4_5PLUS": _V4_5,
    "V4_5ALL": _V4_5,
    "V5": _Model(takes_mode=True),
    "V5_5": _Model(takes_mode=True, takes_duration=True),
    "V6": _V6,
    "V6_WILD": _V6,
    "V6_MINI": _V6,
}


def is_v6(model: str) -> bool:
    """Tell whether a model is known to be of the V6 family."""
    known = _MODELS.get(model)
    return known is not None and known.is_v6


def build_song(preset: Preset, request: SongRequest) -> Json:
    """Build what every body for new tracks has in common.

    `idea` makes a request in simple mode, everything else one in custom mode, the only
    one that knows personas: beside an idea a persona was seen to be ignored (inferred).

    Raises:
        InvalidRequest: something is missing, too long, or would be ignored.

    Source: [docs].
    """
    model = request.model or DEFAULT_MODEL
    if request.idea is None:
        body = _build_custom(preset, request, model)
    else:
        body = _build_simple(request, request.idea)
    return {**body, "model": model, "instrumental": request.instrumental}


def _build_simple(request: SongRequest, idea: str) -> Json:
    for name in set_fields(request, *CUSTOM_ONLY):
        raise invalid(
            name,
            "has no effect beside idea, where the song would be made and paid "
            "without it",
            "Pass lyrics, style and title instead of idea, or omit it",
            _MUSIC,
        )
    check_length("idea", idea, _IDEA, _MUSIC)
    return {"customMode": False, "prompt": idea}


def _build_custom(preset: Preset, request: SongRequest, model: str) -> Json:
    if is_v6(model):
        _check_some_words(request)
    else:
        _check_all_words(request)
    return {"customMode": True, **build_fields(preset, request, model)}


def _check_all_words(request: SongRequest) -> None:
    """Custom mode up to V5_5 [docs]; unknown models are taken for such."""
    needed = (
        ("style", "title") if request.instrumental else ("style", "title", "lyrics")
    )
    for name in needed:
        if getattr(request, name) is None:
            raise invalid(
                name,
                "is needed beside the other two of style, title and lyrics",
                "Pass it, or describe the song by idea alone",
                _MUSIC,
            )


def _check_some_words(request: SongRequest) -> None:
    """Custom mode of the V6 family [docs]."""
    if not set_fields(request, "style", "lyrics", "negative_style"):
        raise invalid(
            "style",
            "or lyrics or negative_style is needed",
            "Pass one of them, or describe the song by idea alone",
            _MUSIC,
        )


def build_fields(preset: Preset, request: SongRequest, model: str) -> Json:
    """Return every field of a song that custom mode knows.

    Raises:
        InvalidRequest: a field is too long, or not for this model.

    Source: [docs].
    """
    _check_song(preset, request, model)
    fields: Json = {
        "prompt": request.lyrics,
        # V6 lets its own field win over the older one.
        "lyrics": request.lyrics if is_v6(model) else None,
        "style": request.style,
        "title": request.title,
        "negativeTags": request.negative_style,
        "vocalGender": request.vocal_gender and request.vocal_gender[0],
        "styleWeight": request.style_weight,
        "weirdnessConstraint": request.weirdness,
        "audioWeight": request.audio_weight,
        "personaId": request.persona and request.persona.id,
        "personaModel": request.persona_mode and f"{request.persona_mode}_persona",
        "duration": request.duration,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _check_song(preset: Preset, request: SongRequest, model: str) -> None:
    check_persona(preset.name, request)
    check_length("title", request.title, preset.longest_title, _MUSIC)
    for name in set_fields(request, "style_weight", "weirdness", "audio_weight"):
        if not is_multiple(getattr(request, name), 0.01):
            raise invalid(name, "must have at most two decimals", "Round it", _MUSIC)
    low, high = _DURATION
    if request.duration is not None and not low <= request.duration <= high:
        raise invalid(
            "duration", f"must be {low} to {high} s", "Change or omit it", _MUSIC
        )
    # A model that this table does not know is the service's to judge.
    if (known := _MODELS.get(model)) is not None:
        _check_model(request, known, model)


def _check_model(request: SongRequest, known: _Model, model: str) -> None:
    check_length("lyrics", request.lyrics, known.lyrics, _MUSIC)
    check_length("style", request.style, known.style, _MUSIC)
    if request.persona_mode is not None and not known.takes_mode:
        raise _too_old("persona_mode", model, "V5")
    if request.duration is not None and not known.takes_duration:
        raise _too_old("duration", model, "V5_5")


def _too_old(field: str, model: str, needed: str) -> InvalidRequest:
    return invalid(
        field,
        f"is not possible with {model}",
        f"Use {needed} or newer, or omit {field}",
        _MUSIC,
    )


def is_multiple(value: float, step: float) -> bool:
    """Tell whether a value is a multiple, free of the noise of binary fractions."""
    return round(round(value / step) * step, 6) == round(value, 6)
