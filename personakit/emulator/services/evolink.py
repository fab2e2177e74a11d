"""Plays Evolink: its paths, the shapes of its answers and the texts of its errors.

Left out: a wanted duration is checked, but every song has its own. The list of tasks
and the read of many are those of the vendor's own clients (inferred).

Source: the Suno persona page of the Evolink API manual (the specification), and its
pages on music generation, task details, error codes and credits (documented).
"""

from __future__ import annotations

import itertools
import json
import string
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Literal, TypeAlias

import attrs

from personakit.emulator.callbacks import CallbackQueue, PlannedCallback
from personakit.emulator.media import Media, link, picture
from personakit.emulator.services.evolink_rules import (
    PERSONA_MODEL,
    Refusal,
    read_body,
    read_music,
    read_persona,
    read_task_ids,
)
from personakit.emulator.state import State
from personakit.emulator.tasks import Kind, Song, Stage, Task, TaskError
from personakit.emulator.traffic import (
    Action,
    Answer,
    Query,
    Route,
    json_answer,
)

SongShape: TypeAlias = Literal["object", "array"]
"""``result_data.songs[]`` as the specification has it, or the older bare array."""

PRICES: dict[Kind, int] = {"music": 10, "persona": 1}
"""Credits reserved per request: the examples of the music and the persona page."""

_ID_PREFIX = "task-unified-"
_ID_LETTERS = string.ascii_lowercase + string.digits
_STAGES = (0.45, 0.8, 1.0)  # of a task's time: text, first, complete (documented)
_TIMEOUT = 10.0  # seconds that a callback may take (documented)
_RETRIES = (1.0, 2.0, 4.0)  # seconds between tries (documented on sister pages)
_SONGS = 2  # per request; "several variants", two in the example (documented)


@attrs.frozen
class _Error:
    """One documented error, and what it says unless a message is given."""

    status: int
    code: str | None
    type: str | None
    message: str
    param: str | None = None


_BAD = "invalid_request_error"
_BAD_ID = f"Invalid task ID format, must start with '{_ID_PREFIX}'"
_NO_TASK = "Task not found or expired"
_NO_CREDITS = "Insufficient quota. Please top up your account."
_TOO_MANY = "Too many requests, please try again later"
_PAUSED = "Service temporarily unavailable"
# Persona page: 400, 401, 402, 429, 500 (the specification). Task details page: the
# types of 403, 404, 502 and 503. Inferred from the vendor's client: the codes of 403,
# 404, 409 and 503, and that there is a 413. The other codes are chosen.
# The first row of a status is its usual error.
_ERRORS = (
    _Error(400, "invalid_request", _BAD, "Invalid request"),
    _Error(400, "invalid_task_id", _BAD, _BAD_ID, param="task_id"),
    _Error(401, "unauthorized", "authentication_error", "Invalid or expired token"),
    _Error(402, "insufficient_quota", "insufficient_quota", _NO_CREDITS),
    _Error(403, "key_model_not_allowed", "permission_error", "Access denied"),
    _Error(404, "not_found", "not_found_error", "Not found"),
    _Error(404, "task_not_found", "not_found_error", _NO_TASK, param="task_id"),
    _Error(
        409, "paid_outcome_unknown", "api_error", "earlier attempt still in progress"
    ),
    _Error(413, "request_too_large", _BAD, "Request body too large"),
    _Error(429, "rate_limit_exceeded", "rate_limit_error", _TOO_MANY),
    _Error(500, "internal_error", "api_error", "Internal server error"),
    _Error(502, "upstream_error", "upstream_error", "Upstream service error"),
    _Error(503, "service_unavailable", "service_unavailable_error", _PAUSED),
)


