"""How MusicMint tells of its tasks, one by one and in lists, and of clips."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

import attrs

from personakit.decoding import Id, structure
from personakit.errors import JobFailed, MalformedAnswer, PersonaKitError
from personakit.http.messages import Response
from personakit.models import JobState, Listed, Result, Snapshot, Track
from personakit.providers.answers import shorten
from personakit.providers.musicmint.parse import PROVIDER, open_envelope, read
from personakit.receipt import JOB_ID_LIMIT, Ability
from personakit.validation import moment_or_none, number_or_none

_STATES = {
    # [docs]
    "queuing": JobState.QUEUED,
    "processing": JobState.RUNNING,
    "completed": JobState.COMPLETED,
    "failed": JobState.FAILED,
}


@attrs.frozen
class _Clip:
    id: Id
    audio_url: str | None = None
    image_url: str | None = None
    title: str | None = None
    duration: float | None = None
    tags: str | None = None
    prompt: str | None = None
    expire_at: Any = None


@attrs.frozen
class _Task:
    id: Id
    status: str
    results: Any = None
    error: Any = None


@attrs.frozen
class _Line:
    id: Id
    status: str
    created_at: Any = None


@attrs.frozen
class _Page:
    items: list[_Line]


def parse_task(response: Response, *, job_id: str) -> Snapshot[Result]:
    """Read one reading of a task.

    Args:
        response: The answer.
        job_id: The task that was asked for; an answer about another is malformed.

    Source: [docs]; a failed task comes under code 0.
    """
    return read(response, partial(_read_task, job_id=job_id), paid=False)


def _read_task(envelope: object, *, job_id: str) -> Snapshot[Result]:
    task = open_envelope(envelope, _Task)
    if task.id != job_id:
        raise MalformedAnswer("$.data.id is that of another task.", path="$.data.id")
    # A word that is not in the table counts as unfinished.
    state = _STATES.get(task.status, JobState.RUNNING)
    return Snapshot(
        task.id,
        state,
        service_state=task.status,
        is_known_state=task.status in _STATES,
        result=_read_tracks(task) if state is JobState.COMPLETED else None,
        failure=_read_failure(task) if state is JobState.FAILED else None,
    )


def _read_failure(task: _Task) -> PersonaKitError:
    said = shorten(task.error if isinstance(task.error, str) else None)
    # Whether a failed task is paid for is not documented.
    return JobFailed(
        f"{PROVIDER} ended the job without a result: {said or 'no reason was given'}",
        charged="unknown",
        provider=PROVIDER,
        code=task.status,
    )


def _read_tracks(task: _Task) -> tuple[Track, ...]:
    clips = structure(task.results, list[_Clip], at="$.data.results")
    if not any(clip.audio_url for clip in clips):
        path = "$.data.results"
        raise MalformedAnswer(f"{path} has no audio yet.", path=path)
    return tuple(_make_track(clip, task.id) for clip in clips)


def _make_track(clip: _Clip, job_id: str) -> Track:
    return Track(
        provider=PROVIDER,
        job_id=job_id,
        track_id=clip.id,
        audio_url=clip.audio_url or None,
        image_url=clip.image_url or None,
        title=clip.title or None,
        style=clip.tags or None,
        duration=clip.duration,
        lyrics=clip.prompt or None,
        expires_at=_read_moment(clip.expire_at),
    )


def _read_moment(milliseconds: object) -> datetime | None:
    """Unix milliseconds; 0 means never [docs]."""
    number = number_or_none(milliseconds)
    return moment_or_none(number / 1000) if number else None


def parse_track(response: Response) -> Track:
    """Read one clip. No answer names the job that made it, so its own id stands there.

    Source: [docs].
    """
    return read(response, _read_clip, paid=False)


def _read_clip(envelope: object) -> Track:
    clip = open_envelope(envelope, _Clip)
    return _make_track(clip, clip.id)


def parse_jobs(response: Response) -> tuple[Listed, ...]:
    """Read one page of this key's tasks.

    Source: [docs]. Songs and covers alike are listed, without telling them apart.
    """
    return read(response, _read_page, paid=False)


def _read_page(envelope: object) -> tuple[Listed, ...]:
    return tuple(
        Listed(
            Ability.MUSIC,
            Snapshot(
                line.id,
                _STATES.get(line.status, JobState.RUNNING),
                service_state=line.status,
                is_known_state=line.status in _STATES,
            ),
            _read_moment(line.created_at),
        )
        for line in open_envelope(envelope, _Page).items
        if len(line.id) <= JOB_ID_LIMIT
    )
