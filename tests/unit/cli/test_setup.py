"""The commands that see to a working set-up."""

from __future__ import annotations

import json

import click
import pytest

from personakit.cli import setup as module
from personakit.cli.main import cli
from personakit.emulator import Fault
from personakit.models import Ping
from tests.unit.cli.commandline import run, told
from tests.unit.cli.test_keys import ring

__all__ = ["ring"]

pytestmark = pytest.mark.looptime(False)


def look(*words: str) -> dict[str, dict]:
    """Return what was found, by what was looked at."""
    return {finding["what"]: finding for finding in json.loads(run(*words).stdout)}


def test_all_is_well(account):
    """Versions, settings, key, journal and service, for people and for programs."""
    found = {finding["what"]: finding for finding in told(run("doctor", "--json"))}
    shown = run("doctor")

    assert all(finding["is_good"] for finding in found.values())
    assert "aiohttp 3" in found["versions"]["text"]
    assert found["key"]["text"] == "in EVOLINK_API_KEY"
    assert "0 outcomes unknown" in found["journal"]["text"]
    assert "answered in" in found["reachable"]["text"]
    assert "clock" in found["reachable"]["text"]
    assert shown.stdout.count("ok ") == len(found)
    assert account.api_key not in shown.output
    assert account.charges == ()


def test_missing_key(account, monkeypatch):
    """Without a key nothing is asked, and the variable is named."""
    monkeypatch.delenv("EVOLINK_API_KEY")
    shown = run("doctor")

    assert shown.exit_code == 4
    assert "BAD  key: not in EVOLINK_API_KEY" in shown.stdout


def test_wrong_key(account, monkeypatch):
    """A key that the service refuses is told."""
    monkeypatch.setenv("EVOLINK_API_KEY", "sk-wrong-key")
    found = look("doctor", "--json")

    assert not found["reachable"]["is_good"]


def test_service_that_is_away(account, monkeypatch):
    """Nobody listens: that is told, and the rest is looked at all the same."""
    monkeypatch.setenv("PERSONAKIT_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    found = look("doctor", "--json")

    assert not found["reachable"]["is_good"]
    assert found["journal"]["is_good"]


def test_broken_journal(account, monkeypatch, tmp_path):
    """A file that is no journal is told."""
    path = tmp_path / "broken.db"
    path.write_text("nonsense " * 1000)
    monkeypatch.setenv("PERSONAKIT_JOURNAL", str(path))
    found = look("doctor", "--json")

    assert not found["journal"]["is_good"]
    assert "broken.db" in found["journal"]["text"]


def test_database_is_named_without_its_password(account, monkeypatch, postgres):
    """Wherever in the URL it stands."""
    place = f"{postgres.make_place()}&password=secret-word"
    monkeypatch.setenv("PERSONAKIT_JOURNAL", place)
    shown = run("doctor", "--json")

    assert "127.0.0.1/postgres" in look("doctor", "--json")["journal"]["text"]
    assert "secret-word" not in shown.output


def test_unknown_outcomes_are_counted(account):
    """What was lost is shown."""
    account.inject(Fault.drop(), on="submit", times=1)
    run("generate", "--idea", "rain")

    assert "1 outcomes unknown" in look("doctor", "--json")["journal"]["text"]


@pytest.mark.parametrize(
    ("clock", "is_good"), [(None, True), (5.0, True), (-300.0, False)]
)
def test_clocks(account, monkeypatch, clock, is_good):
    """Clocks far apart are told: links and receipts live by them."""

    async def ping(_, *, timeout):
        return Ping(0.1, clock)

    monkeypatch.setattr("personakit.client.PersonaKit.ping", ping)

    assert look("doctor", "--json")["reachable"]["is_good"] is is_good


def test_settings_are_told(account, tmp_path):
    """Which file, and what it sets."""
    (tmp_path / "config.toml").write_text('provider = "evolink"\n')

    assert "config.toml sets provider" in look("doctor", "--json")["settings"]["text"]


def test_missing_packages_are_told(account, monkeypatch):
    """An extra that is not installed is named."""
    monkeypatch.setattr(module, "_EXTRAS", ("no-such-package",))

    assert "no no-such-package" in look("doctor", "--json")["versions"]["text"]


def test_key_from_the_keyring(account, ring, monkeypatch):
    """A key that is kept is used, and forgotten again."""
    monkeypatch.delenv("EVOLINK_API_KEY")
    kept = run("key", "set", "evolink", given=f"{account.api_key}\n")
    found = look("doctor", "--json")
    balance = run("credits")
    forgotten = run("key", "forget", "evolink")
    without = run("credits")

    assert (kept.stdout, forgotten.stdout) == ("Kept.\n", "Forgotten.\n")
    assert account.api_key not in kept.output
    assert found["key"]["text"] == "in the keyring"
    assert balance.stdout == "1000 credits\n"
    assert without.exit_code == 3


def test_keys_for_programs(ring):
    """One JSON value each, and no word of the key."""
    kept = run("key", "set", "evolink", "--json", given="sk-secret-key\n")
    forgotten = run("key", "forget", "evolink", "--json")

    assert json.loads(kept.stdout) == {"kept": "EVOLINK_API_KEY"}
    assert json.loads(forgotten.stdout) == {"forgotten": "EVOLINK_API_KEY"}
    assert "sk-secret-key" not in kept.output


def test_every_command_speaks_json():
    """Whatever prints anything has the option."""

    def walk(command: click.Command, name: str) -> dict[str, bool]:
        if isinstance(command, click.Group):
            parts = command.commands.items()
            return {k: v for n, c in parts for k, v in walk(c, f"{name} {n}").items()}
        return {name: any("--json" in option.opts for option in command.params)}

    known = walk(cli, "personakit")

    assert len(known) > 15
    assert all(known.values()), known


def test_keyring_that_is_not_there(monkeypatch):
    """Nothing is asked for in vain."""
    monkeypatch.setattr(module, "has_keyring", lambda: False)
    monkeypatch.setattr("personakit.cli.keys.find_spec", lambda _: None)
    shown = run("key", "set", "evolink", given="secret\n")

    assert shown.exit_code == 1
    assert "personakit-sdk[keyring]" in shown.stderr
    assert "Key" not in shown.stdout
