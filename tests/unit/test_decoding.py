"""JSON becomes typed values strictly, or an error with the place."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as some

from personakit.decoding import Id, parse_json, structure
from personakit.errors import MalformedAnswer


@attrs.frozen
class Inner:
    """A song, say."""

    id: Id
    seconds: float | None = None


@attrs.frozen
class Outer:
    """An answer, say."""

    name: str
    count: int
    ratio: float
    flag: bool
    songs: list[Inner]
    first: Inner | None = None
    hint: Any = None


GOOD = {"name": "a", "count": 1, "ratio": 2, "flag": True, "songs": [{"id": "s"}]}


def test_good_answer_is_read():
    """Documented types are read, whole numbers count as numbers, extras are ignored."""
    read = structure({**GOOD, "new": 1, "hint": [None]}, Outer)

    assert read == Outer("a", 1, 2.0, True, [Inner("s")], None, [None])
    assert type(read.ratio) is float


@pytest.mark.parametrize(
    ("change", "path", "problem"),
    [
        ({"name": None}, "$.name", "expected a string, got null"),
        ({"name": 7}, "$.name", "expected a string, got a whole number"),
        ({"count": "7"}, "$.count", "expected a whole number, got a string"),
        ({"count": 7.0}, "$.count", "expected a whole number, got a number"),
        ({"count": True}, "$.count", "expected a whole number, got true or false"),
        ({"ratio": "1"}, "$.ratio", "expected a number, got a string"),
        ({"ratio": False}, "$.ratio", "expected a number, got true or false"),
        ({"ratio": 10**400}, "$.ratio", "expected a number, got a huge one"),
        ({"ratio": math.inf}, "$.ratio", "expected a number, got a huge one"),
        ({"ratio": -math.inf}, "$.ratio", "expected a number, got a huge one"),
        ({"flag": "false"}, "$.flag", "expected true or false, got a string"),
        ({"flag": 0}, "$.flag", "expected true or false, got a whole number"),
        ({"songs": None}, "$.songs", "expected an array, got null"),
        ({"songs": {"id": "s"}}, "$.songs", "expected an array, got an object"),
        ({"songs": "abc"}, "$.songs", "expected an array, got a string"),
        ({"songs": [{"id": "s"}, 7]}, "$.songs[1]", "expected an object"),
        ({"songs": [{"id": "s"}, {}]}, "$.songs[1].id", "missing"),
        ({"songs": [{"id": [7]}]}, "$.songs[0].id", "expected an id, got an array"),
        ({"songs": [{"id": ""}]}, "$.songs[0].id", "expected an id, got nothing"),
        ({"songs": [{"id": None}]}, "$.songs[0].id", "expected an id, got nothing"),
        ({"songs": [{"id": " \n"}]}, "$.songs[0].id", "expected an id"),
        ({"songs": [{"id": "\ud800"}]}, "$.songs[0].id", "expected an id"),
        ({"first": []}, "$.first", "expected an object, got an array"),
        ({"first": {"id": 1}}, "$.first.id", "expected an id"),
        (
            {"first": {"id": "s", "seconds": "1"}},
            "$.first.seconds",
            "expected a number, got a string",
        ),
    ],
)
def test_wrong_answer_names_the_place(change, path, problem):
    """What is not as documented is an error with the path and without the value."""
    with pytest.raises(MalformedAnswer) as caught:
        structure({**GOOD, **change}, Outer)

    assert caught.value.path == path
    assert caught.value.message.startswith(f"{path}: {problem}")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", list(GOOD))
def test_missing_member_is_named(name):
    """A member that is missing is named."""
    with pytest.raises(MalformedAnswer, match=rf"\$\.{name}: missing"):
        structure({key: GOOD[key] for key in GOOD if key != name}, Outer)


@pytest.mark.parametrize("data", [None, [], "text", 7, 7.5, True])
def test_answer_that_is_no_object(data):
    """Something else where the object should be is named by its place."""
    with pytest.raises(MalformedAnswer, match="expected an object") as caught:
        structure(data, Outer, at="$.data")

    assert caught.value.path == "$.data"


def test_array_can_be_read_alone():
    """An array of objects is read as such, and its errors count from its place."""
    assert structure([{"id": "a"}], list[Inner]) == [Inner("a")]
    with pytest.raises(MalformedAnswer, match=r"\$\.list\[0\]\.id: missing"):
        structure([{}], list[Inner], at="$.list")


def test_values_are_not_repeated():
    """A value that stands in the wrong place may be secret."""
    with pytest.raises(MalformedAnswer) as caught:
        structure({**GOOD, "count": "sk-canary"}, Outer)

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"<html>",
        b"NaN",
        b'{"a": Infinity}',
        b"\xff\xfe",
        b"[" * 200_000,
        b"1" * 5000,
    ],
    ids=["empty", "cut", "html", "nan", "infinity", "encoding", "deep", "long"],
)
def test_what_is_no_json(text):
    """Bad syntax, encoding, depth and size are all the same clear error."""
    with pytest.raises(MalformedAnswer, match="not JSON"):
        parse_json(text)


def test_json_is_parsed():
    """JSON gives plain values."""
    assert parse_json('{"a": [1, "心"]}'.encode()) == {"a": [1, "心"]}


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    max_leaves=8,
)


@given(changes=some.dictionaries(some.sampled_from([*GOOD, "first", "hint"]), JSON))
def test_nothing_else_is_ever_raised(changes):
    """Whatever JSON holds, it is read or it is malformed."""
    try:
        read: Outer | None = structure({**GOOD, **changes}, Outer)
    except MalformedAnswer:
        read = None

    assert read is None or type(read.name) is str
    assert read is None or all(type(song.id) is str for song in read.songs)
