"""Answers with JSON and with files."""

from __future__ import annotations

import pytest

from personakit.emulator.traffic import Answer, file_answer, json_answer


def test_json():
    """A value is sent as JSON, with further headers."""
    answer = json_answer(200, {"a": "源"}, {"X-Request-Id": "1"})

    assert answer == Answer(
        200,
        b'{"a": "\\u6e90"}',
        {"Content-Type": "application/json; charset=utf-8", "X-Request-Id": "1"},
    )


@pytest.mark.parametrize(
    ("wanted", "status", "body", "place"),
    [
        (None, 200, b"0123456789", None),
        ("bytes=0-", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=4-2", 416, b"", "bytes */10"),
        ("bytes=-3", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_ranges(wanted, status, body, place):
    """One range is served, and what is not understood gets the whole file."""
    answer = file_answer(b"0123456789", "audio/wav", wanted)

    assert (answer.status, answer.body) == (status, body)
    assert answer.headers.get("Content-Range") == place
    assert answer.headers["Content-Type"] == "audio/wav"
    assert answer.headers["Accept-Ranges"] == "bytes"
