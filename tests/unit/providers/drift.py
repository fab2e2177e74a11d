"""How answers may drift: strategies for anything that a service could send one day."""

from __future__ import annotations

from hypothesis import strategies as some

ODD = some.sampled_from([None, True, "x", "", 0, -1, 1.5, [], {}, [{}], {"a": {}}])

ANY_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda inner: (
        some.lists(inner)
        | some.dictionaries(
            some.sampled_from(
                ["code", "data", "msg", "message", "taskId", "id", "status", "items"]
            ),
            inner,
        )
    ),
)


@some.composite
def drifted(draw, value):
    """Replace or remove something in a JSON value, at any depth."""
    if isinstance(value, dict) and value and draw(some.integers(0, 9)) > 1:
        name = draw(some.sampled_from(sorted(value)))
        if draw(some.booleans()):
            return {key: inner for key, inner in value.items() if key != name}
        return {**value, name: draw(drifted(value[name]))}
    if isinstance(value, list) and value and draw(some.integers(0, 9)) > 1:
        return [draw(drifted(value[0])), *value[1:]]
    return draw(ODD)
