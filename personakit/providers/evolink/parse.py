"""What Evolink's answers mean: one error table, one status table, and the results.

A task is judged by its ``status`` alone; the documentation's own sample of a completed
task also carries an ``error`` [tasks].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeAlias, cast

import attrs

from personakit.decoding import Id, member, structure, text_member
from personakit.errors import (
    JobFailed,
    MalformedAnswer,
    PersonaKitError,
)
from personakit.http.messages import Response
from personakit.models import (
    Credits,
    JobState,
    Listed,
    Persona,
    Result,
    Snapshot,
    Track,
)
from personakit.providers.answers import (
    CODE_LIMIT,
    AnswerReader,
    ServiceError,
    shorten,
)
from personakit.providers.evolink.error_rules import ERRORS, FAILURES
from personakit.receipt import JOB_ID_LIMIT, Ability
from personakit.validation import moment_or_none, number_or_none

PROVIDER = "evolink"
PERSONA_MODEL = "suno-persona"  # [spec]
_MUSIC_MODELS = "suno-v"  # [music] how their names begin, in every generation
JOB_ID = re.compile(rf"task-unified-[\w.-]{{1,{JOB_ID_LIMIT - 13}}}", re.ASCII)
"""[tasks] The prefix is a rule; the rest is bounded only for the token's sake."""

_LINK_LIFE = timedelta(hours=24)  # [music] says 72 h, the vendor's clients 24 h

_STATES = {
    "pending": JobState.QUEUED,  # [spec]
    "processing": JobState.RUNNING,  # [spec]
    "completed": JobState.COMPLETED,  # [spec]
    "failed": JobState.FAILED,  # [spec]
    "cancelled": JobState.CANCELLED,  # [music] newest generation only
}

# The wire's shapes. What only helps the wait (progress, estimates) is `Any`, read by
# number_or_none: a service that changes a mere hint must not cost anybody a result.


@attrs.frozen
class _Accepted:
    id: Id
    task_info: Any = None


@attrs.frozen
class _Task:
    id: Id
    status: str
    model: str | None = None
    created: Any = None
    progress: Any = None
    task_info: Any = None
    result_data: Any = None
    error: Any = None


@attrs.frozen
class _Tasks:
    data: list[Any]


@attrs.frozen
class _Song:
    result_id: Id
    audio_url: str | None = None
    stream_audio_url: str | None = None
    image_url: str | None = None
    title: str | None = None
    tags: str | None = None
    duration: float | None = None


@attrs.frozen
class _Line:
    id: Id
    model: str
    status: str
    created_at: Any = None


@attrs.frozen
class _Page:
    data: list[_Line]


@attrs.frozen
class _Songs:
    songs: list[_Song]


@attrs.frozen
class _PersonaResult:
    persona_id: Id


@attrs.frozen
class _Balance:
    remaining_credits: float
    used_credits: float | None = None
    unlimited_credits: bool = False


@attrs.frozen
class _Balances:
    user: _Balance
    token: _Balance | None = None


@attrs.frozen
class _CreditsAnswer:
    data: _Balances
    success: bool


def find_error(data: object) -> ServiceError:
    """Read ``{"error": {"code", "message", "type", "param"}}`` as far as it is there.

    ``code`` is a string [spec]; the oldest generation sent the status as a number. The
    ``error`` of a task is not about this exchange, and no refusal of it.
    """
    is_task = member(data, "id") is not None and member(data, "status") is not None
    error = None if is_task else member(data, "error")
    code = member(error, "code")
    return ServiceError(
        code=code if isinstance(code, str) else None,
        status=code if type(code) is int else None,
        message=text_member(error, "message"),
        field=text_member(error, "param"),
    )


_reader = AnswerReader(PROVIDER, ERRORS, find_error)


def parse_submit(response: Response) -> Snapshot[Result]:
    """Read the answer to a paid request: the new job.

    Raises:
        OutcomeUnknown: the answer proves neither a job nor a refusal.

    Source: [spec].
    """
    return _reader.read(response, _read_accepted, paid=True)


def _read_accepted(data: object) -> Snapshot[Result]:
    task = structure(data, _Accepted)
    if not JOB_ID.fullmatch(task.id):
        raise MalformedAnswer("$.id is not the id of a task.", path="$.id")
    # Whatever the status says already, the first reading decides.
    return Snapshot(
        task.id,
        JobState.QUEUED,
        service_state=text_member(data, "status") or "pending",
        estimated_time=number_or_none(member(task.task_info, "estimated_time")),
    )


_Finish: TypeAlias = Callable[[_Task], Result]


def parse_task(response: Response, *, job_id: str, kind: Ability) -> Snapshot[Result]:
    """Read one reading of a task.

    Args:
        response: The answer.
        job_id: The task that was asked for; an answer about another is malformed.
        kind: What the task was submitted for.

    Source: [tasks].
    """
    read = partial(_read_task, job_id=job_id, finish=_FINISH[kind])
    return _reader.read(response, read, paid=False)


def parse_tasks(
    response: Response, *, job_ids: Sequence[str], kind: Ability
) -> Mapping[str, Snapshot[Result]]:
    """Read one reading of many tasks; what cannot be read is left out.

    Args:
        response: The answer.
        job_ids: The tasks that were asked for.
        kind: What they were submitted for.

    Source: the vendor's own client (inferred).
    """
    read = partial(_read_tasks, wanted=set(job_ids), finish=_FINISH[kind])
    return _reader.read(response, read, paid=False)


