"""What may be sent to MusicMint: request bodies, and the rules that they keep.

The mode is not declared: it follows from which fields are there. What the service has
no field for is refused, because it would be paid for without effect. No lengths are
published, so none are checked.
"""

from __future__ import annotations

from typing import Any

from personakit.errors import invalid
from personakit.http.messages import Json, Request, paid_request
from personakit.providers.base import unsupported
from personakit.providers.musicmint.parse import PROVIDER
from personakit.providers.suno import check_persona, find_ids, set_fields
from personakit.requests import (
    AudioFile,
    CoverRequest,
    ExtendRequest,
    JobRequest,
    MusicRequest,
    PersonaRequest,
    SongRequest,
    StemsRequest,
    UploadRequest,
)

STEM_TIMEOUT = 330.0
"""Seconds to wait for separated stems: the answer may take 300 [docs]."""

_PERSONA = "MusicMint, Create persona"
_GENERATE = "MusicMint, Generate music"
_COVER = "MusicMint, Cover"
_UPLOAD = "MusicMint, Upload"

_NO_FIELDS = (
    # [docs] What the page of generate has no field for.
    "persona_mode",
    "negative_style",
    "vocal_gender",
    "style_weight",
    "weirdness",
    "audio_weight",
    "duration",
)


def build_request(
    request: JobRequest[Any], *, callback_url: str | None, allow_undocumented: bool
) -> Request:
    """Build the paid request for any operation.

    Args:
        request: What is wanted.
        callback_url: Where the service shall report, None for nowhere.
        allow_undocumented: Whether to send what no document tells the effect of.

    Raises:
        InvalidRequest: a rule is broken; the error names it.
        Unsupported: MusicMint has no such operation.
    """
    extra: Json = {} if callback_url is None else {"callback_url": callback_url}
    match request:
        case PersonaRequest():
            return _paid("persona", build_persona(request))
        case MusicRequest():
            body = build_music(request, allow_undocumented=allow_undocumented)
            return _paid("generate", {**body, **extra})
        case ExtendRequest():
            body = build_extend(request, allow_undocumented=allow_undocumented)
            return _paid("generate", {**body, **extra})
        case CoverRequest():
            return _paid("cover", {**build_cover(request), **extra})
        case StemsRequest():
            body = build_stems(request)
            return paid_request("/api/v1/music/stem", body, STEM_TIMEOUT)
        case UploadRequest():
            return _paid("upload", build_upload(request))
        case _:
            raise unsupported(PROVIDER, request.ability)


def _paid(operation: str, body: Json) -> Request:
    return paid_request(f"/api/v1/music/{operation}", body)


def build_persona(request: PersonaRequest) -> Json:
    """Build the body that makes a persona of a clip.

    Args:
        request: Only its name and source are sent; description and style stay on the
            `Persona` that comes back. The source should have at least 30 s of clean
            singing. That of stems is no clip: upload the voice alone first.

    Raises:
        InvalidRequest: the source is of another service, or there is a window.

    Source: [spec].
    """
    if request.window is not None:
        raise invalid(
            "window",
            "has no effect on MusicMint, which learns from the whole clip",
            "Omit it, or separate the stems of that part and upload the voice",
            _PERSONA,
        )
    source = find_ids(PROVIDER, "source", request.source)
    return {"name": request.name, "clip_id": source.track_id}


def build_music(request: MusicRequest, *, allow_undocumented: bool) -> Json:
    """Build the body that generates songs, in custom or in inspiration mode.

    Raises:
        InvalidRequest: something is missing, or would be ignored.

    Source: [docs]; that a persona sings in both modes is [spec].
    """
    _check_song(request, "model", *_NO_FIELDS, source=_GENERATE)
    if request.persona is not None and request.instrumental:
        _check_documented("beside instrumental", allow=allow_undocumented)
    if request.idea is not None and request.style is not None:
        raise invalid(
            "style",
            "cannot go with idea",
            "Put the style into the idea, or pass lyrics instead of it",
            _GENERATE,
        )
    _check_words(request)
    return {**_words(request), **_voice(request)}


def build_extend(request: ExtendRequest, *, allow_undocumented: bool) -> Json:
    """Build the body that continues a clip.

    Raises:
        InvalidRequest: something is missing, or would be ignored.

    Source: [docs], generate with ``continue_clip_id``.
    """
    source = find_ids(PROVIDER, "source", request.source)
    _check_song(request, "idea", "model", *_NO_FIELDS, source=_GENERATE)
    if request.persona is not None:
        _check_documented("for a continuation", allow=allow_undocumented)
    _check_words(request)
    body = {**_words(request), **_voice(request), "continue_clip_id": source.track_id}
    if request.at is None:
        return body
    if request.at != int(request.at):
        raise invalid("at", "must be a whole second", "Round it", _GENERATE)
    return {**body, "continue_at": int(request.at)}


def build_cover(request: CoverRequest) -> Json:
    """Build the body that performs a clip anew.

    Raises:
        InvalidRequest: the source is none of MusicMint's, or something would be
            ignored: a persona most of all.

    Source: [docs].
    """
    source = find_ids(PROVIDER, "source", request.source)
    _check_song(request, "persona", "idea", *_NO_FIELDS, source=_COVER)
    if request.instrumental:
        raise _without_effect("instrumental", _COVER)
    body = {**_words(request), "cover_clip_id": source.track_id}
    return body if request.model is None else {**body, "mv": request.model}


def build_stems(request: StemsRequest) -> Json:
    """Build the body that separates the voice of a clip from the rest.

    Source: [docs].
    """
    body: Json = {"clip_id": find_ids(PROVIDER, "source", request.source).track_id}
    if request.window is None:
        return body
    return {
        **body,
        "vocal_start_s": request.window.start,
        "vocal_end_s": request.window.end,
    }


def build_upload(request: UploadRequest) -> Json:
    """Build the body that has the service fetch audio from its address.

    Raises:
        InvalidRequest: it is no address; MusicMint takes no files.

    Source: [docs].
    """
    if isinstance(request.audio, AudioFile):
        raise invalid(
            "audio",
            "must be a web address, since MusicMint takes no files",
            "Put the file where the service can fetch it",
            _UPLOAD,
        )
    return {"audio_url": request.audio}


def _check_song(request: SongRequest, *absent: str, source: str) -> None:
    for name in set_fields(request, *absent):
        raise _without_effect(name, source)
    check_persona(PROVIDER, request)


def _without_effect(field: str, source: str) -> Exception:
    return invalid(
        field,
        "has no effect on MusicMint, and the song would be paid for without it",
        "Omit it",
        source,
    )


def _check_documented(where: str, *, allow: bool) -> None:
    if not allow:
        raise invalid(
            "persona",
            f"is not documented {where}, and may be paid for without effect",
            "Omit it, or pass MusicMint(allow_undocumented=True) as the provider",
            _GENERATE,
        )


def _check_words(request: SongRequest) -> None:
    """Refuse a song of which nothing is said [docs]."""
    if not set_fields(request, "lyrics", "style", "idea"):
        raise invalid(
            "style",
            "or lyrics or idea must say what the music is like",
            "Pass one of them",
            _GENERATE,
        )


def _words(request: SongRequest) -> Json:
    words: Json = {
        "prompt": request.lyrics,
        "tags": request.style,
        "gpt_description_prompt": request.idea,
        "title": request.title,
    }
    return {name: value for name, value in words.items() if value is not None}


def _voice(request: SongRequest) -> Json:
    voice: Json = {"make_instrumental": True} if request.instrumental else {}
    if request.persona is not None:
        voice["persona_id"] = request.persona.id
    return voice
