"""Recorded exchanges with the services, one file per case under ``tests/data``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from multidict import CIMultiDict

from personakit import errors
from personakit.errors import PersonaKitError
from personakit.http.messages import Response
from personakit.models import JobState, Persona, Snapshot, Stems, Track

DATA = Path(__file__).parents[2] / "data"


@attrs.frozen
class Case:
    """One recorded exchange.

    Attributes:
        name: Of the file.
        source: Where it is from.
        request: The body of a request, None for none.
        read_as: What the answer is to, by the words of the dialect's tests; None
            without an answer.
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


Reads = Callable[[str, Response], Any]
"""Has a dialect read an answer as what it is to."""


def load(service: str) -> dict[str, Case]:
    """Return every case of a service by its name."""
    return {
        path.stem: Case(path.stem, **json.loads(path.read_text()))
        for path in sorted((DATA / service).glob("*.json"))
    }


def parameters(cases: Mapping[str, Case], *, failing: bool) -> list[Any]:
    """Return the cases whose answer is an error, or the others, as parameters."""
    return [
        pytest.param(case, id=name)
        for name, case in cases.items()
        if case.response and ("error" in case.expect) is failing
    ]


def check_error(case: Case, read: Reads, provider: str) -> None:
    """Hold the error that an answer means against what is expected."""
    with pytest.raises(PersonaKitError) as caught:
        read(case.read_as or "", case.answer())

    error, expected = caught.value, dict(case.expect)
    assert type(error) is getattr(errors, expected.pop("error"))
    assert expected.pop("message", "") in error.message
    assert error.charged == expected.pop("charged", "no")
    assert error.retry_safe is expected.pop("retry_safe", False)
    assert {name: getattr(error, name) for name in expected} == expected
    assert error.provider == provider
    assert error.status == case.response["status"]


def check_value(case: Case, read: Reads) -> None:
    """Hold the value that an answer means against what is expected."""
    told, expected = read(case.read_as or "", case.answer()), dict(case.expect)
    if isinstance(told, Snapshot):
        check_snapshot(told, expected)
    for name, value in expected.items():
        assert getattr(told, name) == value


def check_snapshot(told: Snapshot[Any], expected: dict[str, Any]) -> None:
    """Hold a snapshot against what is expected, and drop what was compared."""
    made, failure = expected.pop("made", None), expected.pop("failure", None)
    assert told.is_known_state is expected.pop("is_known_state", True)
    if failure is not None:
        assert type(told.failure) is getattr(errors, failure)
        for name in ("code", "charged", "retry_safe"):
            assert getattr(told.failure, name) == expected.pop(name, False)
    if made is not None:
        assert find_ids(told.result) == made
    assert (told.result is None) is (told.state is not JobState.COMPLETED)


def find_ids(result: Persona | tuple[Track, ...] | Stems | Track) -> list[str | None]:
    """Return the ids of whatever was made."""
    match result:
        case Persona():
            return [result.id]
        case Stems():
            return [result.vocals.audio_url, result.vocals.track_id]
        case Track():
            return [result.track_id]
        case _:
            return [track.track_id for track in result]
