"""Bodies are read by their types."""

from __future__ import annotations

import math

import pytest

from personakit.emulator.services.fields import Fields, read_object


class No(Exception):
    pass


def fields(**values):
    return Fields(values, No)


@pytest.mark.parametrize(("body", "value"), [(b"", {}), (b'{"a": 1}', {"a": 1})])
def test_objects(body, value):
    """An object is read, and no body at all counts as an empty one."""
    assert read_object(body, No) == value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b'{"a": NaN}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
    ],
)
def test_other_bodies(body, said):
    """Anything else is refused."""
    with pytest.raises(No, match=said):
        read_object(body, No)


def test_values_of_the_right_type():
    """Each member is read as what it is; blank and null are absent."""
    told = fields(a="x", b=" ", c=None, d=True, e=1.5, f=7, g="https://x.example/a")

    assert (told.text("a"), told.text("b"), told.text("c"), told.text("z")) == (
        "x",
        "",
        "",
        "",
    )
    assert (told.flag("d"), told.flag("z")) == (True, None)
    assert (told.number("e", 0, 2), told.number("z", 0, 2)) == (1.5, None)
    assert (told.whole("f", 0, 9), told.whole("z", 0, 9)) == (7, None)
    assert (told.choice("a", "x", "y"), told.choice("z", "x")) == ("x", "")
    assert told.address("g") == "https://x.example/a"
    assert (told.has("a"), told.has("c"), told.has("z")) == (True, False, False)


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda: fields(a=7).text("a"), "a must be a string"),
        (lambda: fields(a="xyz").text("a", most=2), "must not exceed 2"),
        (lambda: fields(a=" ").required("a"), "a cannot be null"),
        (lambda: fields(a=1).flag("a"), "must be a boolean"),
        (lambda: fields(a=True).number("a", 0, 1), "must be a number"),
        (lambda: fields(a="1").number("a", 0, 1), "must be a number"),
        (lambda: fields(a=math.nan).number("a", 0, 1), "must be 0 to 1"),
        (lambda: fields(a=-1).number("a", 0, math.inf), "must be at least 0"),
        (lambda: fields(a=1.5).whole("a", 0, 9), "must be an integer"),
        (lambda: fields(a="z").choice("a", "x", "y"), "must be one of: x, y"),
        (lambda: fields(a="ftp://x").address("a"), "http or https address"),
    ],
)
def test_values_of_other_types(read, said):
    """What is wrong is named."""
    with pytest.raises(No, match=said):
        read()
