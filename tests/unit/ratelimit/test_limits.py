"""What services publish of their limits."""

from __future__ import annotations

import math

import pytest

from personakit.providers import PROVIDERS
from personakit.ratelimit.limits import UNPUBLISHED, Limit


@pytest.mark.parametrize("name", PROVIDERS)
def test_published_limits(name):
    """The sunoapi family takes 20 starts in 10 s (documented); others tell nothing."""
    limits = PROVIDERS[name]().limits

    if name in {"evolink", "musicmint"}:
        assert limits == UNPUBLISHED
    else:
        assert limits.starts == Limit(20, 10)
    assert limits.reads.count == math.inf
