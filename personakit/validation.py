"""Validators of the fields that callers fill in, and what counts as a number.

Each refuses with the field, the rule and the remedy, before anything is sent.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import attrs

from personakit.errors import invalid

NoneType = type(None)
"""For `expect`: the argument may be omitted."""

Validator: TypeAlias = Callable[[Any, "attrs.Attribute[Any]", Any], None]

optional = attrs.validators.optional
"""Let None pass, and have the inner validator look at anything else."""


def number_or_none(value: object) -> float | None:
    """Return a finite number as a float, and None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def moment_or_none(seconds: object) -> datetime | None:
    """Return Unix seconds as an aware date, and None for anything else."""
    number = number_or_none(seconds)
    try:
        return None if number is None else datetime.fromtimestamp(number, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def is_sendable(text: str) -> bool:
    """Tell whether text can be encoded; half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def label(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept any text that can be sent, blank text too."""
    if not isinstance(value, str) or not is_sendable(value):
        raise invalid(
            attribute.name, "must be valid Unicode text", "Correct or omit it"
        )


def text(owner: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept any text that says something."""
    label(owner, attribute, value)
    if not str(value).strip():
        raise invalid(attribute.name, "must not be blank", "Fill it in")


def number(low: float, high: float) -> Validator:
    """Accept a finite number between two bounds, both allowed."""

    def check(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
        if number_or_none(value) is None or not low <= value <= high:
            limits = f"from {low:g}" + ("" if high == math.inf else f" to {high:g}")
            raise invalid(
                attribute.name, f"must be a number {limits}", "Change or omit it"
            )

    return check


def one_of(*allowed: str) -> Validator:
    """Accept one of some words."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, str) or value not in allowed:
            rule = "must be " + " or ".join(repr(word) for word in allowed)
            raise invalid(attribute.name, rule, "Change or omit it")

    return check


def a(*shapes: type) -> Validator:
    """Accept values of some classes."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, shapes):
            rule = "must be a " + " or a ".join(shape.__name__ for shape in shapes)
            raise invalid(attribute.name, rule, "Pass such a value")

    return check


def is_address(value: object) -> bool:
    """Tell whether a value is an ``http`` or ``https`` address that can be sent."""
    if not isinstance(value, str) or not is_sendable(value) or len(value.split()) != 1:
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def a_or_address(*shapes: type) -> Validator:
    """Accept values of some classes, and web addresses."""
    names = " or a ".join(shape.__name__ for shape in shapes)

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, shapes) and not is_address(value):
            raise invalid(
                attribute.name,
                f"must be a {names} or an https address",
                "Pass such a value",
            )

    return check


def expect(
    field: str,
    value: object,
    rule: str,
    *shapes: type,
    remedy: str = "Pass such a value",
) -> None:
    """Refuse an argument that is not an instance of one of the classes.

    Args:
        field: The name of the argument.
        value: What the caller passed.
        rule: What it must be, with its article, for example "a Track".
        *shapes: The classes.
        remedy: What to do about it, as a sentence without its full stop.

    Raises:
        InvalidRequest: it is not, or it is itself a class.
    """
    if not isinstance(value, shapes) or isinstance(value, type):
        kind = value if isinstance(value, type) else type(value)
        what = f"the class {kind.__name__}" if kind is value else kind.__name__
        raise invalid(field, f"must be {rule}, not {what}", remedy)


def expect_one_of(field: str, value: object, allowed: Iterable[str]) -> None:
    """Refuse an argument that is not one of some words.

    Raises:
        InvalidRequest: it is not.
    """
    words = tuple(map(str, allowed))
    if not isinstance(value, str) or value not in words:
        raise invalid(field, f"must be one of {', '.join(words)}", "Pass one of them")


def expect_count(field: str, value: object, low: int = 1) -> None:
    """Refuse an argument that is not a whole number from `low`.

    Raises:
        InvalidRequest: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise invalid(field, f"must be a whole number from {low}", "Change or omit it")


def expect_seconds(field: str, value: object) -> None:
    """Refuse an argument that is not a finite number of seconds from 0.

    Raises:
        InvalidRequest: it is not.
    """
    seconds = number_or_none(value)
    if seconds is None or seconds < 0:
        raise invalid(field, "must be a number of seconds from 0", "Change or omit it")


def expect_function(field: str, value: object) -> None:
    """Refuse an argument that is neither a function nor None.

    Raises:
        InvalidRequest: it is not.
    """
    if value is not None and not callable(value):
        raise invalid(field, "must be a function", "Pass one, or omit it")


def check_timeout(timeout: float) -> float:
    """Return a timeout as it is.

    Raises:
        InvalidRequest: not a positive number of seconds.
    """
    if timeout != math.inf and (number_or_none(timeout) or 0) <= 0:
        raise invalid(
            "timeout",
            "must be a positive number of seconds, or math.inf for no limit",
            "Change it, or omit it for the usual one",
        )
    return timeout


def check_journal(journal: object) -> None:
    """Refuse what is not a journal, and does not say where one is.

    Raises:
        InvalidRequest: it is not.
    """
    if isinstance(journal, type) or not hasattr(journal, "aclose"):
        rule = "a path, a postgresql:// URL or a Journal"
        expect("journal", journal, rule, str, os.PathLike, NoneType)
