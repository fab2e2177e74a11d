"""What the sunoapi family's answers mean: envelope, results, and ends of jobs.

The envelope's ``code`` outranks the HTTP status, which is 200 for most refusals. The
same number means different things on different paths, so each path has its table.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar

import attrs

from personakit.decoding import Id, member, parse_json, structure, text_member
from personakit.errors import (
    MalformedAnswer,
    PersonaExists,
)
from personakit.http.messages import Response
from personakit.models import (
    Credits,
    JobState,
    Persona,
    Result,
    Snapshot,
    Track,
)
from personakit.providers.answers import AnswerReader, ErrorRule, ServiceError
from personakit.providers.sunoapi.presets import ERRORS_PERSONA, READ_ERRORS, Preset
from personakit.receipt import JOB_ID_LIMIT
from personakit.validation import moment_or_none, number_or_none

S = TypeVar("S")
T = TypeVar("T")

_GOOD = {200, 0}  # [spec]; 0 stands in one blank sample (inferred)
_EARLIEST_ZONE = timezone(timedelta(hours=8))
_UPLOAD_LIFE = timedelta(hours=24)  # [docs] 24 hours or 3 days, by page


# The wire's shapes; `Any` where a change must not cost anybody a result.


@attrs.frozen
class _Made:
    personaId: Id  # noqa: N815 - the wire's own spelling


@attrs.frozen
class _Accepted:
    taskId: Id  # noqa: N815


@attrs.frozen
class _Balance:
    data: float


@attrs.frozen
class _File:
    downloadUrl: Id  # noqa: N815
    fileId: str | None = None  # noqa: N815
    filePath: str | None = None  # noqa: N815
    uploadedAt: Any = None  # noqa: N815


def is_good(_: int, data: object) -> bool:
    """Tell whether the envelope says that all went well [spec]."""
    code = member(data, "code")
    return type(code) is int and code in _GOOD


def find_error(data: object) -> ServiceError:
    """Read ``{"code", "msg", "data"}`` as far as it is there."""
    code = member(data, "code")
    if type(code) is not int or code in _GOOD:
        return ServiceError(message=text_member(data, "msg"))
    return ServiceError(code=str(code), status=code, message=text_member(data, "msg"))


def read(
    preset_name: str,
    table: tuple[ErrorRule, ...],
    response: Response,
    finish: Callable[[object], T],
    *,
    paid: bool,
) -> T:
    """Read an answer by the table of its path."""
    reader = AnswerReader(preset_name, table, find_error, is_good)
    return reader.read(response, finish, paid=paid)


def open_envelope(envelope: object, shape: type[S]) -> S:
    """Return what an envelope holds."""
    return structure(member(envelope, "data"), shape, at="$.data")


def parse_persona(response: Response, *, name: str) -> Snapshot[Result]:
    """Read the persona that the answer itself brings.

    Args:
        response: The answer; the only place where the id is ever shown.
        name: Of the service.

    Raises:
        PersonaExists: the track is a persona already; with its id if the answer has
            one, which no example does.
        OutcomeUnknown: the answer proves neither a persona nor a refusal.

    Source: [spec].
    """

    def finish(envelope: object) -> Snapshot[Result]:
        made = open_envelope(envelope, _Made)
        return finish_persona(made.personaId, name)

    try:
        return read(name, ERRORS_PERSONA, response, finish, paid=True)
    except PersonaExists as error:
        known = member(parse_json(response.body), "data")
        error.persona_id = text_member(known, "personaId")
        raise


def finish_persona(persona_id: str, name: str) -> Snapshot[Result]:
    """Make the final snapshot of a persona that needs no waiting."""
    return Snapshot(
        persona_id if len(persona_id) <= JOB_ID_LIMIT else "",
        JobState.COMPLETED,
        service_state="success",
        result=Persona(persona_id, name),
    )


def parse_submit(
    response: Response, *, name: str, table: tuple[ErrorRule, ...]
) -> Snapshot[Result]:
    """Read the answer to a paid request that starts a task.

    Raises:
        OutcomeUnknown: the answer proves neither a job nor a refusal.

    Source: [docs].
    """
    return read(name, table, response, read_accepted, paid=True)


def read_accepted(envelope: object) -> Snapshot[Result]:
    """Read the id of a new task."""
    job_id = open_envelope(envelope, _Accepted).taskId
    if len(job_id) > JOB_ID_LIMIT:
        raise MalformedAnswer("$.data.taskId is too long.", path="$.data.taskId")
    return Snapshot(job_id, JobState.QUEUED, service_state="PENDING")


def parse_upload(response: Response, *, preset: Preset) -> Snapshot[Result]:
    """Read what became of an upload; it can be used by its address only.

    Source: [docs], kie.ai file upload.
    """

    def finish(envelope: object) -> Snapshot[Result]:
        file = open_envelope(envelope, _File)
        known = file.fileId or file.filePath or file.downloadUrl
        job_id = known if len(known) <= JOB_ID_LIMIT else ""
        track = Track(
            preset.name,
            known,
            known,
            audio_url=file.downloadUrl,
            expires_at=add_life(read_moment(file.uploadedAt), _UPLOAD_LIFE),
        )
        return Snapshot(
            job_id, JobState.COMPLETED, service_state="success", result=track
        )

    return read(preset.name, preset.errors, response, finish, paid=True)


def parse_credits(response: Response, *, preset: Preset) -> Credits:
    """Read the balance, a bare number.

    Source: [docs].
    """

    def finish(envelope: object) -> Credits:
        return Credits(structure(envelope, _Balance).data)

    return read(
        preset.name, (*READ_ERRORS, *preset.errors), response, finish, paid=False
    )


def read_moment(value: object) -> datetime | None:
    """Epoch milliseconds, or a date whose zone is not told: the earliest it can be."""
    if isinstance(value, str):
        try:
            date = datetime.fromisoformat(value)
        except ValueError:
            return None
        return date if date.tzinfo else date.replace(tzinfo=_EARLIEST_ZONE)
    milliseconds = number_or_none(value)
    return None if milliseconds is None else moment_or_none(milliseconds / 1000)


def add_life(moment: datetime | None, life: timedelta) -> datetime | None:
    """Return when something ends that lives from a moment on, in UTC."""
    try:
        return moment and (moment + life).astimezone(UTC)
    except OverflowError:
        return None