class Evolink:
    """The service as one account sees it.

    Attributes:
        routes: Everything that it takes; the first match counts.
    """

    def __init__(
        self,
        state: State,
        *,
        api_key: str,
        song_shape: SongShape,
        queue: CallbackQueue,
    ) -> None:
        self._state = state
        self._queue = queue
        self._api_key = api_key
        self._song_shape = song_shape
        self._request_numbers = itertools.count(1)
        self.routes: tuple[Route, ...] = (
            Route(
                "submit", "POST", "/v1/audios/generations", self._keyed(self._submit)
            ),
            Route("read", "GET", "/v1/tasks/{task_id}", self._keyed(self._read)),
            Route("read", "POST", "/v1/tasks/batch", self._keyed(self._read_many)),
            Route("credits", "GET", "/v1/credits", self._keyed(self._credits)),
            Route("list", "GET", "/v1/tasks", self._keyed(self._list)),
            *Media(state, self._no_file).routes,
            Route("other", "*", "/{tail:.*}", self._unknown),
        )

    def new_job_id(self) -> str:
        """Return a fresh task id.

        Source: the pattern of every example in the documentation (inferred).
        """
        seconds = self._state.clock.unix(self._state.clock.now())
        return f"{_ID_PREFIX}{seconds}-{self._state.new_word(8, _ID_LETTERS)}"

    def new_track_id(self) -> str:
        """Return a fresh id of a song, a UUID (the specification)."""
        return self._state.new_uuid()

    def refuse(
        self,
        status: int,
        *,
        code: str | None = None,
        message: str | None = None,
        action: Action = "other",
    ) -> Answer:
        """Return an error in Evolink's shape.

        Args:
            status: HTTP status.
            code: Evolink's code, None for the usual one of that status.
            message: Text for people, None for the documented one.
            action: What is being refused; a read is refused with the codes for reads.

        Source: persona page, ``ErrorResponse`` (the specification).
        """
        if status == HTTPStatus.NOT_FOUND and action == "read":
            code = code or "task_not_found"
        row = _find_error(status, code)
        members = {
            "code": code or row.code,
            "message": message or row.message,
            "type": row.type,
            "param": row.param,
        }
        error = {name: value for name, value in members.items() if value is not None}
        return self._answer({"error": error}, status)

    def _answer(self, value: object, status: int = HTTPStatus.OK) -> Answer:
        request_id = f"emulated-{next(self._request_numbers):08}"
        return json_answer(status, value, {"X-Request-Id": request_id})

    def _keyed(self, work: Callable[[Query], Answer]) -> Callable[[Query], Answer]:
        """Let only callers with the key have the work done, and answer refusals."""

        def guarded(query: Query) -> Answer:
            if query.headers.get("Authorization") != f"Bearer {self._api_key}":
                return self.refuse(HTTPStatus.UNAUTHORIZED)
            try:
                return work(query)
            except Refusal as refusal:
                return self.refuse(
                    refusal.status, code=refusal.code, message=refusal.message
                )

        return guarded

    def _submit(self, query: Query) -> Answer:
        body = read_body(query.body)
        order = self._persona if body.get("model") == PERSONA_MODEL else self._music
        task = order(body, query.task_error)
        if url := body.get("callback_url"):
            self._plan_callbacks(task, str(url), query.base)
        return self._answer(self._accepted(task, query.base))

    def _accepted(self, task: Task, base: str) -> dict[str, object]:
        usage = {
            "billing_rule": "per_call",
            "credits_reserved": task.price,
            "user_group": "default",
        }
        return {**self._task(task, base), "usage": usage}

    def _plan_callbacks(self, task: Task, url: str, base: str) -> None:
        """Stages text, first and complete, unsigned; the body is that of a reading."""

        def make() -> tuple[bytes, Mapping[str, str]]:
            return json.dumps(self._task(task, base)).encode(), {}

        for share in _STAGES if task.error is None else _STAGES[-1:]:
            due = task.created + share * task.seconds
            self._queue.add(PlannedCallback(due, url, make, _TIMEOUT, _RETRIES))

    def _persona(self, body: Mapping[str, object], error: TaskError | None) -> Task:
        track_id = read_persona(body, self._state)
        return self._state.order_persona(
            track_id,
            job_id=self.new_job_id(),
            model=PERSONA_MODEL,
            price=self._price("persona"),
            error=error,
        )

    def _music(self, body: Mapping[str, object], error: TaskError | None) -> Task:
        order = read_music(body, self._state)
        price, job_id = self._price("music"), self.new_job_id()
        songs = [
            Song(job_id, self._state.new_uuid(), **attrs.asdict(order))
            for _ in range(_SONGS)
        ]
        return self._state.order(
            "music",
            job_id=job_id,
            model=order.model,
            price=price,
            songs=tuple(songs),
            error=error,
        )

    def _price(self, kind: Kind) -> int:
        price = PRICES[kind]
        if self._state.account.credits < price:
            raise Refusal(None, status=HTTPStatus.PAYMENT_REQUIRED)
        return price

    def _read(self, query: Query) -> Answer:
        job_id = query.parts["task_id"]
        if not job_id.startswith(_ID_PREFIX):
            raise Refusal(None, code="invalid_task_id")
        task = self._state.tasks.get(job_id)
        if task is None:
            raise Refusal(None, status=HTTPStatus.NOT_FOUND, code="task_not_found")
        return self._answer(self._task(task, query.base))

    def _read_many(self, query: Query) -> Answer:
        """The tasks in the order asked for, unknown ones left out (inferred)."""
        wanted = map(self._state.tasks.get, read_task_ids(read_body(query.body)))
        return self._answer({"data": [self._task(t, query.base) for t in wanted if t]})

    def _task(self, task: Task, base: str) -> dict[str, object]:
        stage = task.stage(self._state.clock.now())
        told: dict[str, object] = {
            "created": self._state.clock.unix(task.created),
            "id": task.id,
            "model": task.model,
            "object": "audio.generation.task",
            "progress": stage.progress,
            "status": stage.status,
            "task_info": self._task_info(task, stage),
            "type": "audio",
        }
        if stage.status == "failed" and task.error:
            told["error"] = {**attrs.asdict(task.error), "type": "task_error"}
        if stage.status == "completed":
            told |= self._result(task, base)
        return told

    def _task_info(self, task: Task, stage: Stage) -> dict[str, object]:
        if stage.is_final:
            return {"can_cancel": False}
        estimate = self._state.estimate(task.kind)
        return {"can_cancel": task.kind == "music", "estimated_time": estimate}

    def _result(self, task: Task, base: str) -> dict[str, object]:
        if task.kind == "persona":
            return {"result_data": {"persona_id": task.persona_id}}
        songs = [_song(song, base) for song in task.songs]
        links = [song["audio_url"] for song in songs]
        told = {"songs": songs} if self._song_shape == "object" else songs
        return {"result_data": told, "results": links}

    def _credits(self, _: Query) -> Answer:
        account = self._state.account
        left = account.credits
        used = sum(c.credits for c in account.charges if not c.refunded)
        user = {"remaining_credits": left, "used_credits": used}
        data = {"token": {**user, "unlimited_credits": False}, "user": user}
        return self._answer({"data": data, "message": "", "success": True})

    def _list(self, query: Query) -> Answer:
        """One page of tasks, newest first, without results (inferred)."""
        page = int(query.parameters.get("page", "1"))
        size = int(query.parameters.get("page_size", "20"))
        tasks = [self._line(task) for task in reversed(self._state.tasks.values())]
        chosen = tasks[(page - 1) * size : page * size]
        return self._answer(
            {"data": chosen, "total": len(tasks), "page": page, "page_size": size}
        )

    def _line(self, task: Task) -> dict[str, object]:
        stage = task.stage(self._state.clock.now())
        return {
            "id": task.id,
            "model": task.model,
            "type": "audio",
            "status": stage.status,
            "progress": stage.progress,
            "created_at": self._state.clock.unix(task.created),
        }

    def _no_file(self, status: int) -> Answer:
        return self.refuse(status, message="Invalid URL")

    def _unknown(self, query: Query) -> Answer:
        message = f"Invalid URL ({query.method} {query.path})"
        return self.refuse(HTTPStatus.NOT_FOUND, message=message)


def _find_error(status: int, code: str | None) -> _Error:
    rows = [row for row in _ERRORS if row.status == status]
    named = [row for row in rows if row.code == code]
    if named or rows:
        return (named or rows)[0]
    # Nothing documents these: such an answer is a gateway's, and has no code.
    return _Error(status, None, None, f"The gateway answered {status}")


def _song(song: Song, base: str) -> dict[str, object]:
    return {
        "result_id": song.track_id,
        "title": song.title,
        "tags": song.style,
        "duration": song.duration,
        "audio_url": link(base, song),
        "stream_audio_url": link(base, song),
        "image_url": picture(base, song),
    }
