"""Plays kie.ai's newer form: one path for every operation, all of them jobs.

Everything here is inferred from digests and clients; no page could be read first-hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from personakit.emulator.services.fields import Fields, read_object
from personakit.emulator.services.sunoapi import PRICES, SunoApi
from personakit.emulator.services.sunoapi_records import callback_code, tracks
from personakit.emulator.services.sunoapi_rules import Refusal, invalid
from personakit.emulator.tasks import Task
from personakit.emulator.traffic import Action, Answer, Query, Route

_PREFIX = "ai-music-api/"
_OPERATIONS = {
    "generate": "generate",
    "extend": "extend",
    "upload-and-cover-audio": "upload-cover",
    "upload-and-extend-audio": "upload-extend",
    "mashup": "mashup",
}
_STATES = {
    "pending": "queuing",
    "processing": "generating",
    "completed": "success",
    "failed": "fail",
}
_NO_CALLBACK = "https://localhost/none"  # optional here, required in the classic form


class KieJobs:
    """The newer form in front of a classic host, whose memory it shares.

    Attributes:
        routes: Everything that it takes; the first match counts.
    """

    def __init__(self, host: SunoApi) -> None:
        self._host = host
        self._state = host.state
        self.routes: tuple[Route, ...] = (
            Route(
                "submit", "POST", "/api/v1/jobs/createTask", host.keyed(self._create)
            ),
            Route("read", "GET", "/api/v1/jobs/recordInfo", host.keyed(self._record)),
            *host.routes,
        )

    def new_job_id(self) -> str:
        """Return a fresh task id."""
        return self._host.new_job_id()

    def new_track_id(self) -> str:
        """Return a fresh id for a track."""
        return self._host.new_track_id()

    def refuse(
        self,
        status: int,
        *,
        code: str | None = None,
        message: str | None = None,
        action: Action = "other",
    ) -> Answer:
        """Return an error in the family's shape; see `SunoApi.refuse`."""
        return self._host.refuse(status, code=code, message=message, action=action)

    def _create(self, query: Query) -> Answer:
        body = read_object(query.body, invalid)
        name = str(body.get("model")).removeprefix(_PREFIX)
        fields = self._translate(body)
        if name == "generate-persona":
            task = self._host.make_persona(fields, seconds=None, error=query.task_error)
        elif name in _OPERATIONS:
            task = self._host.order(_OPERATIONS[name], query, fields)
        else:
            raise Refusal(f"unknown model {name}")
        return self._host.answer({"taskId": task.id})

    def _translate(self, body: Mapping[str, object]) -> Fields:
        """Return what the classic form would be told."""
        told = body.get("input")
        if not isinstance(told, dict):
            raise Refusal("input is required")
        values: dict[str, object] = {
            "model": "V6",
            "callBackUrl": body.get("callBackUrl") or _NO_CALLBACK,
        }
        for name, value in cast("dict[str, object]", told).items():
            first, *rest = name.split("_")
            values[first + "".join(word.title() for word in rest)] = value
        return Fields(values, invalid)

    def _record(self, query: Query) -> Answer:
        task = self._host.find_task(query, "music", "persona")
        stage = task.stage(self._state.clock.now())
        has_failed = stage.status == "failed" and task.error is not None
        told = {
            "taskId": task.id,
            "model": f"{_PREFIX}generate",
            "state": _STATES[stage.status],
            "param": "{}",
            "resultJson": None,
            "failCode": str(callback_code(task)) if has_failed else None,
            "failMsg": task.error.message if has_failed and task.error else None,
            "createTime": self._state.clock.unix(task.created) * 1000,
            "creditsConsumed": PRICES[task.kind],
        }
        if stage.status == "completed":
            told["resultJson"] = json.dumps(self._result(task, query.base))
        return self._host.answer(told)

    def _result(self, task: Task, base: str) -> dict[str, object]:
        if task.kind == "persona":
            return {"persona_id": task.persona_id}
        return {"data": tracks(task, self._state, base, "data")}
