"""Options, output and exit codes of the commands that use an account."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from personakit import errors
from personakit.account import Account, account_command, find_exit_code


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
    @account_command
    async def stop(_: Account) -> None:
        raise KeyboardInterrupt

    shown = CliRunner().invoke(stop, [])

    assert shown.exit_code == 130
    assert "personakit jobs resume" in shown.stderr


@pytest.mark.parametrize(
    ("as_json", "out", "err"), [(True, '{"ö": 1}\n', ""), (False, "text\n", "note\n")]
)
def test_output(as_json, out, err, tmp_path, capsys):
    """Programs get one JSON value and nothing else."""
    account = Account("evolink", None, tmp_path / "jobs.db", 9.0, as_json)
    account.say("note")
    account.show("text", {"ö": 1})

    assert capsys.readouterr() == (out, err)


async def test_folder_of_the_journal_is_made(tmp_path, monkeypatch):
    """A fresh machine has none yet."""
    monkeypatch.setenv("EVOLINK_API_KEY", "key")
    path = tmp_path / "a" / "b" / "jobs.db"
    async with Account("evolink", None, path, 9.0, as_json=False).open() as kit:
        assert kit.provider == "evolink"
    assert path.parent.is_dir()
