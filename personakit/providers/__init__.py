"""The services, by name."""

from __future__ import annotations

from collections.abc import Callable

from personakit.errors import refuse
from personakit.providers.base import Provider
from personakit.providers.evolink import Evolink

PROVIDERS: dict[str, Callable[[], Provider]] = {"evolink": Evolink}
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
