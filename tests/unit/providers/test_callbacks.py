"""Reports: the job that they name, and the signatures of those who sign."""

from __future__ import annotations

import json
import time

import pytest

from personakit.errors import MalformedAnswer
from personakit.providers import PROVIDERS
from personakit.providers.callbacks import sign_body, sign_job

SECRET = "whsec-test"
JOB = "5c79aabbccddeeff001122334455be8e"


def format_of(name: str):
    return PROVIDERS[name]().callbacks


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("evolink", {"id": JOB, "status": "completed", "results": []}),
        ("sunoapi", {"code": 200, "data": {"callbackType": "text", "task_id": JOB}}),
        ("sunoapi.org", {"code": 400, "data": {"taskId": JOB}}),
        ("kie", {"code": 200, "data": {"callbackType": "first", "task_id": JOB}}),
        ("kie-jobs", {"code": 200, "data": {"taskId": JOB, "state": "success"}}),
        ("musicmint", {"task_id": JOB, "status": "failed", "error": "x"}),
    ],
)
def test_job_is_found(name, body):
    """Each service names the job in a place of its own."""
    assert format_of(name).find_job(json.dumps(body).encode()) == JOB


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"null", b"[]", b"{}", b'{"id": 7, "task_id": null, "data": 1}']
    + [
        json.dumps({"id": i, "task_id": i}).encode() for i in ("", " ", "\n", "x" * 121)
    ],
)
def test_report_without_a_job(name, body):
    """A callback that names no job is malformed, never a crash."""
    with pytest.raises(MalformedAnswer):
        format_of(name).find_job(body)


def test_known_signatures():
    """The test vectors of the fact sheets."""
    body = b'{"task_id":"t1","status":"failed","error":"x"}'

    assert sign_body(body, SECRET) == (
        "f31a18b2c3d4e2c49319745e8d83880ab03c35a1c808d802968079819dcf2bfa"
    )
    assert sign_job(JOB, "1760000000", "unit-test-webhook-key") == (
        "Smhr1q+IpBrO3FrwJVwbwSfrj7WHfMT2ys0DGKVp8i4="
    )


@pytest.mark.parametrize("sent", ["", "0" * 64, "ÿ", "\udcff"])
def test_signature_of_musicmint(sent):
    """Only the signature over the very body counts."""
    callbacks, body = format_of("musicmint"), b'{"task_id":"t1"}'
    good = {"X-Signature": sign_body(body, SECRET)}

    assert callbacks.is_signed(good, body, "t1", SECRET)
    assert not callbacks.is_signed(good, body + b" ", "t1", SECRET)
    assert not callbacks.is_signed(good, body, "t1", "another")
    assert not callbacks.is_signed({"X-Signature": sent}, body, "t1", SECRET)
    assert not callbacks.is_signed({}, body, "t1", SECRET)


@pytest.mark.parametrize(
    ("shift", "is_good"), [(0, True), (290, True), (-290, True), (310, False)]
)
def test_signature_of_kie(shift, is_good):
    """It covers job and time, and the time must be near ours."""
    callbacks, moment = format_of("kie"), str(int(time.time()) + shift)
    signed = {
        "X-Webhook-Timestamp": moment,
        "X-Webhook-Signature": sign_job(JOB, moment, SECRET),
    }

    assert callbacks.is_signed(signed, b"{}", JOB, SECRET) is is_good
    assert not callbacks.is_signed(signed, b"{}", "other", SECRET)


@pytest.mark.parametrize("moment", ["", "1e9", "-1", " 1", "١٢٣", "9" * 13])
def test_strange_times_are_refused(moment):
    """A time is 1 to 12 plain digits, even where it is signed."""
    signed = {
        "X-Webhook-Timestamp": moment,
        "X-Webhook-Signature": sign_job(JOB, moment, SECRET),
    }

    assert not format_of("kie").is_signed(signed, b"{}", JOB, SECRET)


def test_unsigned_services_are_never_signed():
    """Where nothing is signed, no header makes it so."""
    assert not format_of("evolink").is_signed({"X-Signature": "x"}, b"", JOB, SECRET)
