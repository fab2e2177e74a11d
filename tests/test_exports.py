"""What ``import personakit`` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import personakit
import personakit.emulator

ROOT = Path(__file__).parents[1]

PUBLIC = {
    "Ability",
    "AudioFile",
    "CoverRequest",
    "ExtendRequest",
    "MashupRequest",
    "SungPersona",
    "Stems",
    "StemsRequest",
    "UploadRequest",
    "AuthenticationError",
    "Callbacks",
    "AlreadyDelivered",
    "SubmitRecord",
    "SubmitState",
    "Outcome",
    "JournalError",
    "ContentRefused",
    "Credits",
    "InsufficientCredits",
    "InvalidRequest",
    "Job",
    "JobFailed",
    "JobState",
    "MalformedAnswer",
    "MusicRequest",
    "NotFound",
    "OutcomeUnknown",
    "Persona",
    "PersonaExists",
    "PersonaKit",
    "PersonaKitError",
    "PersonaRequest",
    "RateLimited",
    "Receipt",
    "ServiceUnavailable",
    "Snapshot",
    "Track",
    "TrackRef",
    "Unsupported",
    "VocalWindow",
    "WaitTimeout",
    "__version__",
}


def test_public_names_are_pinned():
    """No public name comes or goes unnoticed."""
    assert set(personakit.__all__) == PUBLIC
    assert personakit.__all__ == sorted(personakit.__all__)
    assert all(hasattr(personakit, name) for name in PUBLIC)


def test_emulator_names_are_pinned():
    """The emulator's names are public too."""
    assert set(personakit.emulator.__all__) == {
        "Charge",
        "Callback",
        "Emulator",
        "Exchange",
        "Fault",
        "Song",
    }


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__"}))
def test_public_names_are_documented(name):
    """Every public name says what it is."""
    assert (getattr(personakit, name).__doc__ or "").strip()


def test_core_needs_four_packages_only():
    """The core's run-time dependencies are exactly those four."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["dependencies"] == [
        "aiohttp>=3.14.3,<4",
        "attrs>=24.2",
        "cattrs>=24.1.2",
        "backoff>=2.2.1,<3",
    ]


def test_import_does_nothing_but_import():
    """Importing is silent, and brings neither extras nor the emulator along."""
    script = (
        "import sys, personakit\n"
        "print(sorted({'click', 'rich', 'personakit.emulator'} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (ended.stdout, ended.stderr) == ("[]\n", "")
