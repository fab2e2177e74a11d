"""How the sunoapi family tells of its tasks, in details and in callbacks."""

from __future__ import annotations

import json
from typing import Any, Literal, TypeAlias

from personakit.emulator.media import link, picture
from personakit.emulator.services.sunoapi_rules import upstream
from personakit.emulator.state import State
from personakit.emulator.tasks import Song, Task

SunoShape: TypeAlias = Literal["sunoData", "data"]
"""``response.sunoData[]`` in camelCase, or the quickstart's ``data[]`` in snake."""

_TEXT_AT, _FIRST_AT = 40, 75  # progress at which lyrics and the first track are ready
_ENDS = {
    "CREATE_TASK_FAILED",
    "GENERATE_AUDIO_FAILED",
    "CALLBACK_EXCEPTION",
    "SENSITIVE_WORD_ERROR",
}
_USUAL_END = "GENERATE_AUDIO_FAILED"
_USUAL_CODE = 500


def _status(task: Task, state: State) -> str:
    stage = task.stage(state.clock.now())
    if stage.status == "completed":
        return "SUCCESS"
    if stage.status == "failed" and task.error:
        return task.error.code if task.error.code in _ENDS else _USUAL_END
    if stage.progress < _TEXT_AT:
        return "PENDING"
    return "TEXT_SUCCESS" if stage.progress < _FIRST_AT else "FIRST_SUCCESS"


def callback_code(task: Task) -> int:
    """Return the number of a failure: the task's own where it is one."""
    code = task.error.code if task.error else ""
    return int(code) if code.isdigit() else _USUAL_CODE


def _failure(task: Task, *, has_failed: bool) -> dict[str, object]:
    if not has_failed or task.error is None:
        return {"errorCode": None, "errorMessage": None}
    code = None if task.error.code in _ENDS else callback_code(task)
    return {"errorCode": code, "errorMessage": task.error.message}


def record(task: Task, state: State, base: str, shape: SunoShape) -> dict[str, object]:
    """Return the details of a music task.

    Source: "Get Music Generation Details" (documented), and captured answers.
    """
    status = _status(task, state)
    songs = tracks(task, state, base, shape)
    response = {"taskId": task.id, shape: songs} if songs else None
    param = json.dumps(task.memo.get("param", {}), sort_keys=True, ensure_ascii=False)
    return {
        "taskId": task.id,
        "parentMusicId": "",
        "param": param,
        "response": response,
        "status": status,
        "type": upstream(task.model),
        "operationType": task.memo.get("operation", "generate"),
        **_failure(task, has_failed=status in _ENDS),
        "createTime": state.clock.unix(task.created) * 1000,
    }


def tracks(task: Task, state: State, base: str, shape: SunoShape) -> list[Any]:
    """Return the tracks as far as they are ready; only streams before their end."""
    status = _status(task, state)
    ready = {"TEXT_SUCCESS": 0, "FIRST_SUCCESS": 1, "SUCCESS": len(task.songs)}
    if status not in ready:
        return []
    told = [
        _track(song, state, base, is_final=number < ready[status])
        for number, song in enumerate(task.songs)
    ]
    return told if shape == "sunoData" else [_in_snake_case(one) for one in told]


def _track(song: Song, state: State, base: str, *, is_final: bool) -> dict[str, object]:
    address = link(base, song)
    created = state.tasks[song.job_id].created
    return {
        "id": song.track_id,
        "audioUrl": address if is_final else "",
        "streamAudioUrl": f"{address}?stream=1",
        "imageUrl": picture(base, song),
        "prompt": "[Instrumental]" if song.instrumental else song.lyrics,
        "modelName": upstream(song.model),
        "title": song.title,
        "tags": song.style,
        "createTime": state.clock.unix(created) * 1000,
        "duration": song.duration if is_final else None,
    }


def _in_snake_case(track: dict[str, object]) -> dict[str, object]:
    """Only ``createTime`` keeps its spelling (documented)."""
    return {
        name
        if name == "createTime"
        else "".join(f"_{c.lower()}" if c.isupper() else c for c in name): value
        for name, value in track.items()
    }


def stem_record(task: Task, state: State, base: str) -> dict[str, object]:
    """Return the details of a separation.

    Source: "Get Vocal Separation Details" (documented).
    """
    stage = task.stage(state.clock.now())
    has_failed = stage.status == "failed"
    flags = {"completed": "SUCCESS", "failed": _USUAL_END}
    response: dict[str, object] | None = None
    if stage.status == "completed":
        voice, rest = task.songs
        response = {
            "originUrl": None,
            "vocalUrl": link(base, voice),
            "instrumentalUrl": link(base, rest),
        }
    return {
        "taskId": task.id,
        "musicId": task.memo.get("music_id"),
        "response": response,
        "successFlag": flags.get(stage.status, "PENDING"),
        "createTime": state.clock.unix(task.created) * 1000,
        "completeTime": state.clock.unix(task.end) * 1000 if stage.is_final else None,
        **_failure(task, has_failed=has_failed),
    }
