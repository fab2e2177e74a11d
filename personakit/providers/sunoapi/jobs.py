"""kie.ai's newer form: one path for every operation, the persona a job among others.

**Experimental.** No page of it could be read first-hand: everything here is inferred
from digests and from clients. The classic form, ``kie``, is documented.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import attrs

from personakit.decoding import Id, member, parse_json, text_member
from personakit.errors import MalformedAnswer
from personakit.http.messages import Call, Json, Request, Response, paid_request
from personakit.models import (
    Credits,
    JobState,
    Listed,
    Persona,
    Result,
    Snapshot,
    Track,
)
from personakit.providers.base import JointRead, unsupported
from personakit.providers.callbacks import KIE_JOBS_CALLBACKS, CallbackFormat
from personakit.providers.sunoapi.build import build_body
from personakit.providers.sunoapi.ids import quote_id
from personakit.providers.sunoapi.parse import (
    finish_persona,
    open_envelope,
    parse_credits,
    read,
    read_accepted,
)
from personakit.providers.sunoapi.presets import ERRORS_PERSONA, KIE, READ_ERRORS
from personakit.providers.sunoapi.records import check_same, read_failure, read_tracks
from personakit.ratelimit.limits import Limits
from personakit.receipt import Ability, Receipt
from personakit.requests import JobRequest, SongRequest

DEFAULT_MODEL = "V6"
"""The form's own default (inferred)."""

_PRESET = attrs.evolve(KIE, name="kie-jobs", files_url=None)
_MODELS = {
    Ability.PERSONA: "generate-persona",
    Ability.MUSIC: "generate",
    Ability.COVER: "upload-and-cover-audio",
    Ability.MASHUP: "mashup",
}
_STATES = {
    "waiting": JobState.QUEUED,
    "queuing": JobState.QUEUED,
    "generating": JobState.RUNNING,
    "success": JobState.COMPLETED,
    "fail": JobState.FAILED,
}
_SONGS = ("data", "sunoData")
_CAPITAL = re.compile(r"(?<=[a-z])([A-Z])")


@attrs.frozen
class _Record:
    taskId: Id  # noqa: N815 - the wire's own spelling
    state: str
    resultJson: Any = None  # noqa: N815
    failCode: Any = None  # noqa: N815
    failMsg: Any = None  # noqa: N815


@attrs.frozen
class KieJobs:
    """kie.ai by its newer form; experimental, see the module."""

    name: str = _PRESET.name
    base_url: str | None = _PRESET.base_url
    files_url: str | None = None
    key_variable: str = _PRESET.key_variable
    abilities: frozenset[Ability] = frozenset(
        {
            Ability.PERSONA,
            Ability.MUSIC,
            Ability.EXTEND,
            Ability.COVER,
            Ability.MASHUP,
            Ability.CREDITS,
        }
    )

    callbacks: CallbackFormat = KIE_JOBS_CALLBACKS
    joint: JointRead | None = None
    limits: Limits = _PRESET.limits

    def build_submit(
        self, request: JobRequest[Any], *, callback_url: str | None = None
    ) -> Call[Snapshot[Result]]:
        """Build the paid request that starts a job, whatever it is for.

        Args:
            request: Any that the service offers; the rules are those of ``kie``.
            callback_url: Optional here, so that none is sent without one.

        Raises:
            InvalidRequest: a rule is broken; the error names it.

        Source: ``POST /api/v1/jobs/createTask`` (inferred).
        """
        if request.ability not in self.abilities:
            raise unsupported(self.name, request.ability)
        if isinstance(request, SongRequest) and request.ability is not Ability.EXTEND:
            request = attrs.evolve(request, model=request.model or DEFAULT_MODEL)
        path, classic = build_body(_PRESET, request, callback_url)
        classic.pop("callBackUrl", None)
        model = _MODELS.get(request.ability) or _EXTENSIONS[path]
        body: Json = {
            "model": f"ai-music-api/{model}",
            "input": _in_snake_case(classic),
        }
        if callback_url is not None:
            body["callBackUrl"] = callback_url
        parse = partial(_parse_submit, kind=request.ability)
        return Call(paid_request("/api/v1/jobs/createTask", body), parse)

    def build_read(self, job_id: str, kind: Ability) -> Call[Snapshot[Result]]:
        """Build the request that reads a job.

        Args:
            job_id: Of any job.
            kind: What it was submitted for.

        Raises:
            InvalidRequest: `job_id` can be none of a job.

        Source: ``GET /api/v1/jobs/recordInfo`` (inferred).
        """
        request = Request("GET", f"/api/v1/jobs/recordInfo?taskId={quote_id(job_id)}")
        return Call(request, partial(_parse_record, job_id=job_id, kind=kind))

    def recall(self, _: Receipt, /) -> Snapshot[Result] | None:
        """Return None: every job can be read again."""
        return None

    def build_credits(self) -> Call[Credits]:
        """Build the request that reads the balance, as on ``kie`` [docs]."""
        request = Request("GET", _PRESET.credits_path)
        return Call(request, partial(parse_credits, preset=_PRESET))

    def build_jobs(self, _: int, /) -> Call[tuple[Listed, ...]]:
        """Refuse: no list is known."""
        raise unsupported(self.name, Ability.JOBS)

    def build_track(self, _: str, /) -> Call[Track]:
        """Refuse: tracks are told of by their job only."""
        raise unsupported(self.name, Ability.TRACK)


