"""How an answer becomes a value or an error, whatever the service."""

from __future__ import annotations

import json

import pytest
from multidict import CIMultiDict

from personakit.errors import (
    InvalidRequest,
    MalformedAnswer,
    OutcomeUnknown,
    PersonaExists,
    PersonaKitError,
    RateLimited,
)
from personakit.http.messages import Response
from personakit.providers.answers import (
    MESSAGE_LIMIT,
    STATUS_RULES,
    AnswerReader,
    ErrorRule,
    ServiceError,
)
from personakit.providers.base import unsupported
from personakit.receipt import Ability

ROWS = (
    ErrorRule(("exists",), PersonaExists),
    ErrorRule(("busy",), RateLimited, retry_safe=True, paid=True),
)


def find(data: object) -> ServiceError:
    """Read a made-up service's refusal."""
    return (
        ServiceError(**data)
        if isinstance(data, dict) and "id" not in data
        else ServiceError()
    )


READER = AnswerReader("demo", ROWS, find)


def finish(data: object) -> str:
    """Read a made-up service's good answer."""
    if not isinstance(data, dict) or "id" not in data:
        raise MalformedAnswer("$.id: missing.", path="$.id")
    return str(data["id"])


def read(status: int, body: object, *, paid: bool, **headers: str) -> str:
    """Read an answer."""
    named = CIMultiDict((n.replace("_", "-"), v) for n, v in headers.items())
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return READER.read(Response(status, named, text), finish, paid=paid)


@pytest.mark.parametrize("paid", [True, False])
@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_good_answer_is_finished(status, paid):
    """Any success whose body is understood gives its value."""
    assert read(status, {"id": "j"}, paid=paid) == "j"


@pytest.mark.parametrize("status", [199, 300, 400, 500])
def test_good_body_under_a_bad_status_is_no_success(status):
    """A body alone makes no success."""
    with pytest.raises(PersonaKitError):
        read(status, {"id": "j"}, paid=False)


def test_first_fitting_line_decides():
    """The service's own lines come before the common ones."""
    with pytest.raises(PersonaExists) as caught:
        read(429, {"code": "exists", "message": "Made before."}, paid=True)

    assert caught.value.message == "demo says: Made before."
    assert (caught.value.code, caught.value.status) == ("exists", 429)


def test_lines_may_be_for_paid_requests_only():
    """A line for paid requests does not fit a read."""
    with pytest.raises(RateLimited):
        read(500, {"code": "busy"}, paid=True)
    with pytest.raises(PersonaKitError) as caught:
        read(500, {"code": "busy"}, paid=False)

    assert type(caught.value) is not RateLimited


def test_number_in_the_body_outranks_the_status():
    """A body that names its own status is believed."""
    with pytest.raises(RateLimited):
        read(200, {"status": 429}, paid=False)


def test_error_carries_what_the_answer_told():
    """Request id, pause, status and field reach the error."""
    with pytest.raises(InvalidRequest) as caught:
        read(
            422,
            {"code": "c", "field": "name"},
            paid=True,
            X_Request_Id="r1",
            Retry_After="7",
        )

    error = caught.value
    assert (error.provider, error.status, error.code) == ("demo", 422, "c")
    assert (error.request_id, error.retry_after, error.field) == ("r1", 7.0, "name")


def test_long_messages_are_cut():
    """A service that sends a novel is quoted briefly."""
    with pytest.raises(InvalidRequest) as caught:
        read(400, {"code": "c", "message": "x" * 9999}, paid=True)

    assert caught.value.message == "demo says: " + "x" * MESSAGE_LIMIT


def test_long_codes_are_cut():
    """A code of endless length does not flood logs either."""
    with pytest.raises(InvalidRequest) as caught:
        read(400, {"code": "x" * 9999}, paid=True)

    assert len(str(caught.value)) <= 2 * MESSAGE_LIMIT


def test_blank_message_counts_as_none():
    """A message of spaces alone is not quoted."""
    with pytest.raises(InvalidRequest, match=r"^demo answered 400\."):
        read(400, {"code": "c", "message": " \n "}, paid=True)


