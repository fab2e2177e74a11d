"""What every benchmark prints and saves: tables, figures with their goals, a plot."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs


@attrs.define
class Report:
    """The outcome of one benchmark.

    Attributes:
        name: Of the benchmark, and of the files.
        small: True to run just enough to see that it works.
        out: Folder for JSON and SVG, None to save nothing.
        rows: What was measured.
        figures: How that compares with the goals.
    """

    name: str
    small: bool
    out: Path | None
    rows: list[dict[str, Any]] = attrs.field(factory=list[dict[str, Any]])
    figures: list[dict[str, Any]] = attrs.field(factory=list[dict[str, Any]])

    def table(self, title: str, rows: Sequence[dict[str, Any]]) -> None:
        """Print rows that have the same columns, and keep them."""
        self.rows += [{"table": title, **row} for row in rows]
        print(f"\n{title}")
        columns = list(rows[0])
        lines = [columns, *([_show(row[name]) for name in columns] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = [
                cell.ljust(width) if place == 0 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            print("  " + "  ".join(cells).rstrip())

    def figure(self, name: str, meaning: str, value: float, goal: float) -> None:
        """Print a figure that should not be above its goal, and keep it.

        A small run is too short for a verdict.
        """
        verdict = "not judged" if self.small else "ok" if value <= goal else "MISSED"
        print(f"{name:4} {meaning}: {_show(value)} (goal {_show(goal)}) {verdict}")
        self.figures.append(
            {"figure": name, "meaning": meaning, "value": value, "goal": goal}
        )

    def save(self, draw: Callable[[Any], None]) -> None:
        """Write JSON and a plot, where a folder was named.

        Args:
            draw: Draws on matplotlib's axes.
        """
        if self.out is None:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        told = {"rows": self.rows, "figures": self.figures}
        (self.out / f"{self.name}.json").write_text(json.dumps(told, indent=1))
        # Only here is it needed.
        plot: Any = import_module("matplotlib.figure").Figure(
            figsize=(8, 4.5), layout="constrained"
        )
        draw(plot.subplots())
        plot.savefig(self.out / f"{self.name}.svg")


def _show(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)


def start(name: str, doc: str | None) -> Report:
    """Read the options that all benchmarks take."""
    parser = argparse.ArgumentParser(prog=f"benchmarks.{name}", description=doc)
    parser.add_argument("--small", action="store_true", help="a short run, no verdict")
    parser.add_argument("--out", type=Path, help="folder for figures and plot")
    options = parser.parse_args()
    return Report(name, options.small, options.out)
