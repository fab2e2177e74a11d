"""The command line, driven as a person or a script would."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from personakit import PersonaKit
from personakit.cli import demo
from personakit.cli.main import _serve, cli
from personakit.errors import ServiceUnavailable
from personakit.journal import SqliteJournal
from personakit.providers import PROVIDERS
from personakit.serialization import parse_token
from tests.unit.journal.stores import WAYS, bring

COMMAND = [sys.executable, "-m", "personakit"]


@pytest.fixture
def fast(monkeypatch):
    """Let the demo's service run faster than for people."""
    monkeypatch.setattr(demo, "SPEED", 300.0)


def test_help_tells_where_to_begin():
    """The help explains what a persona is and names the commands."""
    shown = CliRunner().invoke(cli, ["--help"])

    assert shown.exit_code == 0
    assert "reusable singing voice" in shown.output
    assert re.search(r"personakit demo +watch", shown.output)
    assert re.search(r"personakit emulate +a local service", shown.output)


def test_demo_ends_with_a_table(fast, tmp_path):
    """Away from a terminal the demo prints plain lines and the table."""
    shown = CliRunner().invoke(cli, ["demo", "--out", str(tmp_path / "out")])

    assert shown.exit_code == 0, shown.output
    assert "Source song: queued\n" in shown.output
    assert "Persona 'Jazz Vocalist': completed 100%\n" in shown.output
    assert "Created, paid and saved" in shown.output
    assert "979 emulated credits left" in shown.output
    assert len(list((tmp_path / "out").glob("*.wav"))) == 3


def test_demo_prints_one_json_object(fast, tmp_path):
    """With --json the output is one object, and its files exist."""
    shown = CliRunner().invoke(cli, ["demo", "--json", "--out", str(tmp_path)])
    told = json.loads(shown.output)

    assert told["persona"]["name"] == "Jazz Vocalist"
    assert list(told["paid"].values()) == [10, 1, 10]
    assert told["credits_left"] == 979
    assert [Path(track["file"]).exists() for track in told["tracks"]] == [True] * 3


def test_demo_reports_an_error_in_one_line(monkeypatch, tmp_path):
    """What goes wrong is said without a traceback."""

    async def fail(*_):
        raise ServiceUnavailable("The service gave no answer.")

    monkeypatch.setattr("personakit.cli.main.run_demo", fail)
    shown = CliRunner().invoke(cli, ["demo", "--out", str(tmp_path)])

    assert shown.exit_code == 1
    assert shown.output == ("Error: The service gave no answer. Nothing was charged.\n")


def test_demo_is_alive_on_a_terminal(tmp_path):
    """On a real terminal each job has a moving bar."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    script = (
        "from personakit import __main__\n"
        "from personakit.cli import demo\ndemo.SPEED = 100.0\n__main__.main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "demo", "--out", str(tmp_path)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
    )
    os.close(slave)
    shown = read_terminal(master)

    assert process.wait(timeout=10) == 0
    assert "━" in shown
    assert "queued" in shown
    assert "Created, paid and saved" in shown


def read_terminal(master: int) -> str:
    """Read what a program shows until it ends."""
    shown = b""
    while select.select([master], [], [], 15)[0]:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the other side has closed
            break
        shown += piece
    os.close(master)
    return shown.decode()


def test_emulate_serves_until_interrupted():
    """The emulator runs as a server of its own, and Ctrl-C stops it."""
    # A program in the background of a shell ignores Ctrl-C, and so do its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*COMMAND, "emulate", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    process.stdout.readline()
    url = process.stdout.readline().split('"')[1]
    request = urllib.request.Request(
        f"{url}/v1/credits", headers={"Authorization": "Bearer emulator-key"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        balance = json.load(answer)
    process.send_signal(signal.SIGINT)
    with process.stdout as shown:
        rest = shown.read()

    assert process.wait(timeout=5) == 0
    assert balance["data"]["user"]["remaining_credits"] == 1000
    assert "Ctrl-C stops it." in rest
    assert rest.endswith("Stopped.\n")


async def test_emulate_tells_scripts_how_to_connect(capsys):
    """One JSON object has the key, and the address of each service."""
    serving = asyncio.create_task(_serve(0, 20, 5, as_json=True))
    await asyncio.sleep(1)
    told = json.loads(capsys.readouterr().out)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving

    assert told["api_key"] == "emulator-key"
    assert set(told["base_urls"]) == set(PROVIDERS)


async def test_emulate_tells_how_to_connect(capsys):
    """The first words of the server are its address and its key."""
    serving = asyncio.create_task(_serve(0, 20, 5, as_json=False))
    await asyncio.sleep(1)
    told = capsys.readouterr().out
    url = re.search(r'base_url="(.*/evolink)"', told)[1]
    async with PersonaKit("evolink", api_key="emulator-key", base_url=url) as kit:
        balance = await kit.credits()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving

    assert balance.spendable == 5
    assert [f'PersonaKit("{name}"' in told for name in PROVIDERS] == [True] * len(
        PROVIDERS
    )


def test_emulate_in_process_can_be_interrupted(monkeypatch):
    """An interrupt ends the server with a word, not with a traceback."""

    async def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("personakit.cli.main._serve", interrupt)
    shown = CliRunner().invoke(cli, ["emulate"])

    assert (shown.exit_code, shown.output) == (0, "Stopped.\n")


def test_taken_port_is_named():
    """A port in use is said in one line."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        shown = CliRunner().invoke(cli, ["emulate", "--port", str(port)])

    assert shown.exit_code == 1
    assert shown.output.startswith(f"Error: Port {port}: ")


@pytest.fixture
def journal(tmp_path):
    """Write a journal with one submit in each state."""
    path = tmp_path / "jobs.db"

    async def fill() -> None:
        kept = SqliteJournal(path)
        for state in WAYS:
            await bring(kept, state, job_id=state)
        await kept.aclose()

    asyncio.run(fill())
    return path


def test_pending_lists_what_has_no_job(journal):
    """One line for each, by which a person or a script can go on."""
    shown = CliRunner().invoke(cli, ["pending", str(journal)])
    told = json.loads(
        CliRunner().invoke(cli, ["pending", str(journal), "--json"]).stdout
    )

    assert shown.exit_code == 0
    assert [line.split()[0] for line in shown.stdout.splitlines()] == [
        "intent",
        "sending",
        "unknown",
    ]
    assert shown.stderr == "3 pending\n"
    assert [line["state"] for line in told] == ["intent", "sending", "unknown"]
    assert told[0]["request"] == {"idea": "rain"}
    assert parse_token(told[0]["receipt"]).provider == "evolink"


def test_pending_of_the_usual_journal(journal, monkeypatch, tmp_path):
    """Without a name it is that of the environment, or of the settings."""
    (tmp_path / "config.toml").write_text(f"journal = {str(journal)!r}")
    monkeypatch.setenv("PERSONAKIT_CONFIG", str(tmp_path / "config.toml"))
    by_settings = CliRunner().invoke(cli, ["pending"])
    monkeypatch.setenv("PERSONAKIT_JOURNAL", str(tmp_path / "none.db"))
    by_environment = CliRunner().invoke(cli, ["pending"])

    assert by_settings.stderr == "3 pending\n"
    assert by_environment.exit_code == 2
    assert "none.db" in by_environment.stderr


def test_pending_of_what_is_no_journal(tmp_path):
    """A file that is none is named."""
    path = tmp_path / "songs.txt"
    path.write_text("la la la " * 200)
    shown = CliRunner().invoke(cli, ["pending", str(path)])

    assert shown.exit_code == 1
    assert "not a database" in shown.stderr
