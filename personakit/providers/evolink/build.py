"""What may be sent to Evolink: request bodies, and the rules that they keep.

The generations of the vendor's documentation differ on music. What all of them refuse
or silently ignore is refused here, before anything is sent, because an ignored field
is a paid run without effect. Everything else is left to the service. Lengths count
Unicode code points, the most generous reading of a rule that does not say.
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from personakit.errors import InvalidRequest, invalid
from personakit.http.messages import Json
from personakit.models import Track, VocalWindow
from personakit.providers.base import unsupported
from personakit.providers.evolink.parse import JOB_ID, PERSONA_MODEL, PROVIDER
from personakit.providers.suno import (
    CUSTOM_ONLY,
    check_length,
    check_persona,
    find_ids,
    set_fields,
)
from personakit.requests import JobRequest, MusicRequest, PersonaRequest

DEFAULT_MODEL = "suno-v5-beta"
"""[music] Recommended, and one that every generation lets use personas."""

_SPEC = "Evolink, Suno Persona creation"
_MUSIC = "Evolink, Suno music generation"

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_GENERATION = re.compile(r"suno-v(\d+)")

_OLDEST_SOURCE = 4  # [spec] generation of the model that made a persona's source
_WINDOW = (10, 30)  # [spec] seconds, both ends allowed
_TITLE = 80  # [music] characters
_IDEA = 3000  # [music] characters; an older generation said 500
_DURATION = (10, 360)  # [music] seconds


@attrs.frozen
class _Model:
    """[music] Limits of a model in characters, and what it can do."""

    lyrics: int
    style: int
    takes_voice: bool
    takes_duration: bool


_V4 = _Model(3000, 200, takes_voice=False, takes_duration=False)
_V4_5 = _Model(5000, 1000, takes_voice=False, takes_duration=False)
_V5 = _Model(5000, 1000, takes_voice=True, takes_duration=False)
_V5_5 = _Model(5000, 1000, takes_voice=True, takes_duration=True)
_MODELS = {
    # [music] A name means the same with and without "-beta" at its end.
    "suno-v4": _V4,
    "suno-v4.5": _V4_5,
    "suno-v4.5plus": _V4_5,
    "suno-v4.5all": _V4_5,
    "suno-v5": _V5,
    "suno-v5.5": _V5_5,
    "suno-v6": _V5_5,
    "suno-v6-mini": _V5_5,
    "suno-v6-wild": _V5_5,
}


def build_body(request: JobRequest[Any]) -> Json:
    """Build the body of ``POST /v1/audios/generations``.

    Raises:
        InvalidRequest: a rule is broken; the error names it.
        Unsupported: Evolink has no such operation.
    """
    match request:
        case PersonaRequest():
            return build_persona(request)
        case MusicRequest():
            return build_music(request)
        case _:
            raise unsupported(PROVIDER, request.ability)


def check_job_id(field: str, job_id: str) -> None:
    """Refuse an id that is none of a task: Evolink answers 400 to it [tasks]."""
    if not JOB_ID.fullmatch(job_id):
        raise invalid(
            field,
            "must be the id of a task, which begins with 'task-unified-'",
            "Pass the job_id of an Evolink job",
            "Evolink, task detail",
        )


def build_persona(request: PersonaRequest) -> Json:
    """Build the body that turns one finished track into a persona.

    Args:
        request: ``window`` is 10 to 30 s long, or None to send none; a blank
            ``style`` is not sent, since the service ignores it.

    Raises:
        InvalidRequest: the source cannot be one of Evolink's, or the window is off.

    Source: [spec]. That the source is finished, the caller's own, no persona task and
    not yet a persona, only the service can tell.
    """
    _check_source(request)
    params: Json = {
        "source_task_id": request.source_ref.job_id,
        "result_id": request.source_ref.track_id,
        "name": request.name,
        "description": request.description,
    }
    if request.window is not None:
        _check_window(request.window)
        params["vocal_start"] = request.window.start
        params["vocal_end"] = request.window.end
    if request.style and request.style.strip():
        params["style"] = request.style
    return {"model": PERSONA_MODEL, "model_params": params}


def _check_source(request: PersonaRequest) -> None:
    source = find_ids(PROVIDER, "source", request.source)
    check_job_id("source.job_id", source.job_id)
    if not _UUID.fullmatch(source.track_id):
        raise invalid(
            "source.track_id",
            "must be a UUID, the result_id of one song",
            "Pass a Track, or TrackRef(job_id, track_id) with its ids",
            _SPEC,
        )
    if isinstance(request.source, Track):
        made_by = _GENERATION.match(request.source.model or "")
        if made_by and int(made_by[1]) < _OLDEST_SOURCE:
            raise invalid(
                "source",
                f"must be made by suno-v{_OLDEST_SOURCE} or newer",
                "Generate the track again with a newer model",
                _SPEC,
            )


def _check_window(window: VocalWindow) -> None:
    shortest, longest = _WINDOW
    if not shortest <= window.length <= longest:
        raise invalid(
            "window",
            f"must be {shortest} to {longest} s long, not {window.length:g} s",
            "Move its start or end, or omit it",
            _SPEC,
        )


def build_music(request: MusicRequest) -> Json:
    """Build the body that generates songs.

    `idea` makes a request in simple mode, everything else one in custom mode, the
    only one that knows personas.

    Raises:
        InvalidRequest: something is missing, too long, or would be ignored.

    Source: [music].
    """
    model = request.model or DEFAULT_MODEL
    _check_model(model)
    if request.idea is not None:
        return _build_simple(request, model, request.idea)
    return _build_custom(request, model)


def _check_model(model: str) -> None:
    if not _GENERATION.match(model):
        raise invalid(
            "model",
            "must be a Suno music model",
            f"Omit it for {DEFAULT_MODEL}, or pass one of {', '.join(_MODELS)}",
            _MUSIC,
        )


def _build_simple(request: MusicRequest, model: str, idea: str) -> Json:
    if ignored := set_fields(request, *CUSTOM_ONLY):
        raise invalid(
            ignored[0],
            "has no effect beside idea, where the song would be made and paid "
            "without it",
            "Pass lyrics, style and title instead of idea, or omit it",
            _MUSIC,
        )
    check_length("idea", idea, _IDEA, _MUSIC)
    return {
        "model": model,
        "custom_mode": False,
        "instrumental": request.instrumental,
        "prompt": idea,
    }


def _build_custom(request: MusicRequest, model: str) -> Json:
    _check_custom(request, model)
    optional: Json = {
        "prompt": request.lyrics,
        "negative_tags": request.negative_style,
        "vocal_gender": request.vocal_gender and request.vocal_gender[0],
        "style_weight": request.style_weight,
        "weirdness_constraint": request.weirdness,
        "audio_weight": request.audio_weight,
        "persona_id": request.persona and request.persona.id,
        "persona_model": request.persona_mode and f"{request.persona_mode}_persona",
        "duration": request.duration and int(request.duration),
    }
    return {
        "model": model,
        "custom_mode": True,
        "instrumental": request.instrumental,
        "style": request.style,
        "title": request.title,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _check_custom(request: MusicRequest, model: str) -> None:
    for field in ("style", "title"):
        if getattr(request, field) is None:
            raise invalid(
                field,
                "is needed with lyrics, an instrumental or a persona",
                "Pass style and title, or describe the song by idea alone",
                _MUSIC,
            )
    check_length("title", request.title, _TITLE, _MUSIC)
    check_persona(PROVIDER, request)
    # A model that this table does not know yet is the service's to judge.
    known = _MODELS.get(model.removesuffix("-beta"))
    if known is not None:
        check_length("lyrics", request.lyrics, known.lyrics, _MUSIC)
        check_length("style", request.style, known.style, _MUSIC)
        if request.persona_mode == "voice" and not known.takes_voice:
            raise _too_old("persona_mode", model, "suno-v5-beta")
        if request.duration is not None and not known.takes_duration:
            raise _too_old("duration", model, "suno-v5.5-beta")
    if request.duration is not None:
        _check_duration(request.duration)


def _too_old(field: str, model: str, needed: str) -> InvalidRequest:
    return invalid(
        field,
        f"is not possible with {model}",
        f"Use {needed} or newer, or change {field}",
        _MUSIC,
    )


def _check_duration(seconds: float) -> None:
    shortest, longest = _DURATION
    if seconds != int(seconds) or not shortest <= seconds <= longest:
        raise invalid(
            "duration",
            f"must be a whole number of seconds from {shortest} to {longest}",
            "Round it, or omit it",
            _MUSIC,
        )
