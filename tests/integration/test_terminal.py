"""The command line in a real terminal: progress, interruption, resumption."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pexpect
import pytest

from personakit.emulator import Emulator
from tests.conftest import in_thread

pytestmark = [pytest.mark.looptime(False), pytest.mark.timeout(60)]

FOLDER = Path(sys.executable).parent


@pytest.fixture
def slow():
    """Run an emulator on which a song takes some seconds."""
    with in_thread(Emulator(speed=40)) as service:
        yield service


@pytest.fixture
def start(slow, tmp_path):
    """Return what starts a command in a terminal of its own."""
    begun: list[pexpect.spawn] = []

    def start(command: str, *words: str, **more: str) -> pexpect.spawn:
        environment = {
            **os.environ,
            "PATH": f"{FOLDER}:{os.environ['PATH']}",
            "TERM": "xterm-256color",
            "EVOLINK_API_KEY": slow.api_key,
            "PERSONAKIT_BASE_URL": slow.url("evolink"),
            "PERSONAKIT_CONFIG": str(tmp_path / "config.toml"),
            "PERSONAKIT_JOURNAL": str(tmp_path / "jobs.db"),
            **more,
        }
        child = pexpect.spawn(
            command,
            [*words],
            env=environment,
            cwd=tmp_path,
            timeout=30,
            dimensions=(24, 100),
            encoding="utf-8",
        )
        begun.append(child)
        return child

    yield start
    for child in begun:
        child.close(force=True)


def test_song_from_end_to_end(start, slow, tmp_path):
    """Bars move, Ctrl-C detaches, and the job is taken up again and saved."""
    child = start("personakit", "generate", "--idea", "a rainy night")
    child.expect("music")
    child.expect("━")
    child.sendintr()
    child.expect("personakit jobs resume")
    child.expect(pexpect.EOF)
    child.close()
    watched = start("personakit", "jobs", "watch")
    watched.expect("━")
    watched.expect("completed")
    watched.expect(pexpect.EOF)
    resumed = start("personakit", "jobs", "resume", "--out", "songs")
    resumed.expect("Saved")
    resumed.expect(pexpect.EOF)
    listed = start("personakit", "jobs", "list", "--json")
    listed.expect(pexpect.EOF)

    assert child.exitstatus == 130
    assert json.loads(listed.before) == []
    assert len(list((tmp_path / "songs").iterdir())) == 2
    assert len(slow.charges) == 1


def test_resumed_song_is_saved(start, slow, tmp_path):
    """What was detached comes with its audio, whose transfer is shown."""
    child = start("personakit", "generate", "--idea", "rain", "--detach")
    child.expect(pexpect.EOF)
    resumed = start("personakit", "jobs", "resume", "--out", "songs")
    resumed.expect("kB|MB")
    resumed.expect("Saved")
    resumed.expect(pexpect.EOF)

    assert len(list((tmp_path / "songs").iterdir())) == 2
    assert len(slow.charges) == 1


def test_batch_is_interrupted_and_goes_on(start, slow, tmp_path):
    """The count stands still in its place; run again, nothing is paid anew."""
    lines = [json.dumps({"kind": "music", "idea": f"song {n}"}) for n in range(8)]
    (tmp_path / "songs.jsonl").write_text("\n".join(lines))
    words = ("batch", "songs.jsonl", "--out", "out.jsonl", "--concurrency", "2")
    child = start("personakit", *words)
    child.expect("[1-7] ended")
    child.sendintr()
    child.expect("Interrupted")
    child.expect(pexpect.EOF)
    child.close()
    again = start("personakit", *words)
    again.expect("8 of 8 made")
    again.expect(pexpect.EOF)
    again.close()
    told = (tmp_path / "out.jsonl").read_text().splitlines()

    assert (child.exitstatus, again.exitstatus) == (130, 0)
    assert sorted(json.loads(line)["line"] for line in told) == list(range(1, 9))
    assert len(slow.charges) == 8


def test_no_colour(start):
    """NO_COLOR is heeded, bars stay."""
    child = start("personakit", "generate", "--idea", "rain", NO_COLOR="1")
    child.expect("completed")
    child.expect(pexpect.EOF)
    coloured = re.compile(r"\x1b\[(3[0-7]|38;|9[0-7])")

    assert not coloured.search(child.before)


def test_emulator_for_scripts(start):
    """It tells its addresses as JSON, and Ctrl-C stops it."""
    child = start("personakit", "emulate", "--port", "0", "--json")
    told = json.loads(child.readline())
    child.sendintr()
    child.expect("Stopped")
    child.expect(pexpect.EOF)

    assert told["base_urls"]["evolink"].startswith("http://127.0.0.1:")


def test_completion_in_bash(start):
    """Commands, their parts and their options are completed."""
    shell = start("bash", "--norc", "--noprofile", "-i", PS1="$ ")
    shell.expect_exact("$ ")
    shell.sendline('eval "$(_PERSONAKIT_COMPLETE=bash_source personakit)"; echo ready')
    shell.expect("ready\r\n")
    for typed, completed in (
        ("personakit gene", "generate "),
        ("personakit jobs wat", "watch "),
        ("personakit batch --conc", "--concurrency "),
    ):
        shell.send(f"{typed}\t")
        shell.expect_exact(completed[len(typed.split()[-1]) :])
        shell.sendcontrol("u")
    shell.sendline("exit")
    shell.expect(pexpect.EOF)

    assert not shell.isalive() or shell.wait() == 0
