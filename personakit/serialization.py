"""Requests, results and failures as text, for keeping: they are read back as they were.

Unlike answers of services, this is our own writing. A text that cannot be read (by a
version that did not know a field yet, say) is as good as none: it helps to finish what
was begun, and nothing depends on it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import UTC, datetime
from typing import Any, NoReturn, cast

import attrs
import cattrs

from personakit import errors
from personakit.decoding import Id, parse_json, structure
from personakit.errors import InvalidRequest, MalformedAnswer, PersonaKitError, invalid
from personakit.models import Persona, Result, Stems, Track, TrackRef
from personakit.receipt import JOB_ID_LIMIT, JOB_KINDS, TOKEN_VERSION, Ability, Receipt
from personakit.requests import (
    AudioFile,
    CoverRequest,
    ExtendRequest,
    JobRequest,
    MashupRequest,
    MusicRequest,
    PersonaRequest,
    Source,
    StemsRequest,
    UploadRequest,
)

SHAPES: dict[str, type[JobRequest[Any]]] = {
    shape.ability.value: shape
    for shape in (
        MusicRequest,
        PersonaRequest,
        ExtendRequest,
        CoverRequest,
        StemsRequest,
    )
}


def read_line(text: str, number: int, provider: str) -> JobRequest[Any]:
    """Read a request like ``{"kind": "music", "idea": "a rainy night"}``.

    Args:
        text: The line. ``kind`` is that of a song where it is missing; a ``persona`` is
            the id of one, a ``source`` an address or ``{"job_id", "track_id"}``.
        number: Of the line, from 1, for errors.
        provider: The service, whose personas are meant.

    Raises:
        InvalidRequest: it is none; line and field are named.
    """
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise invalid(f"line {number}", "must be a JSON object", "Mend it")
    members = {**cast("dict[str, Any]", fields)}
    kind = members.pop("kind", Ability.MUSIC.value)
    shape = SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None:
        _refuse(number, "kind", f"must be one of {', '.join(SHAPES)}")
    known = {field.name: field for field in attrs.fields(cast("Any", shape))}
    for name in members.keys() - known.keys():
        _refuse(number, name, f"is no field of {kind}")
    for name, field in known.items():
        if field.default is attrs.NOTHING and name not in members:
            _refuse(number, name, "is missing")
    try:
        _build_parts(members, provider)
        return shape(**members)
    except InvalidRequest as error:
        _refuse(number, error.field or "", error.rule or error.message)
    except TypeError:
        _refuse(number, "source", "must have a job_id and a track_id")


def _build_parts(members: dict[str, Any], provider: str) -> None:
    """Turn ids into what requests take."""
    if isinstance(members.get("persona"), str):
        members["persona"] = Persona(members["persona"], provider)
    if isinstance(members.get("source"), dict):
        members["source"] = TrackRef(**members["source"])


def _refuse(number: int, field: str, rule: str) -> NoReturn:
    raise invalid(f"line {number}, {field}:", rule, "Mend the line")


_REQUESTS: dict[Ability, type[JobRequest[Any]]] = {
    shape.ability: shape
    for shape in (
        PersonaRequest,
        MusicRequest,
        ExtendRequest,
        CoverRequest,
        MashupRequest,
        StemsRequest,
        UploadRequest,
    )
}
_RESULTS: dict[Ability, Any] = {
    Ability.PERSONA: Persona,
    Ability.STEMS: Stems,
    Ability.UPLOAD: Track,
}
_TRACKS = tuple[Track, ...]
_KEPT_OF_FAILURES = (
    "message",
    "charged",
    "retry_safe",
    "provider",
    "code",
    "status",
    "request_id",
    "retry_after",
    "persona_id",
)
_log = logging.getLogger("personakit")


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(omit_if_default=True)
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_structure_hook(datetime, _read_moment)
    for union in (Source, Track | TrackRef, str | AudioFile):
        converter.register_structure_hook(union, _read_source)
    return converter


def _read_moment(text: str, _: object) -> datetime:
    return datetime.fromisoformat(text)


def _read_source(value: str | dict[str, Any], _: object) -> Source:
    if isinstance(value, str):
        return value
    shape = Track if "provider" in value else TrackRef
    return cast("Source", _converter.structure(value, shape))


_converter = _make_converter()


def dump(value: JobRequest[Any] | Result | None) -> str | None:
    """Return a request or a result as JSON text.

    None for None, and for an upload of a file, which would be too large to keep.
    """
    if value is None or isinstance(getattr(value, "audio", None), AudioFile):
        return None
    # In ASCII, so that no store stumbles over what is no whole character.
    return json.dumps(_converter.unstructure(value))


def make_fingerprint(request: JobRequest[Any]) -> str:
    """Return a digest by which two requests are known to ask for the same."""
    text = dump(request)
    audio = getattr(request, "audio", None)
    if text is None and isinstance(audio, AudioFile):
        text = audio.name + hashlib.sha256(audio.content).hexdigest()
    return hashlib.sha256(f"{request.ability} {text}".encode()).hexdigest()[:32]


def dump_failure(failure: PersonaKitError) -> str:
    """Return why a job failed as JSON text, without its receipt."""
    members = {name: getattr(failure, name) for name in _KEPT_OF_FAILURES}
    return json.dumps({"error": type(failure).__name__, **members})


def load_failure(text: str) -> PersonaKitError:
    """Read a failure back; one of an unknown kind is a `JobFailed`."""
    try:
        members = json.loads(text)
        name = members.pop("error")
        shape = getattr(errors, name, errors.JobFailed)
        return cast("PersonaKitError", shape(**members))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        _log.warning("A kept failure cannot be read by this version")
        return errors.JobFailed("The job failed, for a reason that cannot be read.")


def load_request(kind: Ability, text: str | None) -> JobRequest[Any] | None:
    """Read a request back, None where there is none that can be read."""
    return cast("JobRequest[Any] | None", _load(_REQUESTS[kind], text))


def load_result(kind: Ability, text: str | None) -> Result | None:
    """Read a result back, None where there is none that can be read."""
    return cast("Result | None", _load(_RESULTS.get(kind, _TRACKS), text))


def _load(shape: Any, text: str | None) -> object:
    if text is None:
        return None
    try:
        return _converter.structure(json.loads(text), shape)
    except (
        ValueError,
        TypeError,
        RecursionError,
        cattrs.BaseValidationError,
        InvalidRequest,
    ):
        _log.warning("A kept request or result cannot be read by this version")
        return None


@attrs.frozen
class _Token:
    v: int
    provider: Id
    kind: str
    key: Id
    at: int
    job: Id | None = None


def parse_token(token: str) -> Receipt:
    """Read a receipt from its token.

    Raises:
        InvalidRequest: it is no token, or one of a newer version.
    """
    try:
        raw = structure(parse_json(token.encode()), _Token)
        kind = Ability(raw.kind)
        if raw.v != TOKEN_VERSION or len(raw.job or "") > JOB_ID_LIMIT:
            raise ValueError(raw.v)
        if kind not in JOB_KINDS:
            raise ValueError(raw.kind)
        at = datetime.fromtimestamp(raw.at, UTC)
        return Receipt(raw.provider, kind, raw.key, at, raw.job)
    except (MalformedAnswer, ValueError, OverflowError, OSError):
        raise invalid(
            "token",
            f"must be a receipt of version {TOKEN_VERSION}",
            "Pass job.token, error.receipt.token or a Receipt, unchanged",
        ) from None
