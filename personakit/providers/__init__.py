"""The services, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from personakit.errors import refuse
from personakit.providers.base import Provider
from personakit.providers.evolink import Evolink
from personakit.providers.musicmint import MusicMint
from personakit.providers.sunoapi import SunoApi
from personakit.providers.sunoapi.jobs import KieJobs
from personakit.providers.sunoapi.presets import KIE, SUNOAPI_ORG

PROVIDERS: dict[str, Callable[[], Provider]] = {
    "evolink": Evolink,
    "sunoapi": SunoApi,
    "sunoapi.org": partial(SunoApi, SUNOAPI_ORG),
    "kie": partial(SunoApi, KIE),
    "kie-jobs": KieJobs,
    "musicmint": MusicMint,
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
        raise refuse(
            "provider",
            f"must be one of {', '.join(PROVIDERS)}",
            "Pass the name of a service",
        )
    return PROVIDERS[provider]()
