"""How the sunoapi family tells of a task: states, tracks, stems, and failures."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from typing import Any, cast

import attrs

from personakit.decoding import Id, member, structure, text_member
from personakit.errors import (
    ContentRefused,
    JobFailed,
    MalformedAnswer,
    PersonaKitError,
)
from personakit.http.messages import Json, Response
from personakit.models import JobState, Result, Snapshot, Stems, Track
from personakit.providers.answers import CODE_LIMIT, shorten
from personakit.providers.sunoapi.parse import (
    add_life,
    open_envelope,
    read,
    read_moment,
)
from personakit.providers.sunoapi.presets import READ_ERRORS, Preset
from personakit.receipt import Ability

_STATES = {
    # [docs]; the last two of each kind only in one quickstart
    "PENDING": JobState.QUEUED,
    "TEXT_SUCCESS": JobState.RUNNING,
    "FIRST_SUCCESS": JobState.RUNNING,
    "GENERATING": JobState.RUNNING,
    "SUCCESS": JobState.COMPLETED,
    "CREATE_TASK_FAILED": JobState.FAILED,
    "GENERATE_AUDIO_FAILED": JobState.FAILED,
    "CALLBACK_EXCEPTION": JobState.FAILED,
    "SENSITIVE_WORD_ERROR": JobState.FAILED,
    "FAILED": JobState.FAILED,
}
_CALLBACK_FAILED = "CALLBACK_EXCEPTION"
_CONTENT = {"SENSITIVE_WORD_ERROR", "400", "413"}  # [docs]
_PASSING = {"408", "531"}  # [docs] a new job may do better
_RETURNED = {"531"}  # [docs] the credits have come back


@attrs.frozen
class _Record:
    taskId: Id  # noqa: N815
    status: str
    response: Any = None
    param: Any = None
    errorCode: Any = None  # noqa: N815
    errorMessage: Any = None  # noqa: N815


@attrs.frozen
class _StemRecord:
    taskId: Id  # noqa: N815
    successFlag: str  # noqa: N815
    response: Any = None
    completeTime: Any = None  # noqa: N815
    errorCode: Any = None  # noqa: N815
    errorMessage: Any = None  # noqa: N815


@attrs.frozen
class _Parts:
    vocalUrl: str  # noqa: N815
    instrumentalUrl: str | None = None  # noqa: N815


@attrs.frozen
class _Song:
    id: Id
    audioUrl: str | None = None  # noqa: N815
    streamAudioUrl: str | None = None  # noqa: N815
    imageUrl: str | None = None  # noqa: N815
    prompt: str | None = None
    modelName: str | None = None  # noqa: N815
    title: str | None = None
    tags: str | None = None
    duration: float | None = None
    createTime: Any = None  # noqa: N815


def parse_record(
    response: Response, *, preset: Preset, job_id: str, kind: Ability
) -> Snapshot[Result]:
    """Read one reading of a task.

    Args:
        response: The answer.
        preset: Of the host.
        job_id: The task that was asked for; an answer about another is malformed.
        kind: What the task was submitted for.

    Source: [docs].
    """
    inner = _read_stems if kind is Ability.STEMS else _read_record
    finish = partial(inner, preset=preset, job_id=job_id)
    return read(
        preset.name, (*READ_ERRORS, *preset.errors), response, finish, paid=False
    )


def check_same(told: str, asked: str) -> None:
    """Refuse to read an answer about another task."""
    if told != asked:
        path = "$.data.taskId"
        raise MalformedAnswer(f"{path} is that of another task.", path=path)


def _read_record(envelope: object, *, preset: Preset, job_id: str) -> Snapshot[Result]:
    record = open_envelope(envelope, _Record)
    check_same(record.taskId, job_id)
    state = _find_state(record)
    failure = read_failure(
        preset.name, record.status, record.errorCode, record.errorMessage
    )
    return Snapshot(
        record.taskId,
        state,
        service_state=record.status,
        is_known_state=record.status in _STATES,
        result=_finish_record(record, preset) if state is JobState.COMPLETED else None,
        failure=failure if state is JobState.FAILED else None,
    )


def _find_state(record: _Record) -> JobState:
    """A word that is not in the table counts as unfinished.

    After an error of the callback the audio may be there or not; if all of it is, the
    job has what was paid for.
    """
    if record.status == _CALLBACK_FAILED:
        songs = _find_songs(record.response)
        has_all = bool(songs) and all(_text(one, "audioUrl") for one in songs)
        return JobState.COMPLETED if has_all else JobState.FAILED
    return _STATES.get(record.status, JobState.RUNNING)


def read_failure(
    name: str, status: str, error_code: object, said: object
) -> PersonaKitError:
    """Make the error of a task that ended without a result.

    Args:
        name: Of the service.
        status: The task's own.
        error_code: A number, a text of digits, or nothing.
        said: Why, for people.

    Source: [docs]. Whether it was charged is told of code 531 only.
    """
    is_code = isinstance(error_code, int | str) and str(error_code).strip() != ""
    code = str(error_code)[:CODE_LIMIT] if is_code else status[:CODE_LIMIT]
    reason = shorten(said if isinstance(said, str) else None)
    error = ContentRefused if {code, status} & _CONTENT else JobFailed
    return error(
        f"{name} ended the job without a result: {reason or 'no reason was given'}",
        charged="no" if code in _RETURNED else "unknown",
        retry_safe=code in _PASSING,
        provider=name,
        code=code,
    )


def _find_songs(response: object) -> list[object]:
    """[docs] ``sunoData``; the quickstart shows ``data``, in snake_case."""
    for name in ("sunoData", "data"):
        songs = member(response, name)
        if isinstance(songs, list):
            return cast("list[object]", songs)
    return []


def _text(song: object, name: str) -> str | None:
    return text_member(_in_camel_case(song), name)


def _in_camel_case(song: object) -> object:
    """Accept both spellings of a track's members in either place."""
    if not isinstance(song, dict):
        return song
    spelt: Json = {}
    for name, value in cast("Json", song).items():
        first, *rest = name.split("_")
        spelt[first + "".join(word.title() for word in rest)] = value
    return spelt


