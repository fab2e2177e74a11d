"""What MusicMint's answers mean: one envelope, one error table, and the results.

The envelope's ``code`` decides, whatever the HTTP status. A task that failed still
comes under code 0: there the task's ``status`` decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from personakit.decoding import Id, member, parse_json, structure, text_member
from personakit.errors import (
    AuthenticationError,
    InsufficientCredits,
    InvalidRequest,
    MalformedAnswer,
    NotFound,
    PersonaKitError,
    RateLimited,
    ServiceUnavailable,
)
from personakit.http.messages import Response
from personakit.models import (
    JobState,
    Persona,
    Result,
    Snapshot,
    Stems,
    Track,
)
from personakit.providers.answers import AnswerReader, ErrorRule, ServiceError
from personakit.receipt import JOB_ID_LIMIT, Ability
from personakit.validation import number_or_none

S = TypeVar("S")
T = TypeVar("T")

PROVIDER = "musicmint"

_READY = "complete"  # [spec] of a persona, [docs] of stems
_UPLOAD_READY = 1  # [docs]


def _family(first: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(first, first + 1000))


_ERRORS = (
    ErrorRule(
        ("1003", "1004"), AuthenticationError
    ),  # [docs] key disabled, key deleted
    ErrorRule(("4005",), NotFound),  # [docs] result expired
    # Which HTTP status goes with a code is not told; these speak for themselves.
    ErrorRule((401,), AuthenticationError),  # inferred
    ErrorRule((402,), InsufficientCredits),  # inferred
    ErrorRule((425, 429), RateLimited, retry_safe=True),  # inferred
    ErrorRule(
        (405,), ServiceUnavailable, retry_safe=True, paid=False
    ),  # the other verb
    # The families that the known codes belong to. Keys are checked before anything is
    # done, and what is asked for before it is made.
    ErrorRule(_family(1000), AuthenticationError),  # inferred
    ErrorRule(_family(4000), InvalidRequest, paid=True),  # inferred
    # A task may be unknown for a moment after it was made.
    ErrorRule(_family(4000), NotFound, paid=False),  # inferred
)


# The wire's shapes; `Any` where a change must not cost anybody a result.


@attrs.frozen
class _Item:
    id: Id
    status: Any = None


@attrs.frozen
class _Personas:
    items: list[_Item]


@attrs.frozen
class _Accepted:
    task_id: Id
    status: Any = None


@attrs.frozen
class _Stem:
    id: Id
    vocal_audio_url: Id
    status: Any = None
    vocal_start_s: Any = None
    vocal_end_s: Any = None


@attrs.frozen
class _Upload:
    clipId: Id  # noqa: N815 - the wire's own spelling
    audioUrl: Any = None  # noqa: N815
    duration: Any = None
    status: Any = None


def is_good(_: int, data: object) -> bool:
    """Tell whether the envelope says that all went well [spec]."""
    code = member(data, "code")
    return type(code) is int and code == 0


def find_error(data: object) -> ServiceError:
    """Read ``{"code", "message", "request_id"}`` as far as it is there.

    The codes are the service's own and no HTTP statuses.
    """
    code = member(data, "code")
    is_refusal = type(code) is int and code != 0
    return ServiceError(
        code=str(code) if is_refusal else None, message=text_member(data, "message")
    )


_reader = AnswerReader(PROVIDER, _ERRORS, find_error, is_good)


def open_envelope(envelope: object, shape: type[S]) -> S:
    """Return what an envelope holds."""
    return structure(member(envelope, "data"), shape, at="$.data")


def read(response: Response, finish: Callable[[object], T], *, paid: bool) -> T:
    """Read an answer; errors carry the ``request_id`` of the envelope [spec]."""
    try:
        return _reader.read(response, finish, paid=paid)
    except PersonaKitError as error:
        if error.request_id is None:
            error.request_id = _find_request_id(response)
        raise


def _find_request_id(response: Response) -> str | None:
    try:
        return text_member(parse_json(response.body), "request_id")
    except MalformedAnswer:
        return None


def parse_submit(response: Response) -> Snapshot[Result]:
    """Read the answer to a paid request that starts a task.

    Raises:
        OutcomeUnknown: the answer proves neither a job nor a refusal.

    Source: [docs].
    """
    return read(response, _read_accepted, paid=True)


def _read_accepted(envelope: object) -> Snapshot[Result]:
    accepted = open_envelope(envelope, _Accepted)
    if len(accepted.task_id) > JOB_ID_LIMIT:
        raise MalformedAnswer("$.data.task_id is too long.", path="$.data.task_id")
    word = accepted.status if isinstance(accepted.status, str) else "queuing"
    # Whatever the status says already, the first reading decides.
    return Snapshot(accepted.task_id, JobState.QUEUED, service_state=word)


def parse_at_once(response: Response, *, kind: Ability) -> Snapshot[Result]:
    """Read the answer to a paid request that brings the result itself.

    The result was made and paid for, and is told only here: a status that is not
    "ready" does not take it from the caller.

    Args:
        response: The answer.
        kind: What was asked for: a persona, stems or an upload.

    Raises:
        OutcomeUnknown: the answer proves neither a result nor a refusal.

    Source: [spec] for personas, [docs] for stems and uploads.
    """
    return read(response, _AT_ONCE[kind], paid=True)


def finish_at_once(
    result: Persona | Stems | Track, status: object = _READY, ready: object = _READY
) -> Snapshot[Result]:
    """Make the final snapshot of what needs no waiting.

    Args:
        result: What was made; its id is that by which its receipt finds it again.
        status: The service's own word or number for its state.
        ready: What that should be.
    """
    made = _find_id(result)
    return Snapshot(
        made if len(made) <= JOB_ID_LIMIT else "",
        JobState.COMPLETED,
        service_state=str(status),
        is_known_state=status == ready,
        result=result,
    )


def _find_id(result: Persona | Stems | Track) -> str:
    if isinstance(result, Persona):
        return result.id
    return (result.vocals if isinstance(result, Stems) else result).track_id


def _read_persona(envelope: object) -> Snapshot[Result]:
    items = open_envelope(envelope, _Personas).items
    if not items:
        raise MalformedAnswer("$.data.items has no persona.", path="$.data.items")
    item = next((item for item in items if item.status == _READY), items[0])
    return finish_at_once(Persona(item.id, PROVIDER), item.status)


def _read_stems(envelope: object) -> Snapshot[Result]:
    stem = open_envelope(envelope, _Stem)
    start = number_or_none(stem.vocal_start_s)
    end = number_or_none(stem.vocal_end_s)
    vocals = Track(
        PROVIDER,
        stem.id,
        stem.id,
        audio_url=stem.vocal_audio_url,
        duration=None if start is None or end is None else end - start,
    )
    return finish_at_once(Stems(vocals), stem.status)


def _read_upload(envelope: object) -> Snapshot[Result]:
    upload = open_envelope(envelope, _Upload)
    track = Track(
        PROVIDER,
        upload.clipId,
        upload.clipId,
        audio_url=upload.audioUrl if isinstance(upload.audioUrl, str) else None,
        duration=number_or_none(upload.duration),
    )
    return finish_at_once(track, upload.status, _UPLOAD_READY)


_AT_ONCE: dict[Ability, Callable[[object], Snapshot[Result]]] = {
    Ability.PERSONA: _read_persona,
    Ability.STEMS: _read_stems,
    Ability.UPLOAD: _read_upload,
}
