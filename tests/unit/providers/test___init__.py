"""Services are found by name."""

from __future__ import annotations

import pytest

from personakit.errors import InvalidRequest
from personakit.providers import PROVIDERS, find_provider


@pytest.mark.parametrize("name", PROVIDERS)
def test_services_are_found(name):
    """Every service is found under its own name."""
    assert find_provider(name).name == name


@pytest.mark.parametrize("name", ["", "Evolink", "suno", None])
def test_unknown_services_are_refused(name):
    """A wrong name lists the right ones."""
    with pytest.raises(InvalidRequest, match="provider must be one of evolink"):
        find_provider(name)
