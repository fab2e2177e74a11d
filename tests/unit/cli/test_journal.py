"""The commands that look after the journal itself."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3

import pytest

from personakit.journal import SqliteJournal
from tests.unit.cli.commandline import run, told
from tests.unit.journal.stores import ME, bring

pytestmark = pytest.mark.looptime(False)


@pytest.fixture
def detached(account) -> str:
    """Leave a job under the key of the service, and return its token."""
    return told(run("generate", "--idea", "rain", "--detach", "--json"))["token"]


def test_accounts_are_listed(account, detached):
    """Each has its service, its name and the number of unsettled submits."""
    run("generate", "--idea", "snow", "--detach", "--account", "studio")
    listed = told(run("journal", "accounts", "--json"))
    shown = run("journal", "accounts").stdout.splitlines()

    assert [one["unsettled"] for one in listed] == [1, 1]
    assert listed[0]["name"].startswith("~")
    assert listed[1]["name"] == "studio"
    assert shown[1].split() == [
        "evolink",
        account.url("evolink"),
        "studio",
        "1",
        "unsettled",
    ]


def test_rotated_key_is_followed_by_the_command_of_the_warning(
    account, detached, monkeypatch, caplog
):
    """M8: what the warning says moves the jobs of the old key to a named account."""
    account_key = account.api_key
    monkeypatch.setenv("EVOLINK_API_KEY", "sk-rotated-key")
    run("jobs", "resume")
    [command] = re.findall(r'"personakit (journal [^"]*)"', caplog.text)
    moved = run(*command.replace("NAME", "studio").split())
    monkeypatch.setenv("EVOLINK_API_KEY", account_key)
    listed = told(run("jobs", "list", "--account", "studio", "--json"))
    resumed = run("jobs", "resume", "--account", "studio")

    assert moved.exit_code == 0, moved.output
    assert moved.stdout == "1 submits of evolink belong to studio.\n"
    assert listed == [detached]
    assert len(resumed.stdout.splitlines()) == 2
    assert told(run("journal", "accounts", "--json")) == []


def test_renaming_needs_no_key(account, detached, monkeypatch):
    """The journal is changed, the service is not asked."""
    [found] = told(run("journal", "accounts", "--json"))
    monkeypatch.delenv("EVOLINK_API_KEY")
    moved = told(run("journal", "rename-account", found["name"], "studio", "--json"))
    again = told(run("journal", "rename-account", found["name"], "studio", "--json"))

    assert (moved["submits"], moved["new_name"]) == (1, "studio")
    assert again["submits"] == 0


def test_account_of_another_service_is_found_by_its_name(account, tmp_path):
    """The command of the warning needs no option; two services need one."""
    path = tmp_path / "data" / "jobs.db"
    path.parent.mkdir()

    async def fill() -> None:
        journal = SqliteJournal(path)
        await bring(journal, "accepted")
        await journal.aclose()

    asyncio.run(fill())
    moved = told(run("journal", "rename-account", ME.name, "you", "--json"))
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO submits (id, provider, address, account, kind, fingerprint, state,"
        " attempt, open, is_shared, at, made_at)"
        " SELECT id || 'x', 'kie', address, account, kind, fingerprint, 'intent',"
        " attempt, open, 0, at, made_at FROM submits"
    )
    connection.commit()
    connection.close()
    both = run("journal", "rename-account", "you", "them")

    assert (moved["address"], moved["submits"]) == (ME.address, 1)
    assert both.exit_code == 2
    assert "--provider" in both.stderr


@pytest.mark.parametrize("name", ["", "~0123", "a\nb", "x" * 101])
def test_name_that_no_account_can_have(account, detached, name):
    """It is refused as a client would refuse it, and nothing is renamed."""
    [found] = told(run("journal", "accounts", "--json"))
    shown = run("journal", "rename-account", found["name"], name)

    assert shown.exit_code == 3
    assert told(run("journal", "accounts", "--json")) == [found]


def test_two_accounts_with_one_key_are_not_merged(account, tmp_path):
    """A caller key stands for one order of each account."""
    source, out = tmp_path / "songs.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"kind": "music", "idea": "rain"}))
    for name in ("one", "two"):
        made = run("batch", str(source), "--out", str(out), "--account", name)
        assert made.exit_code == 0, made.output
    shown = run("journal", "rename-account", "one", "two")

    assert len(account.charges) == 2
    assert shown.exit_code == 4
    assert "same key=" in shown.stderr


def test_tables_of_a_file_are_made(account, tmp_path):
    """Of the usual journal, or of the one that is named; again does no harm."""
    named = tmp_path / "more" / "named.db"
    words = ("journal", "migrate")
    made = [told(run(*words, "--json")), told(run(*words, str(named), "--json"))]
    again = run(*words, str(named))

    assert made == [{"migrated": True}] * 2
    assert again.stdout == "The tables are up to date.\n"
    assert (tmp_path / "data" / "jobs.db").exists()
    assert named.exists()


def test_file_of_another_program_is_not_changed(account, tmp_path):
    """It is named, and refused."""
    path = tmp_path / "songs.txt"
    path.write_text("la la la " * 200)
    shown = run("journal", "migrate", str(path))

    assert shown.exit_code == 4
    assert "not a database" in shown.stderr


def test_tables_of_a_database_are_made(account, postgres):
    """J6: a role that may create tables does it for one that may not."""
    place = postgres.make_place()
    made = run("journal", "migrate", place)
    listed = run("journal", "accounts", "--journal", place)

    assert made.exit_code == 0, made.output
    assert made.stdout == "The tables are up to date.\n"
    assert listed.exit_code == 0, listed.output
