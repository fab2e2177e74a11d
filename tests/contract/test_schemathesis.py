"""The emulator answers whatever the OpenAPI files allow as they describe.

The dialects are held against the files elsewhere; this holds the other side, so that
both cannot share one misreading. Requests are made up from the files alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from personakit.emulator import Emulator
from tests.conftest import in_thread

DATA = Path(__file__).parents[1] / "data"
FOLDERS = {
    "evolink": "evolink",
    "sunoapi": "sunoapi",
    "sunoapi.org": "sunoapi",
    "kie": "sunoapi",
    "kie-jobs": "sunoapi",
    "musicmint": "musicmint",
}
# What a host does not have, although the family's file describes it.
ELSEWHERE = {
    "sunoapi": {"/api/v1/chat/credit", "/api/v1/jobs"},
    "sunoapi.org": {"/api/v1/chat/credit", "/api/v1/jobs"},
    "kie": {"/api/v1/generate/credit", "/api/v1/jobs"},
    "kie-jobs": {"/api/v1/generate", "/api/v1/chat"},
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    """Run one emulator for all."""
    with in_thread(Emulator(speed=1000, credits=1e9)) as emulator:
        yield emulator


def every_operation() -> list[Any]:
    """Return every operation of every service, as parameters."""
    found = []
    for name, folder in FOLDERS.items():
        schema = schemathesis.openapi.from_path(DATA / folder / "openapi.yaml")
        for result in schema.get_all_operations():
            operation = result.ok()
            if not operation.path.startswith(tuple(ELSEWHERE.get(name, ("-",)))):
                label = f"{name} {operation.label}"
                found.append(pytest.param(name, operation, id=label))
    return found


@pytest.mark.looptime(False)
@pytest.mark.timeout(60)
@pytest.mark.parametrize(("name", "operation"), every_operation())
def test_emulator_is_as_described(running, name, operation):
    """Every answer to a described request has a described status, type and shape."""
    answered = []

    @settings(
        max_examples=15,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case):
        response = case.call(
            base_url=running.url(name),
            headers={"Authorization": f"Bearer {running.api_key}"},
        )
        answered.append(response.status_code)
        case.validate_response(response, checks=CHECKS)

    ask()

    assert answered
