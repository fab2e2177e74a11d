"""Typed reading of JSON bodies, shared by the rules of all services."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import cast

import attrs


def read_object(
    body: bytes, refuse: Callable[[str], Exception]
) -> Mapping[str, object]:
    """Return the JSON object in a body; an empty body counts as an empty one.

    Args:
        body: As it came.
        refuse: Makes the error for a text of what is wrong.
    """
    try:
        value = json.loads(body or b"{}", parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise refuse("request body is not valid JSON") from None
    if not isinstance(value, dict):
        raise refuse("request body must be a JSON object")
    return cast("dict[str, object]", value)


def _refuse_constant(name: str) -> float:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


@attrs.frozen
class Fields:
    """The members of an object by their types; null and blank text count as absent.

    Attributes:
        values: As they came.
        refuse: Makes the error for a text of what is wrong.
    """

    values: Mapping[str, object]
    refuse: Callable[[str], Exception]

    def has(self, name: str) -> bool:
        """Tell whether a member is there and not null."""
        return self.values.get(name) is not None

    def text(self, name: str, *, most: int | None = None) -> str:
        """Return text, empty where there is none."""
        value = self.values.get(name, "")
        if not isinstance(value, str | None):
            raise self.refuse(f"{name} must be a string")
        if most is not None and len(value or "") > most:
            raise self.refuse(f"{name} must not exceed {most} characters")
        return value if value and value.strip() else ""

    def required(self, name: str, *, most: int | None = None) -> str:
        """Return text that must be there."""
        if not (value := self.text(name, most=most)):
            raise self.refuse(f"{name} cannot be null")
        return value

    def flag(self, name: str) -> bool | None:
        """Return true, false, or None where it is absent."""
        value = self.values.get(name)
        if not isinstance(value, bool | None):
            raise self.refuse(f"{name} must be a boolean")
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        """Return a number between two bounds, None where it is absent."""
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise self.refuse(f"{name} must be a number")
        if value is not None and not low <= value <= high:  # NaN is neither
            limits = f"at least {low:g}" if high == math.inf else f"{low:g} to {high:g}"
            raise self.refuse(f"{name} must be {limits}")
        return value

    def whole(self, name: str, low: int, high: int) -> int | None:
        """Return a whole number between two bounds, None where it is absent."""
        value = self.number(name, low, high)
        if value is not None and not isinstance(value, int):
            raise self.refuse(f"{name} must be an integer")
        return value

    def choice(self, name: str, *allowed: str) -> str:
        """Return one of some words, empty where it is absent."""
        value = self.text(name)
        if value and value not in allowed:
            raise self.refuse(f"{name} must be one of: {', '.join(allowed)}")
        return value

    def address(self, name: str) -> str:
        """Return a web address, empty where it is absent."""
        value = self.text(name)
        if value and not value.startswith(("http://", "https://")):
            raise self.refuse(f"{name} must be an http or https address")
        return value