def test_silent_refusal_is_told_by_its_status():
    """Without words of the service the status speaks."""
    with pytest.raises(InvalidRequest, match=r"^demo answered 422\."):
        read(422, {}, paid=True)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, b"", "(status 500) does not prove whether the job exists. The answer"),
        (500, {"code": "x", "message": "Boom"}, "whether the job exists. Boom"),
        (200, {"a": 1}, "(status 200) does not prove whether the job exists. $.id: mi"),
        (500, {}, "(status 500) does not prove whether the job exists. (provider demo"),
    ],
)
def test_unproven_outcome_tells_why(status, body, words):
    """An unknown outcome says what the answer was like."""
    global_find = READER.find_error
    reader = AnswerReader(
        "demo", ROWS, lambda d: ServiceError() if d == {"a": 1} else global_find(d)
    )
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(OutcomeUnknown) as caught:
        reader.read(Response(status, {}, text), finish, paid=True)

    assert words in str(caught.value)


def test_malformed_read_may_be_repeated():
    """A read that makes no sense keeps its path and may be tried again."""
    with pytest.raises(MalformedAnswer) as caught:
        read(200, {}, paid=False)

    assert (caught.value.path, caught.value.retry_safe) == ("$.id", True)
    assert caught.value.provider == "demo"


def fit(status: int, *, paid: bool) -> ErrorRule:
    """Return the line of the common table for an answer without words."""
    fitting = (
        row for row in STATUS_RULES if row.fits(ServiceError(), status, paid=paid)
    )
    return next(fitting)


def test_only_proven_refusals_of_paid_requests_are_refusals():
    """Of all statuses only those that prove a refusal leave the outcome known."""
    proving = {
        status
        for status in range(100, 600)
        if fit(status, paid=True).error is not OutcomeUnknown
    }

    assert proving == {307, 308, *range(400, 500)} - {408, 409}


def test_only_busy_services_are_asked_again():
    """Of all statuses of a paid request only 425 and 429 are answered by another."""
    again = {s for s in range(100, 600) if fit(s, paid=True).retry_safe}

    assert again == {425, 429}


@pytest.mark.parametrize("status", [200, 204, 302, 400, 404, 409, 429, 500, 503])
@pytest.mark.parametrize("paid", [True, False])
def test_broken_pause_breaks_nothing(status, paid):
    """A pause that cannot be read does not keep the error from being told."""
    with pytest.raises(PersonaKitError) as caught:
        read(status, {}, paid=paid, Retry_After="1 Oct " + "9" * 20 + " 0:0:0 GMT")

    assert caught.value.retry_after is None


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("paid", [True, False])
def test_redirect_says_what_is_wrong_with_the_address(status, paid):
    """A redirect that keeps the method blames the address."""
    with pytest.raises(PersonaKitError) as caught:
        read(status, b"", paid=paid)

    assert caught.value.message == (
        "base_url must be the address of demo itself, and this one redirects. Pass "
        "the right base_url."
    )


@pytest.mark.parametrize(
    ("status", "with_code", "bare"),
    [
        (400, "InvalidRequest", "ServiceUnavailable"),
        (401, "AuthenticationError", "AuthenticationError"),
        (402, "InsufficientCredits", "InsufficientCredits"),
        (403, "AuthenticationError", "ServiceUnavailable"),
        (404, "NotFound", "NotFound"),
        (408, "ServiceUnavailable", "ServiceUnavailable"),
        (409, "ServiceUnavailable", "ServiceUnavailable"),
        (429, "RateLimited", "RateLimited"),
        (499, "InvalidRequest", "ServiceUnavailable"),
        (500, "ServiceUnavailable", "ServiceUnavailable"),
    ],
)
def test_reads_tell_the_service_from_its_gateway(status, with_code, bare):
    """A refusal without a code of the service is a gateway's: weather."""
    told = []
    for body in ({"code": "c"}, {}):
        with pytest.raises(PersonaKitError) as caught:
            read(status, body, paid=False)
        told.append(type(caught.value).__name__)

    assert told == [with_code, bare]


def test_reads_are_never_of_unknown_outcome():
    """A read costs nothing, so its outcome is always known."""
    errors = {fit(status, paid=False).error for status in range(100, 600)}

    assert OutcomeUnknown not in errors


def test_absent_ability_names_service_and_ability():
    """An ability that a service lacks is named."""
    error = unsupported("demo", Ability.TRACK)

    assert "demo does not offer track" in str(error)
    assert (error.field, error.provider) == ("ability", "demo")
