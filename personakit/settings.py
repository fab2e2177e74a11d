"""Where a client finds the address and the key that it was not given."""

from __future__ import annotations

import hashlib
import os
import re

from yarl import URL

from personakit.errors import AuthenticationError, refuse
from personakit.providers.base import Provider
from personakit.transport import check_base_url

_KEY = re.compile(r"[!-~]+")


def find_base_url(provider: Provider, given: str | None) -> tuple[URL, bool]:
    """Return the address that was given, or that of the environment, or the service's.

    Returns:
        The address, and whether it is the service's own.

    Raises:
        InvalidRequest: there is none, or it is none that may be used.
    """
    variable = provider.key_variable.replace("_API_KEY", "_BASE_URL")
    told = given if given is not None else os.environ.get(variable)
    if told is None and provider.base_url is None:
        raise refuse(
            "base_url",
            f"must be given, since {provider.name} publishes none",
            f"Pass the address that the service gave you, or set {variable}",
        )
    own = provider.base_url or ""
    return check_base_url(own if told is None else told), told is None


def find_key(given: str | None, variable: str) -> str:
    """Return the key that was given, or that of the environment.

    Raises:
        AuthenticationError: there is none.
        InvalidRequest: it can be none.
    """
    key = os.environ.get(variable, "") if given is None else given
    if not key:
        raise AuthenticationError(
            f"There is no API key. Pass api_key, or set {variable}."
        )
    if not _KEY.fullmatch(key):
        raise refuse(
            "api_key",
            "must be printable ASCII without spaces",
            "Copy it again from the service's dashboard",
        )
    return key


def name_account(provider: Provider, base_url: URL, key: str) -> str:
    """Name an account, the same way everywhere, without telling its key."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return f"{provider.name} {base_url} {digest}"
