"""What the tests of commands need: an account in the environment."""

from __future__ import annotations

import pytest


@pytest.fixture
def account(service, monkeypatch, tmp_path):
    """Set what the commands take from the environment."""
    monkeypatch.setenv("EVOLINK_API_KEY", service.api_key)
    monkeypatch.setenv("PERSONAKIT_BASE_URL", service.url("evolink"))
    monkeypatch.setenv("PERSONAKIT_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("PERSONAKIT_JOURNAL", str(tmp_path / "data" / "jobs.db"))
    return service
