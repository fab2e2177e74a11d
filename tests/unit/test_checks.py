"""Validators and numbers, on their own."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from personakit.checks import (
    is_address,
    is_sendable,
    moment_or_none,
    number_or_none,
)

HUGE = 10**400


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, 7.0),
        (0.5, 0.5),
        (True, None),
        ("7", None),
        (None, None),
        ([], None),
        (math.nan, None),
        (math.inf, None),
        pytest.param(10**400, None, id="huge"),
    ],
)
def test_number_is_finite_or_nothing(value, expected):
    """What is no finite number is None, without an error."""
    assert number_or_none(value) == expected


@pytest.mark.parametrize(
    ("seconds", "moment"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1774170584.5, datetime(2026, 3, 22, 9, 9, 44, 500_000, UTC)),
        (None, None),
        ("7", None),
        (True, None),
        (math.nan, None),
        (1e300, None),
        (-1e300, None),
        (HUGE, None),
    ],
)
def test_moment_is_aware_or_nothing(seconds, moment):
    """Unix seconds are an aware date, and anything else is nothing."""
    assert moment_or_none(seconds) == moment


@pytest.mark.parametrize(
    "address",
    ["https://x.example/a.mp3", "http://127.0.0.1:8080/a?b=c", "https://例え.jp/歌"],
)
def test_addresses(address):
    """An address of the web is one."""
    assert is_address(address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "/a/b.mp3",
        "file:///etc/passwd",
        "https:///a",
        "https://[::1",
        "https://x/a b",
        "https://x/\ud800",
        7,
        None,
    ],
)
def test_no_addresses(text):
    """Anything else is none."""
    assert not is_address(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("é🎵", True), ("", True), ("\ud800", False), ("a\udfff", False)],
)
def test_sendable(text, expected):
    """Half of a surrogate pair cannot be sent."""
    assert is_sendable(text) is expected
