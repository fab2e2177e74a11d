"""The recorded exchanges of ``tests/data/evolink``, one file per case."""

from __future__ import annotations

from personakit.http.messages import Response
from personakit.models import Credits, Result, Snapshot
from personakit.providers.evolink.parse import (
    parse_credits,
    parse_submit,
    parse_task,
)
from personakit.receipt import Ability
from tests.unit.providers.recorded import load

MUSIC_JOB = "task-unified-1766319089-oqs9cue4"
PERSONA_JOB = "task-unified-1774170584-su75smg7"


def read(how: str, answer: Response) -> Snapshot[Result] | Credits:
    """Read an answer as what it is to."""
    match how:
        case "submit":
            return parse_submit(answer)
        case "music":
            return parse_task(answer, job_id=MUSIC_JOB, kind=Ability.MUSIC)
        case "persona":
            return parse_task(answer, job_id=PERSONA_JOB, kind=Ability.PERSONA)
        case _:
            return parse_credits(answer)


CASES = load("evolink")
