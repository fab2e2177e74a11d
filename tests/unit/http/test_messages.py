"""Requests, responses, and how long a service asks to wait."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some
from multidict import CIMultiDict

from personakit.http.messages import (
    SUBMIT_TIMEOUT,
    Call,
    NoAnswer,
    Request,
    Response,
    file_request,
    paid_request,
    with_clock,
)
from personakit.requests import AudioFile

DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
LATER = "Wed, 21 Oct 2015 07:28:42 GMT"


def respond(**headers: str) -> Response:
    """Make an answer with headers, underscores standing for dashes."""
    pairs = ((name.replace("_", "-"), value) for name, value in headers.items())
    return Response(429, CIMultiDict(pairs), b"")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 2.5 ", 2.5),
        ("3600", 3600.0),
        ("999999999", 3600.0),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("soon", None),
        ("", None),
        ("9" * 5000, None),
        ("Wed, 21 Oct 2015 07:99:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +2500", None),
        ("Wed, 21 Oct 2015 07:28:00 +" + "9" * 20, None),
        ("Wed, 21 Oct " + "9" * 20 + " 07:28:00 GMT", None),
    ],
)
def test_seconds_to_wait(value, seconds):
    """Seconds are read, bounded by an hour, and nonsense counts as nothing."""
    assert respond(Retry_After=value).retry_after == seconds


def test_no_header_asks_for_nothing():
    """Without the header no pause is asked for."""
    assert respond().retry_after is None


@pytest.mark.parametrize(
    ("then", "now", "seconds"),
    [(LATER, DATE, 42.0), (DATE, LATER, 0.0), (DATE, DATE, 0.0)],
)
def test_date_is_held_against_the_answers_own(then, now, seconds):
    """A date counts from the answer's own date, whatever our clock says."""
    assert respond(retry_after=then, date=now).retry_after == seconds


@pytest.mark.parametrize(
    ("ahead", "least", "most"), [(100, 95, 100), (-100, 0, 0), (1e6, 3600, 3600)]
)
@pytest.mark.parametrize("headers", [{}, {"date": "nonsense"}])
def test_date_without_a_date_to_hold_against(ahead, least, most, headers):
    """Without a date of its own, our clock serves."""
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)

    assert least <= respond(retry_after=then, **headers).retry_after <= most


def test_date_without_a_zone_counts_as_utc():
    """A date in an odd but readable form is read."""
    assert (
        respond(retry_after=LATER.replace("GMT", "-0000"), date=DATE).retry_after == 42
    )


NUMBER = some.integers(min_value=0, max_value=10**24).map(str)
ODD_DATE = some.builds(
    "{} {} {} {}:{}:{} {}{}".format,
    NUMBER,
    some.sampled_from(["Oct", "13", "x"]),
    NUMBER,
    NUMBER,
    NUMBER,
    NUMBER,
    some.sampled_from(["+", "-", "GMT", ""]),
    NUMBER,
)


@given(then=ODD_DATE | some.text(), now=ODD_DATE | some.text())
def test_no_header_is_ever_an_error(then, now):
    """Whatever the headers hold, they ask for 0 to 3600 seconds or for nothing."""
    seconds = respond(retry_after=then, date=now).retry_after

    assert seconds is None or 0 <= seconds <= 3600


@pytest.mark.parametrize(
    "date", ["9" * 20, "Wed, 21 Oct " + "9" * 20 + " 07:28:00 GMT"]
)
def test_broken_date_of_the_answer_does_not_matter(date):
    """A date that cannot be held against anything leaves our clock."""
    assert respond(retry_after=DATE, date=date).retry_after == 0.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x_request_id": "a"}, "a"),
        ({"X_Oneapi_Request_Id": "b"}, "b"),
        ({"X_Request_Id": "a", "X_Oneapi_Request_Id": "b"}, "a"),
        ({}, None),
    ],
)
def test_request_id(headers, expected):
    """The exchange's id is found under both names."""
    assert respond(**headers).request_id == expected


def test_paid_request_is_not_repeatable():
    """A paid request says so, and waits long for its answer."""
    request = paid_request("/v1/songs", {"title": "心中的光 🎵"})

    assert (request.method, request.path) == ("POST", "/v1/songs")
    assert request.repeatable is False
    assert request.timeout == SUBMIT_TIMEOUT
    assert json.loads(request.body) == {"title": "心中的光 🎵"}
    assert "心中的光 🎵".encode() in request.body


def test_other_requests_are_repeatable():
    """Reads may be repeated."""
    assert Request("GET", "/").repeatable is True


def test_fact_of_no_answer_is_an_exception():
    """The fact carries its reason."""
    assert repr(NoAnswer("gone", sent=True)) == (
        "NoAnswer(reason='gone', sent=True, hopeless=False, request_id=None)"
    )


def test_file_is_sent_as_a_form():
    """A file travels with its fields as a form, to the address that takes files."""
    sound = bytes(range(256))
    told = file_request("/up", {"path": "a"}, AudioFile('x "é".mp3', sound))
    head, boundary = told.content_type.split("; boundary=")
    form = BytesParser().parsebytes(
        f"Content-Type: {told.content_type}\r\n\r\n".encode() + told.body
    )
    field, file = form.get_payload()

    assert (head, len(boundary)) == ("multipart/form-data", 32)
    assert (told.method, told.path, told.to_files) == ("POST", "/up", True)
    assert not told.repeatable
    assert field.get_param("name", header="Content-Disposition") == "path"
    assert field.get_payload() == "a"
    assert file.get_filename() == "x%20%22%C3%A9%22.mp3"
    assert sound in told.body
    assert "sound" not in repr(told)


@pytest.mark.parametrize("ahead", [-7200, 0, 90])
def test_call_with_clock(ahead):
    """A call can also yield by how many seconds the service's clock is ahead."""
    request = Request("GET", "/v1/tasks")
    call = with_clock(Call(request, lambda response: response.status))
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
    value, clock = call.parse(respond(Date=date))

    assert call.request is request
    assert value == 429
    assert clock == pytest.approx(ahead, abs=2)
    assert call.parse(respond()) == (429, None)
