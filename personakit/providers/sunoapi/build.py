"""What may be sent to the sunoapi family: request bodies, and the rules they keep.

The revisions of the documentation differ on models, limits and what is required. What
all of them refuse or silently ignore is refused here, before anything is sent, because
an ignored field is a paid run without effect. Everything else is left to the service.
Lengths count Unicode code points.
"""

from __future__ import annotations

import re
from typing import Any

from personakit.errors import invalid
from personakit.http.messages import Json
from personakit.models import Track
from personakit.providers.base import unsupported
from personakit.providers.suno import CUSTOM_ONLY, find_address, find_ids, set_fields
from personakit.providers.sunoapi.presets import Preset
from personakit.providers.sunoapi.songs import (
    DEFAULT_MODEL,
    build_fields,
    build_song,
    is_multiple,
    is_v6,
)
from personakit.requests import (
    CoverRequest,
    ExtendRequest,
    JobRequest,
    MashupRequest,
    MusicRequest,
    PersonaRequest,
    StemsRequest,
)

INERT_CALLBACK = "https://localhost/personakit"
"""An address for callbacks is required, but need not be reachable while jobs are read
(inferred: clients saw that of localhost, too). This one leaks nothing to anybody."""

_PERSONA = "sunoapi, Generate persona"
_EXTEND = "sunoapi, Extend music"
_MASHUP = "sunoapi, Generate mashup"
_STEMS = "sunoapi, Separate vocals"

_TOO_OLD = re.compile(r"V3|chirp-v3")
_UPSTREAM = re.compile(r"chirp-v(\d+)(?:-(\d+))?")


def build_body(
    preset: Preset, request: JobRequest[Any], callback_url: str | None
) -> tuple[str, Json]:
    """Build the path and the body of any operation but uploads.

    Args:
        preset: Of the host.
        request: What is wanted.
        callback_url: Where the service shall report; None sends an address that leads
            nowhere, because one is required.

    Raises:
        InvalidRequest: a rule is broken; the error names it.
        Unsupported: there is no such operation.
    """
    match request:
        case PersonaRequest():
            return "/api/v1/generate/generate-persona", build_persona(preset, request)
        case MusicRequest():
            path, body = "/api/v1/generate", build_song(preset, request)
        case ExtendRequest():
            path, body = build_extend(preset, request)
        case CoverRequest():
            path, body = "/api/v1/generate/upload-cover", build_cover(preset, request)
        case MashupRequest():
            path, body = "/api/v1/generate/mashup", build_mashup(preset, request)
        case StemsRequest():
            path, body = "/api/v1/vocal-removal/generate", build_stems(preset, request)
        case _:
            raise unsupported(preset.name, request.ability)
    return path, {**body, "callBackUrl": callback_url or INERT_CALLBACK}


def build_persona(preset: Preset, request: PersonaRequest) -> Json:
    """Build the body that turns one finished track into a persona.

    Args:
        preset: Of the host; its rule for windows holds.
        request: ``window`` None sends none, and the service takes the first 30 s; a
            blank ``style`` is not sent.

    Raises:
        InvalidRequest: the source is too old or of another service, or the window is
            off.

    Source: [spec]. That the source is finished, and not yet a persona, only the
    service can tell.
    """
    ids = find_ids(preset.name, "source", request.source)
    if isinstance(request.source, Track):
        _check_generation(request.source)
    _check_window(preset, request)
    body: Json = {
        "taskId": ids.job_id,
        "audioId": ids.track_id,
        "name": request.name,
        "description": request.description,
    }
    if request.window is not None:
        body["vocalStart"] = request.window.start
        body["vocalEnd"] = request.window.end
    if request.style and request.style.strip():
        body["style"] = request.style
    return body


def _check_generation(source: Track) -> None:
    if source.model and _TOO_OLD.match(source.model):
        raise invalid(
            "source",
            f"must be made by V4 or newer, not by {source.model}",
            "Use a track of a newer model",
            _PERSONA,
        )


def _check_window(preset: Preset, request: PersonaRequest) -> None:
    window, rule = request.window, preset.window
    if window is None or rule is None:
        return
    if not rule.shortest <= window.length <= rule.longest:
        raise invalid(
            "window",
            f"must be {rule.shortest:g} to {rule.longest:g} s long, not "
            f"{window.length:g} s",
            "Move its start or end, or omit it",
            rule.source,
        )
    if rule.step and any(
        not is_multiple(end, rule.step) for end in (window.start, window.end)
    ):
        raise invalid(
            "window",
            f"must start and end at multiples of {rule.step:g} s",
            "Round both",
            rule.source,
        )
    length = request.source.duration if isinstance(request.source, Track) else None
    if length is not None and window.end > length:
        raise invalid(
            "window",
            f"must end within the track, which is {length:g} s long",
            "Move its end",
            rule.source,
        )


