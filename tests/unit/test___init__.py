"""The package loads its parts when they are first asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import personakit


def run(program: str) -> list[str]:
    """Run a program in a fresh interpreter, and return what it printed."""
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.split()


@pytest.mark.parametrize("name", personakit.__all__)
def test_every_public_name_is_there(name):
    """Each public name leads to its object, the same one every time."""
    assert getattr(personakit, name) is getattr(personakit, name)
    assert name in dir(personakit)


def test_unknown_name_is_refused():
    """A misspelt name gives the usual error."""
    with pytest.raises(AttributeError, match="Personakit"):
        personakit.Personakit  # noqa: B018


def test_import_loads_nothing():
    """The import alone loads no other package, and one name only what it needs."""
    program = "import personakit, sys; print(*[m for m in sys.modules if m in {!r}])"
    parts = {"aiohttp", "attrs", "cattrs", "backoff", "personakit.client"}

    assert run(program.format(parts)) == []
    used = "from personakit import Track; " + program.format({"aiohttp", "attr"})
    assert run(used) == ["attr"]


def test_star_import_gives_everything():
    """What is public comes by a star import too."""
    assert run("from personakit import *; print(PersonaKit.__name__)") == ["PersonaKit"]


def test_client_loads_its_own_service_only():
    """Dialects of other services, and aiohttp's server, stay away."""
    program = (
        "import personakit, sys; personakit.PersonaKit('evolink', api_key='k'); "
        "print(*[m for m in sys.modules if m.startswith('personakit.providers.') "
        "or m == 'aiohttp.web'])"
    )

    assert {name.split(".")[2] for name in run(program)} == {
        "answers",
        "base",
        "evolink",
        "callbacks",
        "suno",
    }
