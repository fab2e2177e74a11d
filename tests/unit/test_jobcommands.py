"""The commands that look after jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from personakit.convert import parse_token
from personakit.emulator import Fault
from tests.unit.commandline import run, told

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
    assert len(run("jobs", "list").stdout.splitlines()) == 3
    shown = run("jobs", "resume", "--out", str(tmp_path / "songs"))

    assert shown.exit_code == 0, shown.output
    assert len(list((tmp_path / "songs").iterdir())) == 6


def test_jobs_are_watched_to_their_end(account):
    """All of them, or those that are named; failures are ends as well."""
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
    assert both == {tokens[0]: "failed"}


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
