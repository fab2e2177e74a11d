"""The entry point, with and without the extra."""

from __future__ import annotations

import runpy
import sys

import pytest

from personakit.__main__ import main


def test_module_runs_the_command_line(monkeypatch, capsys):
    """``python -m personakit`` is the command line."""
    monkeypatch.delitem(sys.modules, "personakit.__main__")
    monkeypatch.setattr(sys, "argv", ["personakit", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("personakit", run_name="__main__")

    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("personakit, version ")


def test_main_runs_the_command_line(monkeypatch, capsys):
    """The installed script is the command line too."""
    monkeypatch.setattr(sys, "argv", ["personakit", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 0
    assert "Suno personas from the command line" in capsys.readouterr().out


def without(monkeypatch, module: str) -> None:
    """Make one module and all below it impossible to import."""
    monkeypatch.delitem(sys.modules, "personakit.cli.main", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    for name in tuple(sys.modules):
        if name.startswith(f"{module}."):
            monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("module", ["click", "rich"])
def test_missing_extra_is_one_line(monkeypatch, module):
    """Without the extra one line says what to install."""
    without(monkeypatch, module)
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == (
        "The command line needs an extra: pip install 'personakit-sdk[cli]'"
    )


def test_other_missing_modules_are_not_hidden(monkeypatch):
    """What is missing for another reason is not taken for the extra."""
    without(monkeypatch, "json")
    with pytest.raises(ModuleNotFoundError, match="json"):
        main()
