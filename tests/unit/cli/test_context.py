"""Options, output and exit codes of the commands that use an account."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from personakit import errors
from personakit.cli.context import (
    CliContext,
    find_exit_code,
    find_settings_path,
    read_settings,
    with_context,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidRequest("x"), 3),
        (errors.AuthenticationError("x"), 3),
        (errors.InsufficientCredits("x"), 3),
        (errors.Unsupported("x"), 3),
        (errors.JobFailed("x"), 4),
        (errors.ServiceUnavailable("x"), 4),
        (errors.OutcomeUnknown("x"), 5),
        (errors.WaitTimeout("x"), 6),
    ],
)
def test_exit_codes(error, code):
    """Each kind of error has its code."""
    assert find_exit_code(error) == code


def test_interruption_says_how_to_go_on(monkeypatch):
    """Ctrl-C has a code of its own, and names the command that goes on."""

    @click.command()
    @with_context
    async def stop(_: CliContext) -> None:
        raise KeyboardInterrupt

    shown = CliRunner().invoke(stop, [])

    assert shown.exit_code == 130
    assert "personakit jobs resume" in shown.stderr


@pytest.mark.parametrize(
    ("as_json", "out", "err"), [(True, '{"ö": 1}\n', ""), (False, "text\n", "note\n")]
)
def test_output(as_json, out, err, tmp_path, capsys):
    """Programs get one JSON value and nothing else."""
    account = CliContext("evolink", None, str(tmp_path / "jobs.db"), 9.0, as_json)
    account.info("note")
    account.output("text", {"ö": 1})

    assert capsys.readouterr() == (out, err)


async def test_folder_of_the_journal_is_made(tmp_path, monkeypatch):
    """A fresh machine has none yet."""
    monkeypatch.setenv("EVOLINK_API_KEY", "key")
    path = tmp_path / "a" / "b" / "jobs.db"
    async with CliContext("evolink", None, str(path), 9.0, as_json=False).open() as kit:
        assert kit.provider == "evolink"
    assert path.parent.is_dir()


def test_folder_that_cannot_be_made(tmp_path):
    """J3: a folder of which a part is a file is named, without a traceback."""
    (tmp_path / "file").touch()
    journal = str(tmp_path / "file" / "folder" / "jobs.db")
    account = CliContext("evolink", None, journal, 9.0, as_json=False)

    with pytest.raises(errors.InvalidRequest, match=r"file/folder, which cannot"):
        account.make_folder()


async def test_url_of_a_database_is_no_file(tmp_path, monkeypatch, postgres):
    """It is passed on as it is."""
    monkeypatch.setenv("EVOLINK_API_KEY", "key")
    monkeypatch.chdir(tmp_path)
    kit = CliContext("evolink", None, postgres.make_place(), 9.0, as_json=True).open()

    assert "Postgres" in repr(kit._journal)
    assert list(tmp_path.iterdir()) == []


SETTINGS = """
provider = "sunoapi"
base_url = "http://127.0.0.1:1"
journal = "here.db"
account = "studio"
timeout = 5
"""


def test_settings_are_weaker_than_the_environment(tmp_path, monkeypatch):
    """The command line wins over the environment, and that over the file."""
    path = tmp_path / "config.toml"
    path.write_text(SETTINGS)
    monkeypatch.setenv("PERSONAKIT_CONFIG", str(path))
    monkeypatch.setenv("PERSONAKIT_PROVIDER", "kie")
    seen: list[CliContext] = []

    @click.command()
    @with_context
    async def look(account: CliContext) -> None:
        seen.append(account)

    CliRunner().invoke(look, [])
    CliRunner().invoke(
        look, ["--provider", "evolink", "--timeout", "9", "--account", "label"]
    )
    monkeypatch.delenv("PERSONAKIT_PROVIDER")
    CliRunner().invoke(look, [])

    assert [one.provider for one in seen] == ["kie", "evolink", "sunoapi"]
    assert [one.timeout for one in seen] == [5, 9, 5]
    assert {one.journal for one in seen} == {"here.db"}
    assert [one.name for one in seen] == ["studio", "label", "studio"]
    assert {one.base_url for one in seen} == {"http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nonsense", "cannot be read"),
        ("colour = 1", "colour is none of provider"),
        ("timeout = '5'", "timeout must be a float"),
        ("provider = 'x'", "provider must be one of evolink"),
    ],
)
def test_mistakes_in_the_settings(tmp_path, text, complaint):
    """The error names the file, the setting and what it must be."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(click.UsageError, match=complaint) as caught:
        read_settings(path)

    assert str(path) in caught.value.message


def test_place_of_the_settings(monkeypatch, tmp_path):
    """The platform's own, unless the environment tells another; it may be missing."""
    monkeypatch.delenv("PERSONAKIT_CONFIG", raising=False)
    usual = find_settings_path()

    assert usual.name == "config.toml"
    assert usual.parent.name == "personakit"
    assert read_settings(tmp_path / "none.toml") == {}
