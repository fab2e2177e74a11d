"""Keys in a keyring: kept, found, forgotten, and no trouble where there is none."""

from __future__ import annotations

import click
import keyring
import pytest
from keyring.backends.fail import Keyring as NoKeyring
from keyrings.alt.file import PlaintextKeyring

from personakit.cli import keys
from personakit.cli.keys import find_stored_key, store_key


@pytest.fixture
def ring(tmp_path):
    """Use a keyring in a file."""
    before, made = keyring.get_keyring(), PlaintextKeyring()
    made.file_path = str(tmp_path / "ring")
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


def test_life_of_a_key(ring):
    """What is kept is found, until it is forgotten; once more does no harm."""
    store_key("X_API_KEY", "secret")
    kept = find_stored_key("X_API_KEY")
    store_key("X_API_KEY", None)
    store_key("X_API_KEY", None)

    assert kept == "secret"
    assert find_stored_key("X_API_KEY") is None


def test_machine_without_a_keyring(ring):
    """It holds no key, and cannot keep one; the error names the way out."""
    keyring.set_keyring(NoKeyring())

    assert find_stored_key("X_API_KEY") is None
    with pytest.raises(click.ClickException, match="Set the variable X_API_KEY"):
        store_key("X_API_KEY", "secret")


def test_without_the_extra(monkeypatch):
    """The error names it."""
    monkeypatch.setattr(keys, "find_spec", lambda _: None)

    assert find_stored_key("X_API_KEY") is None
    with pytest.raises(click.ClickException, match=r"personakit-sdk\[keyring\]"):
        store_key("X_API_KEY", "secret")
