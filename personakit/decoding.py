"""The one strict way from JSON text to typed values.

What a service sends is believed only where it has the documented type: null is not
``"None"``, ``"7"`` is not 7, ``"false"`` is not true. Unknown members are ignored, so
that a service may add some. An error names the place, and never repeats a value,
since values may be secret.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, NewType, TypeVar, cast, get_origin

import attrs
import cattrs
from cattrs.cols import list_structure_factory
from cattrs.gen import make_dict_structure_fn

from personakit.errors import MalformedAnswer
from personakit.validation import is_sendable

T = TypeVar("T")
Id = NewType("Id", str)
"""Text that names something, and so is never empty."""
_NAMES: dict[type, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


class _WrongType(Exception):
    """A value has not the type that it should have."""


def _name(value: object) -> str:
    return _NAMES[type(value)]


def _strict(read: Callable[[Any], T], *accepted: type) -> Callable[[Any, Any], T]:
    expected = _NAMES[accepted[-1]]

    def hook(value: Any, _: Any) -> T:
        if type(value) not in accepted:
            raise _WrongType(f"expected {expected}, got {_name(value)}")
        try:
            return read(value)
        except OverflowError:
            raise _WrongType(f"expected {expected}, got a huge one") from None

    return hook


def _finite(value: float) -> float:
    number = float(value)
    if not math.isfinite(number):  # JSON's 1e999
        raise OverflowError
    return number


def _id(value: Any, _: Any) -> Id:
    if not isinstance(value, str) or not value:
        raise _WrongType(f"expected an id, got {_name(value) if value else 'nothing'}")
    if not value.strip() or not is_sendable(value):
        raise _WrongType("expected an id, got text that can be none")
    return Id(value)


def _only(
    accepted: type, factory: Callable[[Any, cattrs.Converter], Callable[..., Any]]
) -> Callable[[Any, cattrs.Converter], Callable[..., Any]]:
    """Put a type check before the hooks that cattrs generates."""

    def make(shape: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
        inner = factory(shape, converter)

        def hook(value: Any, _: Any) -> Any:
            if type(value) is not accepted:
                raise _WrongType(f"expected {_NAMES[accepted]}, got {_name(value)}")
            return inner(value, shape)

        return hook

    return make


def _is_list(shape: Any) -> bool:
    return get_origin(shape) is list


def _make_converter(*, detailed: bool) -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=detailed)
    converter.register_structure_hook(str, _strict(str, str))
    converter.register_structure_hook(bool, _strict(bool, bool))
    converter.register_structure_hook(int, _strict(int, int))
    converter.register_structure_hook(float, _strict(_finite, int, float))
    converter.register_structure_hook(Id, _id)
    converter.register_structure_hook_factory(
        attrs.has, _only(dict, make_dict_structure_fn)
    )
    converter.register_structure_hook_factory(
        _is_list, _only(list, list_structure_factory)
    )
    return converter


_converter = _make_converter(detailed=False)
_explainer = _make_converter(detailed=True)  # slower, and tells where a problem is


def _refuse_constant(_: str) -> float:
    raise ValueError("NaN and Infinity are not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


def parse_json(text: bytes) -> object:
    """Read JSON text; bad encoding, bad syntax and depth all raise MalformedAnswer."""
    try:
        return _decoder.decode(text.decode())
    except (ValueError, RecursionError):
        # No chaining: the cause would carry the text itself.
        raise MalformedAnswer("The answer is not JSON.") from None


def structure(data: object, shape: type[T], *, at: str = "$") -> T:
    """Read parsed JSON as an attrs class, or a list of one.

    Args:
        data: What `parse_json` gave.
        shape: What it should be.
        at: Where in the answer `data` stands.

    Raises:
        MalformedAnswer: a member is missing or has the wrong type; ``path`` says where.
    """
    try:
        return _converter.structure(data, shape)
    except (KeyError, _WrongType):
        return _explain(data, shape, at)


def _explain(data: object, shape: type[T], at: str) -> T:
    try:
        return _explainer.structure(data, shape)
    except (cattrs.BaseValidationError, _WrongType) as error:
        path, problem = _first_problem(error, at)
        raise MalformedAnswer(f"{path}: {problem}.", path=path) from None


def _first_problem(error: BaseException, path: str) -> tuple[str, str]:
    """Walk down to the first leaf of cattrs' error tree, collecting the path."""
    if isinstance(error, cattrs.ClassValidationError):
        inner, member = error.group_exceptions()[0][0]
        return _first_problem(inner, f"{path}.{member.name}")
    if isinstance(error, cattrs.IterableValidationError):
        inner, item = error.group_exceptions()[0][0]
        return _first_problem(inner, f"{path}[{item.index}]")
    return path, "missing" if isinstance(error, KeyError) else str(error)


def member(data: object, name: str) -> object:
    """Return a member of a JSON object, None where there is none."""
    return cast("dict[str, object]", data).get(name) if isinstance(data, dict) else None


def text_member(data: object, name: str) -> str | None:
    """Return a member of a JSON object that is text, None for anything else."""
    value = member(data, name)
    return value if isinstance(value, str) else None
