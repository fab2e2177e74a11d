"""What the sunoapi family's answers to submits mean, case by recorded case."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as some

from personakit.errors import OutcomeUnknown, PersonaKitError
from personakit.http.messages import Response
from personakit.models import Credits, JobState, Snapshot
from personakit.providers.answers import ServiceError
from personakit.providers.sunoapi.parse import (
    add_life,
    find_error,
    is_good,
    read_moment,
)
from personakit.providers.sunoapi.presets import (
    ERRORS_A,
    ERRORS_B,
    ERRORS_PERSONA,
    READ_ERRORS,
)
from tests.unit.providers.drift import ANY_JSON, drifted
from tests.unit.providers.recorded import (
    Case,
    check_error,
    check_value,
    load,
    parameters,
)
from tests.unit.providers.sunoapi.reading import PAID, host, read

CASES = load("sunoapi")


@pytest.mark.parametrize("case", parameters(CASES, failing=True))
def test_bad_answers(case: Case):
    """Every recorded bad answer is the error that it should be."""
    check_error(case, read, host(case.read_as))


@pytest.mark.parametrize("case", parameters(CASES, failing=False))
def test_good_answers(case: Case):
    """Every recorded good answer is read as it should be."""
    check_value(case, read)


@pytest.mark.parametrize(
    ("table", "prefix"),
    [
        (ERRORS_A, "submit"),
        (ERRORS_B, "kie-submit"),
        (ERRORS_PERSONA, "persona"),
        (READ_ERRORS, "read"),
    ],
)
def test_every_row_has_a_case(table, prefix):
    """No line of an error table goes untested."""
    told = {
        case.expect.get("code")
        for name, case in CASES.items()
        if name.startswith(
            (prefix, "kie-submit" if table is ERRORS_PERSONA else prefix)
        )
    }

    assert [row.when for row in table if not set(row.when) <= told] == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"code": 200}, True),
        ({"code": 0}, True),
        ({"code": 201}, False),
        ({"code": True}, False),
        ({"code": "200"}, False),
        ({"code": 200.0}, False),
        ({}, False),
        ([200], False),
        (None, False),
    ],
)
@pytest.mark.parametrize("status", [200, 404, 500])
def test_envelope_decides(data, expected, status):
    """Only a whole number 200 or 0 is good, whatever the HTTP status."""
    assert is_good(status, data) is expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (None, ServiceError()),
        ([], ServiceError()),
        ({"code": 200, "msg": "success"}, ServiceError(message="success")),
        ({"code": 409, "msg": "no"}, ServiceError("409", 409, "no")),
        ({"code": 409, "msg": 7}, ServiceError("409", 409)),
        ({"code": "409"}, ServiceError()),
        ({"code": False, "msg": "no"}, ServiceError(message="no")),
    ],
)
def test_refusal_is_read_as_far_as_it_is_there(data, expected):
    """An envelope of any shape is read without failing."""
    assert find_error(data) == expected


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (1764690794449, datetime(2025, 12, 2, 15, 53, 14, 449_000, UTC)),
        ("2025-01-01 00:00:00", datetime(2024, 12, 31, 16, tzinfo=UTC)),
        ("2025-01-01T12:00:00.000Z", datetime(2025, 1, 1, 12, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        (None, None),
        (True, None),
        ([], None),
        (1e300, None),
    ],
)
def test_moments(value, moment):
    """Epoch milliseconds and dates are read; a date without a zone at its earliest."""
    assert read_moment(value) == moment


def test_life_has_an_end_in_utc():
    """What lives from a moment on ends later, unless no calendar goes that far."""
    start = read_moment("2025-01-01 00:00:00")

    assert add_life(start, timedelta(hours=8)) == datetime(2025, 1, 1, tzinfo=UTC)
    assert add_life(start, timedelta(hours=8)).tzinfo is UTC
    assert add_life(None, timedelta(days=1)) is None
    assert add_life(datetime.max.replace(tzinfo=UTC), timedelta(days=1)) is None


GOOD = sorted(name for name, case in CASES.items() if "body" in (case.response or {}))


@given(data=some.data(), name=some.sampled_from(GOOD))
def test_drift_is_an_error_or_ignored(data, name):
    """However an answer drifts, it is read or it is a known error, never a crash."""
    case = CASES[name]
    body = data.draw(drifted(copy.deepcopy(case.response["body"])))
    answer = attrs.evolve(case.answer(), body=json.dumps(body).encode())
    check_outcome(case.read_as, answer)


@given(status=some.integers(min_value=100, max_value=599), body=ANY_JSON)
@pytest.mark.parametrize("how", ["persona", "submit", "music", "credits", "jobs-music"])
def test_any_json_is_an_error_or_a_value(how, status, body):
    """Whatever JSON comes under whatever status, only the two outcomes exist."""
    check_outcome(how, Response(status, {}, json.dumps(body).encode()))


def check_outcome(how, answer):
    """Read, and hold whatever comes of it against what must always be true."""
    try:
        told = read(how, answer)
    except PersonaKitError as error:
        told = error

    assert isinstance(told, Snapshot | Credits | PersonaKitError)
    if isinstance(told, Snapshot):
        is_done = told.state is JobState.COMPLETED
        assert (told.result is not None) is is_done
    if isinstance(told, PersonaKitError) and how in PAID:
        assert told.charged == ("unknown" if type(told) is OutcomeUnknown else "no")
        assert not told.retry_safe or told.charged == "no"
    if isinstance(told, PersonaKitError) and how not in PAID:
        assert not isinstance(told, OutcomeUnknown)
