"""The commands that look after jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from personakit.emulator import Fault
from personakit.serialization import parse_token
from tests.unit.cli.commandline import run, told

pytestmark = pytest.mark.looptime(False)


def test_detached_job_is_listed_and_resumed(account):
    """A job that nobody waits for is found again by the journal or by its token."""
    token = told(run("generate", "--idea", "rain", "--detach", "--json"))["token"]
    listed = told(run("jobs", "list", "--json"))
    by_token = run("jobs", "resume", token)
    resumed = run("jobs", "resume")

    assert listed == [token]
    assert parse_token(token).job_id in by_token.stdout
    assert (resumed.exit_code, resumed.stdout) == (0, "")
    assert run("jobs", "list").stdout == "\n"
    assert len(account.charges) == 1


def test_resumed_jobs_are_saved(account, tmp_path):
    """All jobs of the journal are awaited together."""
    for _ in range(3):
        run("generate", "--idea", "rain", "--detach")
    listed = run("jobs", "list").stdout.splitlines()
    shown = run("jobs", "resume", "--out", str(tmp_path / "songs"))

    assert [line.split()[2] for line in listed] == ["accepted"] * 3
    assert shown.exit_code == 0, shown.output
    assert len(list((tmp_path / "songs").iterdir())) == 6
    assert told(run("jobs", "list", "--json")) == []


def test_job_that_cannot_be_saved_comes_again(account, tmp_path):
    """M3: a result is delivered once it is printed and saved, not before."""
    blocked = tmp_path / "songs"
    blocked.mkdir(mode=0o700)
    account.inject(Fault.status(403), on="download", times=1)
    made = run("generate", "--idea", "rain", "--out", str(blocked), "--timeout", "5")
    listed = run("jobs", "list").stdout
    account.inject(Fault.status(403), on="download", times=1)
    again = run("jobs", "resume", "--out", str(blocked), "--timeout", "5")
    saved = run("jobs", "resume", "--out", str(blocked))

    assert made.exit_code == again.exit_code == 4, made.output
    assert listed.split()[2] == "ended"
    assert saved.exit_code == 0, saved.output
    assert len(list(blocked.iterdir())) == 2
    assert told(run("jobs", "list", "--json")) == []
    assert len(account.charges) == 1


def test_delivered_job_is_printed_again_by_its_token(account):
    """Who names a job wants its result, however often."""
    token = told(run("generate", "--idea", "rain", "--detach", "--json"))["token"]
    first = run("jobs", "resume", token)
    again = run("jobs", "resume", token)

    assert first.exit_code == again.exit_code == 0, again.output
    assert first.stdout == again.stdout
    assert len(first.stdout.splitlines()) == 2


def test_jobs_of_another_account_are_not_listed(account, monkeypatch):
    """M8: jobs belong to their account, by name or by key."""
    token = told(run("generate", "--idea", "rain", "--detach", "--json"))["token"]
    named = run("jobs", "list", "--account", "studio", "--json")
    monkeypatch.setenv("EVOLINK_API_KEY", "sk-another-key")
    by_key = run("jobs", "list", "--json")
    monkeypatch.delenv("EVOLINK_API_KEY")
    without = run("jobs", "list")
    monkeypatch.setenv("EVOLINK_API_KEY", account.api_key)

    assert told(named) == told(by_key) == []
    assert without.exit_code == 3
    assert told(run("jobs", "list", "--json")) == [token]


def test_jobs_are_watched_to_their_end(account):
    """All of them, or those that are named; who watches gets no result."""
    account.inject(Fault.fails("service_error"), on="submit", times=1)
    tokens = [
        told(run("generate", "--idea", "rain", "--detach", "--json"))["token"]
        for _ in range(2)
    ]
    one = run("jobs", "watch", tokens[1])
    both = told(run("jobs", "watch", "--json"))

    assert one.exit_code == 0, one.output
    assert one.stdout == "1 ended\n"
    assert "completed" in one.stderr
    assert both == {tokens[0]: "failed", tokens[1]: "completed"}
    assert told(run("jobs", "list", "--json")) == tokens


def test_audio_of_a_job_is_saved(account, tmp_path, monkeypatch):
    """By its token, in the current folder or another."""
    token = told(run("generate", "--idea", "rain", "--detach", "--json"))["token"]
    here = told(run("download", token, "--out", str(tmp_path / "songs"), "--json"))
    monkeypatch.chdir(tmp_path)
    default = run("download", token)

    assert [Path(path).exists() for path in here] == [True, True]
    assert len(default.stdout.splitlines()) == 2
    assert len(list(tmp_path.glob("*.wav"))) == 2


def test_failed_job_does_not_hide_the_others(account):
    """When jobs are resumed, each is told of, and the worst ends the command."""
    account.inject(Fault.fails("service_error"), on="submit", times=1)
    for _ in range(2):
        run("generate", "--idea", "rain", "--detach")
    shown = run("jobs", "resume")

    assert shown.exit_code == 4
    assert len(shown.stdout.splitlines()) == 2
