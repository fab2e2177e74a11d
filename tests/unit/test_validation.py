"""Validators and numbers, on their own."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from personakit.errors import InvalidRequest
from personakit.journal import MemoryJournal
from personakit.validation import (
    check_journal,
    check_timeout,
    expect,
    expect_count,
    expect_function,
    expect_one_of,
    expect_seconds,
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


GOOD = [
    lambda: expect("a", "x", "text", str),
    lambda: expect("a", None, "text", str, type(None)),
    lambda: expect_one_of("a", "x", ("x", "y")),
    lambda: expect_count("a", 1),
    lambda: expect_count("a", 0, 0),
    lambda: expect_seconds("a", 0),
    lambda: expect_seconds("a", 0.5),
    lambda: expect_function("a", None),
    lambda: expect_function("a", print),
    lambda: check_journal(None),
    lambda: check_journal("jobs.db"),
    lambda: check_journal(MemoryJournal()),
    lambda: check_timeout(math.inf),
]


@pytest.mark.parametrize("check", GOOD)
def test_good_arguments_pass(check):
    """What fits the rule is not refused."""
    check()


BAD = [
    (lambda: expect("a", 7, "text", str), "a must be text, not int."),
    (lambda: expect("a", str, "text", str), "a must be text, not the class str."),
    (lambda: expect_one_of("a", [], ("x", "y")), "a must be one of x, y."),
    (lambda: expect_one_of("a", "z", ("x", "y")), "a must be one of x, y."),
    (lambda: expect_count("a", True), "a must be a whole number from 1."),
    (lambda: expect_count("a", 1.0), "a must be a whole number from 1."),
    (lambda: expect_count("a", -1, 0), "a must be a whole number from 0."),
    (lambda: expect_seconds("a", "1"), "a must be a number of seconds from 0."),
    (lambda: expect_seconds("a", -1), "a must be a number of seconds from 0."),
    (lambda: expect_function("a", 7), "a must be a function."),
    (lambda: check_journal(MemoryJournal), "journal must be a path"),
    (lambda: check_timeout(None), "timeout must be a positive number of seconds"),
]


@pytest.mark.parametrize(("check", "message"), BAD)
def test_bad_arguments_are_refused(check, message):
    """The message names argument, rule and what came instead, and ends in a remedy."""
    with pytest.raises(InvalidRequest) as caught:
        check()

    assert caught.value.message.startswith(message)
    assert caught.value.message.endswith(f"{caught.value.remedy}.")
