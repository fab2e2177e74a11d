"""How tests hold a refusal against the rule that it should name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from personakit.errors import InvalidRequest


def check_refusal(
    build: Callable[[], object], field: str, rule: str, source: str | None = None
) -> None:
    """Build, and see the field, the rule and the source of the refusal."""
    with pytest.raises(InvalidRequest) as caught:
        build()

    error = caught.value
    assert error.field == field
    assert rule in error.rule
    assert error.remedy
    assert source is None or error.source == source
    assert (error.charged, error.retry_safe) == ("no", False)
