"""One request as one line of JSON, as people and programs write it."""

from __future__ import annotations

import json
from typing import Any, NoReturn, cast

import attrs

from personakit.errors import InvalidRequest, refuse
from personakit.models import Persona, TrackRef
from personakit.receipt import Ability
from personakit.requests import (
    CoverRequest,
    ExtendRequest,
    JobRequest,
    MusicRequest,
    PersonaRequest,
    StemsRequest,
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
        raise refuse(f"line {number}", "must be a JSON object", "Mend it")
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
    raise refuse(f"line {number}, {field}:", rule, "Mend the line")
