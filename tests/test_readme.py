"""The README is true: its programs run, its tables match the code."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

import personakit
from personakit import Ability
from personakit.polling.schedule import Pace
from personakit.providers import PROVIDERS
from personakit.providers.evolink import Evolink

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_readme_has_programs():
    """There is something to run."""
    assert len(PROGRAMS) >= 4


@pytest.mark.timeout(30)
@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_programs_run(program, service, monkeypatch, tmp_path, capsys):
    """Each program runs as it stands, against the emulator instead of the service."""
    here = partial(Evolink, base_url=service.url("evolink"))
    monkeypatch.setitem(PROVIDERS, "evolink", here)
    monkeypatch.setenv("EVOLINK_API_KEY", service.api_key)
    monkeypatch.setenv("MUSICMINT_API_KEY", service.api_key)
    monkeypatch.setenv("MUSICMINT_URL", service.url("musicmint"))
    # The emulator's clock runs fast, so the looks may come fast too.
    monkeypatch.setattr("personakit.client.Pace", partial(Pace, untold=1))
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "README.md", "exec"), {"__name__": "__main__"})

    prints = "print(" in program
    assert bool(capsys.readouterr().out) is (prints and "Fault" not in program)
    assert service.charges or "Emulator" in program


@pytest.mark.parametrize("heading", ["Quick start", "Tests"])
def test_commands_stand_first_under_their_headings(heading):
    """The first code block under the heading is one command."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    [command] = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)

    assert len(command.strip().splitlines()) == 1


def test_table_of_abilities_is_the_code_s():
    """The table says of every service and ability what `can` says."""
    [table] = re.findall(r"\| ability \|(.*?)\n\n", README, re.DOTALL)
    header, _, *rows = table.splitlines()
    services = [cell.strip() for cell in header.strip(" |").split("|")]
    told = {
        (re.search(r"Ability\.(\w+)", row)[1], service): cell.strip() == "yes"
        for row in rows
        for service, cell in zip(services, row.strip("|").split("|")[1:], strict=True)
    }

    assert told == {
        (ability.name, name): ability in make().abilities
        for ability in Ability
        for name, make in PROVIDERS.items()
    }


def test_table_of_errors_is_complete():
    """Every error of the package is explained."""
    errors = [name for name in personakit.__all__ if is_error(name)]

    assert [name for name in errors if f"`{name}`" not in README] == []


def is_error(name: str) -> bool:
    """Tell whether a public name is an error other than the base."""
    thing = getattr(personakit, name)
    is_class = isinstance(thing, type) and issubclass(thing, Exception)
    return is_class and thing is not personakit.PersonaKitError