def _finish_record(record: _Record, preset: Preset) -> tuple[Track, ...]:
    tracks = read_tracks(
        _find_songs(record.response),
        at="$.data.response.sunoData",
        job_id=record.taskId,
        provider=preset.name,
        life=preset.link_life,
    )
    model = _find_model(record.param)
    return tuple(attrs.evolve(one, model=model or one.model) for one in tracks)


def read_tracks(
    songs: list[object], *, at: str, job_id: str, provider: str, life: timedelta
) -> tuple[Track, ...]:
    """Read the tracks of a task that is done.

    Only ``audioUrl`` is final audio. What is streamed may be a preview, and links to
    the upstream are never used.

    Args:
        songs: As they came, in either spelling.
        at: Where they stand in the answer.
        job_id: The task that made them.
        provider: Name of the service.
        life: How long their links are kept.

    Raises:
        MalformedAnswer: there is no final audio, whatever the task's status says
            (inferred: it was seen to run ahead).
    """
    shaped = structure([_in_camel_case(song) for song in songs], list[_Song], at=at)
    if not any(song.audioUrl for song in shaped):
        raise MalformedAnswer(f"{at} has no final audio yet.", path=at)
    return tuple(
        Track(
            provider=provider,
            job_id=job_id,
            track_id=song.id,
            audio_url=song.audioUrl or None,
            stream_url=song.streamAudioUrl or None,
            image_url=song.imageUrl or None,
            title=song.title or None,
            style=song.tags or None,
            duration=song.duration,
            model=song.modelName or None,
            lyrics=None if song.prompt == "[Instrumental]" else song.prompt or None,
            expires_at=add_life(read_moment(song.createTime), life),
        )
        for song in shaped
    )


def _find_model(param: object) -> str | None:
    """Return the model as requests name it, from the request as it was stored."""
    if not isinstance(param, str):
        return None
    try:
        return text_member(json.loads(param), "model")
    except (ValueError, RecursionError):
        return None


def _read_stems(envelope: object, *, preset: Preset, job_id: str) -> Snapshot[Result]:
    record = open_envelope(envelope, _StemRecord)
    check_same(record.taskId, job_id)
    word = record.successFlag
    state = _STATES.get(word, JobState.RUNNING)
    failure = read_failure(preset.name, word, record.errorCode, record.errorMessage)
    return Snapshot(
        record.taskId,
        state,
        service_state=word,
        is_known_state=word in _STATES,
        result=_finish_stems(record, preset) if state is JobState.COMPLETED else None,
        failure=failure if state is JobState.FAILED else None,
    )


def _finish_stems(record: _StemRecord, preset: Preset) -> Stems:
    """The parts have no ids of their own, so they are named after their task."""
    parts = structure(record.response, _Parts, at="$.data.response")
    if not parts.vocalUrl:
        path = "$.data.response.vocalUrl"
        raise MalformedAnswer(f"{path} is empty.", path=path)
    expiry = add_life(read_moment(record.completeTime), preset.link_life)

    def part(word: str, address: str) -> Track:
        job_id = record.taskId
        return Track(
            preset.name,
            job_id,
            f"{job_id}-{word}",
            audio_url=address,
            expires_at=expiry,
        )

    rest = parts.instrumentalUrl
    return Stems(
        part("vocals", parts.vocalUrl),
        part("instrumental", rest) if rest else None,
    )
