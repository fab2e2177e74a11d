"""The recorded exchanges of ``tests/data/evolink``, one file per case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from multidict import CIMultiDict

from personakit.models import Credits, Result, Snapshot
from personakit.providers.evolink.parse import (
    parse_credits,
    parse_submit,
    parse_task,
)
from personakit.receipt import Ability
from personakit.wire import Response

DATA = Path(__file__).parents[3] / "data" / "evolink"

MUSIC_JOB = "task-unified-1766319089-oqs9cue4"
PERSONA_JOB = "task-unified-1774170584-su75smg7"


@attrs.frozen
class Case:
    """One recorded exchange.

    Attributes:
        name: Of the file.
        source: Where it is from.
        request: The body of a request, None for none.
        read_as: What the answer is to: ``submit``, ``music``, ``persona`` (readings of
            such a task) or ``credits``; None without an answer.
        response: The answer, None for none.
        expect: What comes of it.
    """

    name: str
    source: str
    request: Any = None
    read_as: str | None = None
    response: Any = None
    expect: Any = None

    def answer(self) -> Response:
        """Return the answer as the transport would."""
        told = self.response
        body = told["text"] if "text" in told else json.dumps(told["body"])
        headers = CIMultiDict(told.get("headers", {}))
        return Response(told["status"], headers, body.encode())

    def read(self) -> Snapshot[Result] | Credits:
        """Have the dialect read the answer."""
        return read(self.read_as or "", self.answer())


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


CASES = {
    path.stem: Case(path.stem, **json.loads(path.read_text()))
    for path in sorted(DATA.glob("*.json"))
}


def cases(*, failing: bool) -> list[Any]:
    """Return the cases whose answer is an error, or the others, as parameters."""
    return [
        pytest.param(case, id=name)
        for name, case in CASES.items()
        if case.response and ("error" in case.expect) is failing
    ]
