"""The commands that use an account, driven as a script would drive them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from personakit import TrackRef
from personakit.cli.create import _read_source
from personakit.emulator import Fault
from tests.unit.cli.commandline import run, told

pytestmark = pytest.mark.looptime(False)


def test_credits(account):
    """The balance, for people and for programs."""
    assert run("credits").stdout == "1000 credits\n"
    assert told(run("credits", "--json"))["remaining"] == 1000


def test_song_is_made_and_saved(account, tmp_path):
    """Progress goes to stderr, the tracks to stdout, the audio to the folder."""
    shown = run("generate", "--idea", "a rainy night", "--out", str(tmp_path / "songs"))

    assert shown.exit_code == 0, shown.output
    assert "music: completed" in shown.stderr
    assert [line.count("/") > 1 for line in shown.stdout.splitlines()] == [True, True]
    assert len(list((tmp_path / "songs").iterdir())) == 2
    assert len(account.charges) == 1


def test_lyrics_come_from_a_file_or_stdin(account):
    """A dash reads them from the standard input."""
    words = (
        "generate",
        "--lyrics",
        "-",
        "--style",
        "jazz",
        "--title",
        "Blue",
        "--json",
    )
    tracks = told(run(*words, given="[Verse]\nBlue"))

    assert [track["title"] for track in tracks] == ["Blue", "Blue"]


@pytest.mark.parametrize("command", ["extend", "cover"])
def test_other_songs(account, monkeypatch, command):
    """Where the service can, a track is continued, or sung anew."""
    monkeypatch.setenv("MUSICMINT_API_KEY", account.api_key)
    monkeypatch.setenv("PERSONAKIT_BASE_URL", account.url("musicmint"))
    song = account.seed_song(provider="musicmint")
    words = ("--provider", "musicmint", "--style", "jazz", "--title", "Blue", "--json")
    source = f"{song.job_id}/{song.track_id}"
    tracks = told(run(command, source, "--lyrics", "-", *words, given="La"))

    assert {track["provider"] for track in tracks} == {"musicmint"}
    assert len(account.charges) == 1


def test_source_may_be_an_address():
    """What looks like one is no id of a track."""
    assert _read_source("https://example.com/a.mp3") == "https://example.com/a.mp3"
    assert _read_source("job/track") == TrackRef("job", "track")


def test_what_a_service_lacks_is_refused(account):
    """It costs nothing, and says so."""
    shown = run("cover", "job/track", "--style", "jazz", "--title", "x", "--idea", "y")

    assert shown.exit_code == 3
    assert "does not offer cover" in shown.stderr


def test_persona_needs_a_track(account):
    """An address is none."""
    wanted = ("--name", "V", "--description", "warm")
    shown = run("persona", "create", "https://example.com/a.mp3", *wanted)

    assert shown.exit_code == 3
    assert "source" in shown.stderr


def test_shells_complete_commands():
    """The completion of click is there for the installed command."""
    shown = subprocess.run(
        [sys.executable, "-m", "personakit"],
        env={**os.environ, "_PERSONAKIT_COMPLETE": "bash_source"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "_personakit_completion()" in shown.stdout


def test_persona_is_made_used_and_forgotten(account):
    """A persona is known by its name from then on."""
    song = account.seed_song()
    wanted = ("--name", "Blue voice", "--description", "warm", "--window", "5", "20")
    made = told(
        run("persona", "create", f"{song.job_id}/{song.track_id}", *wanted, "--json")
    )
    listed = run("persona", "list").stdout
    song_words = ("generate", "--lyrics", "-", "--style", "jazz", "--title", "Blue")
    sung = run(*song_words, "--persona", "Blue voice", given="La")
    forgotten = [run("persona", "forget", made["id"]).stdout for _ in range(2)]

    assert listed == f"{made['id']}  Blue voice\n"
    assert sung.exit_code == 0, sung.output
    assert forgotten == ["Forgotten.\n", "Not known.\n"]
    assert run(*song_words, "--persona", made["id"], given="La").exit_code == 0


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.status(402), 3),
        (Fault.fails("service_error"), 4),
        (Fault.drop(), 5),
    ],
    ids=["refused", "failed", "unknown"],
)
def test_exit_codes(account, fault, code):
    """A script is told what kind of failure it was."""
    account.inject(fault, on="submit", times=1)
    shown = run("generate", "--idea", "rain")

    assert shown.exit_code == code
    assert shown.stderr.splitlines()[-1].startswith("Error: ")
    assert shown.stdout == ""


def test_other_exit_codes(account, monkeypatch):
    """Wrong usage, a broken rule, and a job that runs on."""
    assert run("generate", "--mood", "sad").exit_code == 2
    assert run("generate").exit_code == 3
    assert run("generate", "--idea", "rain", "--timeout", "0.1").exit_code == 6
    monkeypatch.delenv("EVOLINK_API_KEY")
    shown = run("credits")
    assert shown.exit_code == 3
    assert "EVOLINK_API_KEY" in shown.stderr


def test_batch(account, tmp_path):
    """Each line has an outcome; a bad one names itself, and suffers alone."""
    lines = [
        {"idea": "rain"},
        {"idea": "snow", "mood": "sad"},
        {"kind": "music", "idea": "fog"},
    ]
    source, out = tmp_path / "jobs.jsonl", tmp_path / "results.jsonl"
    source.write_text("\n".join(map(json.dumps, lines)))
    shown = run("batch", str(source), "--out", str(out), "--json")
    first = {one["line"]: one for one in map(json.loads, out.read_text().splitlines())}

    assert shown.exit_code == 3
    assert json.loads(shown.stdout) == {"ended": 3, "without a result": 1}
    assert "line 2, mood: is no field of music" in first[2]["error"]
    assert [len(first[line]["result"]) for line in (1, 3)] == [2, 2]
    assert len(account.charges) == 2

    lines[1].pop("mood")  # mended and run again, only that line is paid for
    source.write_text("\n".join(map(json.dumps, lines)))
    again = run("batch", str(source), "--out", str(out))
    assert again.exit_code == 0, again.output
    assert again.stdout == "3 of 3 made\n"
    assert len(account.charges) == 3
