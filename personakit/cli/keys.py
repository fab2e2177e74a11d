"""Keys in the platform's keyring, for whoever wants none in the environment.

Needs the extra ``keyring``. A machine without a keyring, as most servers are, is as
good as one that holds no key.
"""

from __future__ import annotations

from importlib.util import find_spec

import click

SERVICE = "personakit"
"""The name under which the keyring holds the keys."""
_HINT = (
    "There is no keyring here. Set the variable {} instead"
    '{}, or see "python -m keyring diagnose".'
)


def has_keyring() -> bool:
    """Tell whether the extra is installed."""
    return find_spec("keyring") is not None


def find_stored_key(variable: str) -> str | None:
    """Return the key that stands for an environment variable, None for none."""
    if not has_keyring():
        return None
    import keyring  # noqa: PLC0415 - an extra
    from keyring.errors import KeyringError  # noqa: PLC0415

    try:
        return keyring.get_password(SERVICE, variable)
    except KeyringError:
        return None


def store_key(variable: str, key: str | None) -> None:
    """Keep a key, or forget it where it is None.

    Raises:
        ClickException: there is no keyring.
    """
    if not has_keyring():
        install = ', run pip install "personakit-sdk[keyring]"'
        raise click.ClickException(_HINT.format(variable, install))
    import keyring  # noqa: PLC0415 - an extra
    from keyring.errors import KeyringError, PasswordDeleteError  # noqa: PLC0415

    try:
        if key is None:
            keyring.delete_password(SERVICE, variable)
        else:
            keyring.set_password(SERVICE, variable, key)
    except PasswordDeleteError:
        return  # there was none
    except KeyringError as error:
        raise click.ClickException(_HINT.format(variable, "")) from error