_OWN_WORDS = ("lyrics", *CUSTOM_ONLY)


def build_extend(preset: Preset, request: ExtendRequest) -> tuple[str, Json]:
    """Build the path and the body that continue a track, or audio from elsewhere.

    ``defaultParamFlag`` true means "use the fields of this request", false "inherit
    everything", in spite of its name.

    Raises:
        InvalidRequest: something is missing, or would be ignored.

    Source: [docs].
    """
    if request.idea is not None:
        raise invalid(
            "idea", "is not known when extending", "Pass lyrics and style", _EXTEND
        )
    own = bool(set_fields(request, "at", *_OWN_WORDS)) or request.instrumental
    if isinstance(request.source, str):
        path, model = "/api/v1/generate/upload-extend", request.model or DEFAULT_MODEL
        body: Json = {"uploadUrl": request.source, "instrumental": request.instrumental}
        needed: tuple[str, ...] = ("at",)
    else:
        path, model = "/api/v1/generate/extend", _find_model(request)
        ids = find_ids(preset.name, "source", request.source)
        body, needed = {"audioId": ids.track_id}, ("lyrics", "style", "title", "at")
        _check_voiced(request)
    body |= {"defaultParamFlag": own, "model": model}
    if not own:
        return path, body
    _check_own(request, needed)
    return path, {
        **body,
        **build_fields(preset, request, model),
        "continueAt": request.at,
    }


def _check_voiced(request: ExtendRequest) -> None:
    if request.instrumental:
        raise invalid(
            "instrumental",
            "has no effect when a track is extended",
            "Omit it",
            _EXTEND,
        )


def _check_own(request: ExtendRequest, needed: tuple[str, ...]) -> None:
    for name in needed:
        if getattr(request, name) is None:
            raise invalid(
                name,
                "is needed as soon as anything is not inherited from the source",
                f"Pass {', '.join(needed)}, or none of the fields",
                _EXTEND,
            )
    if request.at == 0:
        raise invalid("at", "must be above 0", "Move it", _EXTEND)


def _find_model(request: ExtendRequest) -> str:
    """Return the model of the source, which must be used again [docs]."""
    told = request.source.model if isinstance(request.source, Track) else None
    upstream = _UPSTREAM.fullmatch(told or "")
    if upstream:
        told = "V" + "_".join(filter(None, upstream.groups()))
    model = request.model or told
    if model is None:
        raise invalid(
            "model",
            "must be that of the source, which its ids do not tell",
            "Pass the model that made the source",
            _EXTEND,
        )
    if told is not None and model != told:
        raise invalid(
            "model",
            f"must be that of the source, which is {told}",
            "Omit it",
            _EXTEND,
        )
    return model


def build_cover(preset: Preset, request: CoverRequest) -> Json:
    """Build the body that performs audio anew; the service fetches it itself.

    Raises:
        InvalidRequest: the source has no address, or something is missing or ignored.

    Source: [docs].
    """
    body = {"uploadUrl": find_address("source", request.source)}
    return {**body, **build_song(preset, request)}


def build_mashup(preset: Preset, request: MashupRequest) -> Json:
    """Build the body that blends two pieces of audio.

    Raises:
        InvalidRequest: a source has no address, or the persona would be ignored.

    Source: [docs].
    """
    model = request.model or DEFAULT_MODEL
    if request.persona is not None and not is_v6(model):
        raise invalid(
            "persona",
            "has no effect in a mashup before V6",
            "Pass model='V6', or omit it",
            _MASHUP,
        )
    sources = [
        find_address("first", request.first),
        find_address("second", request.second),
    ]
    return {"uploadUrlList": sources, **build_song(preset, request)}


def build_stems(preset: Preset, request: StemsRequest) -> Json:
    """Build the body that separates the voice of a track from the rest.

    Raises:
        InvalidRequest: there is a window, which would be ignored.

    Source: [docs]. Every call is charged again.
    """
    if request.window is not None:
        raise invalid(
            "window",
            "has no effect here: the whole track is separated",
            "Omit it",
            _STEMS,
        )
    body: Json = {"type": "separate_vocal"}
    if isinstance(request.source, str):
        return {**body, "audioUrl": request.source}
    ids = find_ids(preset.name, "source", request.source)
    return {**body, "taskId": ids.job_id, "audioId": ids.track_id}
