"""The Evolink dialect: no I/O, one paid path, one path to read every task.

``build`` says what may be sent, ``parse`` says what an answer means. The sources that
they name are ``[spec]`` (Suno Persona creation page, which wins), ``[music]`` (Suno
music generation page), ``[tasks]`` (task detail and error code pages) and
``[credits]`` (credits page); *inferred* marks what only the vendor's clients show.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs

from personakit.models import Credits, JobRequest, Result, Snapshot
from personakit.providers.evolink.build import build_body, check_job_id
from personakit.providers.evolink.parse import (
    PROVIDER,
    parse_credits,
    parse_submit,
    parse_task,
)
from personakit.receipt import Ability
from personakit.wire import Call, Request, paid_request


@attrs.frozen
class Evolink:
    """The service at https://evolink.ai."""

    name: str = PROVIDER
    base_url: str = "https://api.evolink.ai"  # [spec]
    key_variable: str = "EVOLINK_API_KEY"
    abilities: frozenset[Ability] = frozenset(
        {Ability.PERSONA, Ability.MUSIC, Ability.CREDITS}
    )

    def build_submit(self, request: JobRequest[Any]) -> Call[Snapshot[Result]]:
        """Build the paid request that starts a persona or a music task.

        Raises:
            InvalidRequest: a rule of Evolink is broken; the error names it.

        Source: ``POST /v1/audios/generations`` [spec] [music].
        """
        request_body = build_body(request)
        return Call(paid_request("/v1/audios/generations", request_body), parse_submit)

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