def _read_tasks(
    data: object, wanted: set[str], finish: _Finish
) -> Mapping[str, Snapshot[Result]]:
    found: dict[str, Snapshot[Result]] = {}
    for told in structure(data, _Tasks).data:
        job_id = text_member(told, "id")
        if job_id in wanted:
            with suppress(MalformedAnswer):  # a reading of its own will tell
                found[job_id] = _read_task(told, job_id, finish)
    return found


def _read_task(data: object, job_id: str, finish: _Finish) -> Snapshot[Result]:
    task = structure(data, _Task)
    if task.id != job_id:
        raise MalformedAnswer("$.id is that of another task.", path="$.id")
    # A word that is not in the table counts as unfinished [tasks].
    state = _STATES.get(task.status, JobState.RUNNING)
    percent = number_or_none(task.progress)
    return Snapshot(
        job_id,
        state,
        service_state=task.status,
        is_known_state=task.status in _STATES,
        progress=None if percent is None else min(max(percent / 100, 0.0), 1.0),
        estimated_time=number_or_none(member(task.task_info, "estimated_time")),
        result=finish(task) if state is JobState.COMPLETED else None,
        failure=_read_failure(task, state),
    )


def _read_failure(task: _Task, state: JobState) -> PersonaKitError | None:
    if state not in {JobState.FAILED, JobState.CANCELLED}:
        return None
    code = text_member(task.error, "code")
    said = shorten(text_member(task.error, "message")) or "no reason was given"
    error, retry_safe = FAILURES.get(code or "", (JobFailed, False))
    # A failed task is not charged, its reservation returns by itself [tasks]. Of a
    # cancelled one nothing is known.
    return error(
        f"{PROVIDER} ended the job without a result: {said}",
        charged="no" if state is JobState.FAILED else "unknown",
        retry_safe=retry_safe,
        provider=PROVIDER,
        code=(code or task.status)[:CODE_LIMIT],
    )


def _finish_persona(task: _Task) -> Persona:
    """[music] ``result_data.persona_id``, the only documented place."""
    made = structure(task.result_data, _PersonaResult, at="$.result_data")
    return Persona(made.persona_id, PROVIDER)


def _finish_music(task: _Task) -> tuple[Track, ...]:
    songs = _read_songs(task.result_data)
    if not songs:
        raise MalformedAnswer("$.result_data has no song.", path="$.result_data")
    return tuple(_make_track(task, song) for song in songs)


def _read_songs(result_data: Any) -> list[_Song]:
    """[spec] ``result_data.songs[]``; the oldest generation sent the bare array."""
    if isinstance(result_data, list):
        return structure(cast("object", result_data), list[_Song], at="$.result_data")
    return structure(result_data, _Songs, at="$.result_data").songs


def _make_track(task: _Task, song: _Song) -> Track:
    return Track(
        provider=PROVIDER,
        job_id=task.id,
        track_id=song.result_id,
        audio_url=song.audio_url,
        stream_url=song.stream_audio_url,
        image_url=song.image_url,
        title=song.title,
        style=song.tags,
        duration=song.duration,
        model=task.model,
        expires_at=_find_expiry(task),
    )


def _find_expiry(task: _Task) -> datetime | None:
    created = moment_or_none(task.created)
    return created and created + _LINK_LIFE


_FINISH: dict[Ability, _Finish] = {
    Ability.PERSONA: _finish_persona,
    Ability.MUSIC: _finish_music,
}


def parse_credits(response: Response) -> Credits:
    """Read the balance of the account and of the key.

    Source: [credits]. Its numbers are not computed from each other.
    """
    return _reader.read(response, _read_credits, paid=False)


def _read_credits(data: object) -> Credits:
    answer = structure(data, _CreditsAnswer)
    if not answer.success:
        raise MalformedAnswer("$.success is false.", path="$.success")
    account, key = answer.data.user, answer.data.token
    limited = key is not None and not key.unlimited_credits
    return Credits(
        remaining=account.remaining_credits,
        used=account.used_credits,
        key_remaining=key.remaining_credits if key and limited else None,
    )


def parse_jobs(response: Response) -> tuple[Listed, ...]:
    """Read one page of the account's tasks.

    Source: the vendor's own clients (inferred).
    """
    return _reader.read(response, _read_jobs, paid=False)


def _read_jobs(data: object) -> tuple[Listed, ...]:
    return tuple(
        Listed(
            _find_kind(line.model),
            Snapshot(
                line.id,
                _STATES.get(line.status, JobState.RUNNING),
                service_state=line.status,
                is_known_state=line.status in _STATES,
            ),
            moment_or_none(line.created_at),
            line.model,
        )
        for line in structure(data, _Page).data
        if JOB_ID.fullmatch(line.id)
    )


def _find_kind(model: str) -> Ability | None:
    """Return what a model makes: the list has images, videos and speech as well."""
    if model == PERSONA_MODEL:
        return Ability.PERSONA
    return Ability.MUSIC if model.startswith(_MUSIC_MODELS) else None
