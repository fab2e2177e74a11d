"""The services, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import cast

from personakit.errors import invalid
from personakit.providers.base import Provider


def _load(module: str, maker: str) -> Provider:
    """Make a dialect; only that of the service in use is ever loaded."""
    make = getattr(import_module(f"{__name__}.{module}"), maker)
    return cast("Provider", make())


PROVIDERS: dict[str, Callable[[], Provider]] = {
    "evolink": partial(_load, "evolink", "Evolink"),
    "sunoapi": partial(_load, "sunoapi", "SunoApi"),
    "sunoapi.org": partial(_load, "sunoapi", "make_sunoapi_org"),
    "kie": partial(_load, "sunoapi", "make_kie"),
    "kie-jobs": partial(_load, "sunoapi.jobs", "KieJobs"),
    "musicmint": partial(_load, "musicmint", "MusicMint"),
}
"""Every service that this package speaks to; a client makes a dialect of its own."""


def find_provider(provider: str | Provider) -> Provider:
    """Return the dialect of that name, or the dialect itself.

    Raises:
        InvalidRequest: there is none.
    """
    if isinstance(provider, Provider):
        return provider
    if provider not in PROVIDERS:
        raise invalid(
            "provider",
            f"must be one of {', '.join(PROVIDERS)}",
            "Pass the name of a service",
        )
    return PROVIDERS[provider]()