_EXTENSIONS = {
    "/api/v1/generate/extend": "extend",
    "/api/v1/generate/upload-extend": "upload-and-extend-audio",
}


def _in_snake_case(body: Json) -> Json:
    return {_CAPITAL.sub(r"_\1", name).lower(): body[name] for name in body}


def _parse_submit(response: Response, *, kind: Ability) -> Snapshot[Result]:
    """Read the id of the new job, or of the persona where the answer brings it."""

    def finish(envelope: object) -> Snapshot[Result]:
        data = member(envelope, "data")
        made = _find_persona(data) if kind is Ability.PERSONA else None
        return read_accepted(envelope) if made is None else _finish(made)

    table = ERRORS_PERSONA if kind is Ability.PERSONA else _PRESET.errors
    return read(_PRESET.name, table, response, finish, paid=True)


def _finish(persona_id: str) -> Snapshot[Result]:
    return finish_persona(persona_id, _PRESET.name)


def _parse_record(
    response: Response, *, job_id: str, kind: Ability
) -> Snapshot[Result]:
    finish = partial(_read_record, job_id=job_id, kind=kind)
    table = (*READ_ERRORS, *_PRESET.errors)
    return read(_PRESET.name, table, response, finish, paid=False)


def _read_record(envelope: object, *, job_id: str, kind: Ability) -> Snapshot[Result]:
    record = open_envelope(envelope, _Record)
    check_same(record.taskId, job_id)
    state = _STATES.get(record.state, JobState.RUNNING)
    failure = read_failure(_PRESET.name, record.state, record.failCode, record.failMsg)
    return Snapshot(
        record.taskId,
        state,
        service_state=record.state,
        is_known_state=record.state in _STATES,
        result=_read_result(record, kind) if state is JobState.COMPLETED else None,
        failure=failure if state is JobState.FAILED else None,
    )


def _read_result(record: _Record, kind: Ability) -> Persona | tuple[Track, ...]:
    told: object = record.resultJson
    if isinstance(told, str):
        told = parse_json(told.encode())
    if kind is Ability.PERSONA:
        made = _find_persona(told)
        if made is None:
            path = "$.data.resultJson"
            raise MalformedAnswer(f"{path} has no persona.", path=path)
        return Persona(made, _PRESET.name)
    songs = told
    for name in _SONGS:
        songs = member(told, name) or songs
    return read_tracks(
        _list(songs),
        at="$.data.resultJson.data",
        job_id=record.taskId,
        provider=_PRESET.name,
        life=_PRESET.link_life,
    )


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _find_persona(value: object) -> str | None:
    """Find a persona's id at any depth: where it stands is not published."""
    for inner in _walk(value):
        for name in ("persona_id", "personaId"):
            if found := (text_member(inner, name) or "").strip():
                return found
    return None


def _walk(value: object) -> Iterator[object]:
    """Yield a JSON value and everything in it."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        yield value
        if isinstance(value, dict):
            waiting += cast("Json", value).values()
        elif isinstance(value, list):
            waiting += cast("list[object]", value)
