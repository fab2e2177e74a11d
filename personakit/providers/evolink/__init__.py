"""The Evolink dialect: no I/O, one paid path, one path to read every task.

``build`` says what may be sent, ``parse`` says what an answer means. The sources that
they name are ``[spec]`` (Suno Persona creation page, which wins), ``[music]`` (Suno
music generation page), ``[tasks]`` (task detail and error code pages) and
``[credits]`` (credits page); *inferred* marks what only the vendor's clients show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import attrs

from personakit.http.messages import Call, Request, encode, paid_request
from personakit.models import Credits, Listed, Result, Snapshot, Track
from personakit.providers.base import JointRead, unsupported
from personakit.providers.callbacks import EVOLINK_CALLBACKS, CallbackFormat
from personakit.providers.evolink.build import build_body, check_job_id
from personakit.providers.evolink.parse import (
    PROVIDER,
    parse_credits,
    parse_jobs,
    parse_submit,
    parse_task,
    parse_tasks,
)
from personakit.ratelimit.limits import UNPUBLISHED, Limits
from personakit.receipt import Ability, Receipt
from personakit.requests import JobRequest, PersonaRequest

_PAGE = 50
"""Tasks on one page, the most that the vendor's own clients ask for (inferred)."""


def _build_joint_read(
    job_ids: Sequence[str], kind: Ability
) -> Call[Mapping[str, Snapshot[Result]]]:
    """Build the request that reads tasks together.

    Source: ``POST /v1/tasks/batch``, at most 50, from the vendor's own client
    (inferred). Unknown tasks are missing in its answer.
    """
    body = encode({"task_ids": list(job_ids)})
    request = Request("POST", "/v1/tasks/batch", body=body)
    return Call(request, partial(parse_tasks, job_ids=job_ids, kind=kind))


_JOINT_READ = JointRead(_PAGE, _build_joint_read)


@attrs.frozen
class Evolink:
    """The service at https://evolink.ai."""

    name: str = PROVIDER
    base_url: str | None = "https://api.evolink.ai"  # [spec]
    files_url: str | None = None
    key_variable: str = "EVOLINK_API_KEY"
    abilities: frozenset[Ability] = frozenset(
        {Ability.PERSONA, Ability.MUSIC, Ability.JOBS, Ability.CREDITS}
    )
    callbacks: CallbackFormat = EVOLINK_CALLBACKS
    limits: Limits = UNPUBLISHED
    joint: JointRead | None = _JOINT_READ

    def build_submit(
        self, request: JobRequest[Any], *, callback_url: str | None = None
    ) -> Call[Snapshot[Result]]:
        """Build the paid request that starts a persona or a music task.

        Args:
            request: A `PersonaRequest` or a `MusicRequest`.
            callback_url: Public https address for callbacks, at most 2048 characters;
                not sent for personas, which take none.

        Raises:
            InvalidRequest: a rule of Evolink is broken; the error names it.

        Source: ``POST /v1/audios/generations`` [spec] [music].
        """
        body = build_body(request)
        if callback_url is not None and not isinstance(request, PersonaRequest):
            body["callback_url"] = callback_url
        return Call(paid_request("/v1/audios/generations", body), parse_submit)

    def build_read(self, job_id: str, kind: Ability) -> Call[Snapshot[Result]]:
        """Build the request that reads a task.

        Args:
            job_id: Begins with ``task-unified-``.
            kind: What the task was submitted for.

        Raises:
            InvalidRequest: `job_id` is none of Evolink's.

        Source: ``GET /v1/tasks/{task_id}`` [tasks].
        """
        check_job_id("job_id", job_id)
        request = Request("GET", f"/v1/tasks/{job_id}")
        return Call(request, partial(parse_task, job_id=job_id, kind=kind))

    def build_credits(self) -> Call[Credits]:
        """Build the request that reads the balance, which creates nothing.

        Source: ``GET /v1/credits`` [credits].
        """
        return Call(Request("GET", "/v1/credits"), parse_credits)

    def recall(self, _: Receipt, /) -> Snapshot[Result] | None:
        """Return None: every task of Evolink can be read again."""
        return None

    def build_jobs(self, page: int, /) -> Call[tuple[Listed, ...]]:
        """Build the request for one page of the account's tasks, newest first.

        Source: ``GET /v1/tasks``, from the vendor's own clients (inferred).
        """
        request = Request("GET", f"/v1/tasks?page={page}&page_size={_PAGE}")
        return Call(request, parse_jobs)

    def build_track(self, _: str, /) -> Call[Track]:
        """Refuse: Evolink tells of tracks by their task only."""
        raise unsupported(self.name, Ability.TRACK)
