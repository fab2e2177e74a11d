"""Commands, driven as a script would drive them."""

from __future__ import annotations

import json

from click.testing import CliRunner

from personakit.cli.main import cli


def run(*words: str, given: str | None = None):
    return CliRunner().invoke(cli, words, input=given)


def told(shown):
    """Return the one JSON value that a command printed."""
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)
