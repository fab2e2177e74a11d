"""Where a client finds the address and the key that it was not given."""

from __future__ import annotations

import pytest

from personakit import AuthenticationError, InvalidRequest, PersonaKit


def test_key_comes_from_the_environment(monkeypatch):
    """Without a key of its own the client takes the service's variable."""
    monkeypatch.setenv("EVOLINK_API_KEY", "sk-env")
    kit = PersonaKit("evolink")

    assert kit._key == "sk-env"


def test_given_key_wins(monkeypatch):
    """A key that is passed is used, whatever the environment says."""
    monkeypatch.setenv("EVOLINK_API_KEY", "sk-env")

    assert PersonaKit("evolink", api_key="sk-own")._key == "sk-own"


def test_missing_key_is_named(monkeypatch):
    """Without any key the error names the argument and the variable."""
    monkeypatch.delenv("EVOLINK_API_KEY", raising=False)
    with pytest.raises(AuthenticationError, match="api_key, or set EVOLINK_API_KEY"):
        PersonaKit("evolink")


@pytest.mark.parametrize("key", ["a b", "a\r\nX-Evil: 1", "schlüssel", "\n"])
def test_damaged_key_is_refused_unseen(key):
    """A key that cannot go into a header is refused, and not repeated."""
    with pytest.raises(InvalidRequest, match="api_key must be printable") as caught:
        PersonaKit("evolink", api_key=key)

    assert key not in str(caught.value)


def test_empty_key_is_no_key(monkeypatch):
    """An empty key is missing, even where the environment has one."""
    monkeypatch.setenv("EVOLINK_API_KEY", "sk-env")
    with pytest.raises(AuthenticationError):
        PersonaKit("evolink", api_key="")


def test_insecure_address_is_refused():
    """The key is never sent in the clear."""
    with pytest.raises(InvalidRequest, match="base_url must be an https address"):
        PersonaKit("evolink", api_key="k", base_url="http://api.evolink.ai")


def test_address_that_nobody_publishes_must_be_given():
    """MusicMint prints only a placeholder, so the caller must know the address."""
    with pytest.raises(InvalidRequest, match="base_url must be given, since musicmint"):
        PersonaKit("musicmint", api_key="k")


def test_address_comes_from_the_environment(monkeypatch):
    """Without an address of its own the client takes the service's variable."""
    monkeypatch.setenv("EVOLINK_BASE_URL", "http://127.0.0.1:1/env")
    told = PersonaKit("evolink", api_key="k" * 9)
    given = PersonaKit("evolink", api_key="k" * 9, base_url="http://127.0.0.1:1/own")
    monkeypatch.delenv("EVOLINK_BASE_URL")
    own = PersonaKit("evolink", api_key="k" * 9)

    assert [str(kit._base_url) for kit in (told, given)] == [
        "http://127.0.0.1:1/env",
        "http://127.0.0.1:1/own",
    ]
    assert own._base_url.host == "api.evolink.ai"


def test_uploads_follow_the_address(monkeypatch):
    """A service's own place for files serves its own address alone."""
    own = PersonaKit("kie", api_key="k" * 9)
    monkeypatch.setenv("KIE_BASE_URL", "http://127.0.0.1:1")
    told = PersonaKit("kie", api_key="k" * 9)

    assert own._files_url is not None
    assert told._files_url is None


@pytest.mark.parametrize("name", ["", "~a", "a\nb", "x" * 101, 7])
def test_name_of_an_account_can_be_kept(name):
    """A name that a journal cannot keep, or that looks like a fingerprint, is refused.

    The fingerprint of a key begins with a tilde.
    """
    with pytest.raises(InvalidRequest, match="account"):
        PersonaKit("evolink", api_key="k", account=name)


def test_account_without_a_name_is_of_key_and_address():
    """Key and address make the account, and the key cannot be read from it."""
    url = "https://x.example"
    accounts = [
        PersonaKit("evolink", api_key=key, base_url=address)._account.name
        for key, address in [("k1", url), ("k2", url), ("k1", f"{url}/v2"), ("k1", url)]
    ]

    assert len(set(accounts)) == 3
    assert accounts[0] == accounts[3]
    assert accounts[0].startswith("~")
    assert "k1" not in accounts[0]
