"""Where a client finds the address and the key that it was not given."""

from __future__ import annotations

import hashlib
import hmac
import os
import re

from yarl import URL

from personakit.errors import AuthenticationError, invalid
from personakit.http.transport import check_base_url
from personakit.journal import Account
from personakit.journal.record import UNNAMED
from personakit.providers.base import Provider
from personakit.validation import expect

NAME_LENGTH = 100
"""Characters of the name of an account at most."""

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
        raise invalid(
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
        raise invalid(
            "api_key",
            "must be printable ASCII without spaces",
            "Copy it again from the service's dashboard",
        )
    return key


def make_account(
    provider: Provider, base_url: URL, key: str, name: str | None
) -> Account:
    """Return the account that owns what is submitted.

    Args:
        provider: The service.
        base_url: Its address.
        key: The API key.
        name: The name that the user gave, None for a fingerprint of address and key,
            from which the key cannot be found.

    Raises:
        InvalidRequest: the name cannot be used.
    """
    address = str(base_url).rstrip("/")
    if name is None:
        digest = hmac.new(key.encode(), address.encode(), hashlib.sha256).hexdigest()
        return Account(provider.name, address, f"{UNNAMED}{digest[:16]}")
    check_account_name(name)
    return Account(provider.name, address, name)


def check_account_name(name: str) -> None:
    """Refuse a name that a user cannot give an account.

    Raises:
        InvalidRequest: the name cannot be used.
    """
    expect("account", name, "text", str)
    is_short = 0 < len(name) <= NAME_LENGTH
    if not is_short or not name.isprintable() or name.startswith(UNNAMED):
        raise invalid(
            "account",
            f"must have 1 to {NAME_LENGTH} printable characters and not begin with "
            f"{UNNAMED}",
            "Change it, or omit it",
        )
