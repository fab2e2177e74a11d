"""How far things are: bars on a terminal, lines elsewhere, nothing when quiet."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from personakit import JobState, Snapshot
from personakit.cli.progress import _show_bars, counting, receiving, showing


def make(*, terminal: bool, quiet: bool = False, height: int = 20) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=terminal,
        quiet=quiet,
        width=80,
        height=height,
        legacy_windows=False,
    )


def read(console: Console) -> str:
    return console.file.getvalue()


def tell(console: Console, count: int = 1) -> None:
    with showing(console, count) as show:
        show("music", Snapshot("j", JobState.RUNNING, "r", progress=0.5))
        show("music", Snapshot("j", JobState.QUEUED, "q"))
        show("music", Snapshot("j", JobState.COMPLETED, "c"))


def test_lines():
    """Without a terminal each change is a line."""
    console = make(terminal=False)
    tell(console)

    assert read(console) == "music: running 50%\nmusic: queued\nmusic: completed\n"


def test_bars():
    """On a terminal there is one bar, which fills."""
    console = make(terminal=True)
    tell(console)

    assert "completed" in read(console)
    assert "━" in read(console)
    assert "50%" not in read(console)


def test_bars_follow_the_progress_of_each_job():
    """Every job has one bar: it moves with the readings and ends full."""
    progress = Progress(console=Console(file=io.StringIO()))
    show = _show_bars(progress)
    running = Snapshot("j", JobState.RUNNING, "processing", progress=0.25)
    show("Song", Snapshot("j", JobState.QUEUED, "pending"))
    show("Song", running)
    show("Persona", running)
    show("Persona", Snapshot("j", JobState.COMPLETED, "completed"))

    assert [(bar.description, bar.completed) for bar in progress.tasks] == [
        ("Song", 0.25),
        ("Persona", 1.0),
    ]
    assert progress.tasks[1].fields["state"] == "completed"


def test_too_many_for_bars():
    """More jobs than the terminal has lines are shown as lines."""
    console = make(terminal=True, height=10)
    tell(console, count=7)

    assert "music: running 50%" in read(console)


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet(terminal):
    """Programs are shown nothing."""
    console = make(terminal=terminal, quiet=True)
    tell(console)
    with receiving(console, "a") as receive, counting(console) as count:
        receive(1, 2)
        count("x")

    assert read(console) == ""


def test_transfer():
    """Bytes are shown on a terminal, and nothing elsewhere."""
    live, plain = make(terminal=True), make(terminal=False)
    for console in (live, plain):
        with receiving(console, "song") as receive:
            receive(500, None)
            receive(1000, 1000)

    assert "song" in read(live)
    assert "1.0/1.0 kB" in read(live)
    assert read(plain).strip() == ""


def test_counting():
    """One text that changes in its place, or line by line."""
    live, plain = make(terminal=True), make(terminal=False)
    for console in (live, plain):
        with counting(console) as tell_text:
            tell_text("1 ended")
            tell_text("2 ended")

    assert read(plain) == "1 ended\n2 ended\n"
    assert "\n1 ended" not in read(live)
