"""Ids of tasks as they stand in addresses."""

from __future__ import annotations

from urllib.parse import quote

from personakit.errors import invalid
from personakit.receipt import JOB_ID_LIMIT


def quote_id(job_id: str) -> str:
    """Return a task's id as part of an address.

    Raises:
        InvalidRequest: it can be none.
    """
    if not job_id.isprintable() or not 0 < len(job_id.strip()) <= JOB_ID_LIMIT:
        raise invalid(
            "job_id",
            f"must be an id of at most {JOB_ID_LIMIT} printable characters",
            "Pass the job_id of a job of this service",
        )
    return quote(job_id, safe="")
