"""How commands show how far things are: bars on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeAlias

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from personakit.models import Snapshot

Show: TypeAlias = Callable[[str, Snapshot[Any]], None]
"""Is told the name of a job, and what was read of it."""
Receive: TypeAlias = Callable[[int, int | None], None]
"""Is told the bytes of a transfer so far, and those of the whole, None if unknown."""

_ROOM = 4  # lines of a terminal that bars leave free


@contextmanager
def showing(console: Console, count: int = 1) -> Generator[Show]:
    """Show how far jobs are while the block runs.

    Args:
        console: Where; may be quiet.
        count: How many jobs. Where the terminal has no room for a bar each, they are
            shown as lines.
    """
    has_room = console.is_terminal and count <= console.height - _ROOM
    if console.quiet or not has_room:
        yield _show_lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield _show_bars(progress)


def _show_bars(progress: Progress) -> Show:
    bars: dict[str, TaskID] = {}

    def show(name: str, snapshot: Snapshot[Any]) -> None:
        if name not in bars:
            bars[name] = progress.add_task(name, total=1.0, state="")
        done = 1.0 if snapshot.state.is_final else snapshot.progress or 0.0
        progress.update(bars[name], completed=done, state=snapshot.state.value)

    return show


def _show_lines(console: Console) -> Show:
    def show(name: str, snapshot: Snapshot[Any]) -> None:
        percent = f" {snapshot.progress:.0%}" if snapshot.progress else ""
        line = f"{name}: {snapshot.state.value}{percent}"
        console.print(line, highlight=False, soft_wrap=True)

    return show


@contextmanager
def receiving(console: Console, name: str) -> Generator[Receive]:
    """Show how much of a file has come while the block runs."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    is_live = console.is_terminal and not console.quiet
    with Progress(*columns, console=console, disable=not is_live) as progress:
        bar = progress.add_task(name, total=None)

        def receive(got: int, whole: int | None) -> None:
            progress.update(bar, completed=got, total=whole)

        yield receive


@contextmanager
def counting(console: Console) -> Generator[Callable[[str], None]]:
    """Show a text that changes while the block runs: in its place, or line by line."""
    if console.quiet or not console.is_terminal:
        yield lambda text: console.print(text, highlight=False, soft_wrap=True)
        return
    with console.status("") as status:
        yield status.update
