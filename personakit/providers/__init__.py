"""The services, by name."""

from __future__ import annotations

from personakit.errors import refuse
from personakit.providers.base import Provider
from personakit.providers.evolink import Evolink

PROVIDERS: dict[str, Provider] = {provider.name: provider for provider in (Evolink(),)}
"""Every service that this package speaks to."""


def find_provider(name: str) -> Provider:
    """Return the service of that name.

    Raises:
        InvalidRequest: there is none.
    """
    if name not in PROVIDERS:
        raise refuse(
            "provider",
            f"must be one of {', '.join(PROVIDERS)}",
            "Pass the name of a service",
        )
    return PROVIDERS[name]
