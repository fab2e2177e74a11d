"""Reads per job against mean lag: our pace, the best that is possible, and fixed ones.

    python benchmarks/pace.py [--json FILE]

No network and no clock: durations are drawn, and each policy says when it would look.
The best schedule is found by dynamic programming with the durations themselves known
(only not which job is which); no schedule without progress can beat it.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import TypeAlias

import attrs

from personakit.history import History, Trace
from personakit.outlook import Outlook
from personakit.pace import Pace, Sighting

JOBS = 4000
WORTHS = (0.03, 0.1, 0.3, 1.0)  # seconds of lag that one read is worth
GRID = 300  # steps of the best schedule's time

Point: TypeAlias = tuple[float, float]
"""Reads per job, and mean lag in seconds."""
Progress: TypeAlias = Callable[[float, float], float | None]
"""What a job of some duration tells at some age."""


@attrs.frozen
class Kind:
    """A kind of job: lognormal durations within bounds, in seconds."""

    name: str
    median: float
    spread: float
    shortest: float
    longest: float

    def draw(self, count: int, seed: int) -> list[float]:
        """Draw durations."""
        chance = random.Random(seed)
        drawn = [
            self.median * chance.lognormvariate(0, self.spread) for _ in range(count)
        ]
        return [min(max(seconds, self.shortest), self.longest) for seconds in drawn]


MUSIC = Kind("music", 60.0, 0.45, 15.0, 180.0)
PERSONA = Kind("persona", 15.0, 0.25, 6.0, 45.0)
PEERS = {
    # as their own code waits: seconds between two reads
    "openai, 1 s": 1.0,
    "runwayml, 6 s": 6.0,
    "every 5 s": 5.0,
    "replicate, 0.5 s": 0.5,
    "fal, 0.1 s": 0.1,
}


def find_best(kind: Kind, durations: list[float]) -> list[Point]:
    """Return points on the curve that no schedule can pass."""
    ordered = sorted(durations)
    grid = [kind.longest * step / GRID for step in range(GRID + 1)]
    below = [bisect_right(ordered, time) for time in grid]
    sums = [0.0]
    for seconds in ordered:
        sums.append(sums[-1] + seconds)
    points: list[Point] = []
    for worth in [0.01 * 1.5**step for step in range(15)]:
        best = [0.0] * len(grid)
        choice = [len(grid) - 1] * len(grid)
        for i in range(len(grid) - 2, -1, -1):
            if below[i] == len(ordered):
                continue
            best[i], choice[i] = min(
                (
                    worth * (len(ordered) - below[i])
                    + (below[j] - below[i]) * grid[j]
                    - (sums[below[j]] - sums[below[i]])
                    + best[j],
                    j,
                )
                for j in range(i + 1, len(grid))
            )
        looks: list[float] = []
        place = 0
        while below[place] < len(ordered):
            place = choice[place]
            looks.append(grid[place])
        points.append(judge(looks, ordered))
    return points


def judge(looks: list[float], durations: list[float]) -> Point:
    """Return what a schedule that all jobs share costs."""
    found = [bisect_left(looks, seconds) for seconds in durations]
    lags = [looks[i] - seconds for i, seconds in zip(found, durations, strict=True)]
    return fmean(found) + 1, fmean(lags)


def best_reads(best: list[Point], lag: float) -> float:
    """Return the reads of the best schedule at a lag, between its points."""
    curve = sorted((math.log(at), math.log(reads)) for reads, at in best)
    x = math.log(lag)
    right = min(max(bisect_left(curve, (x,)), 1), len(curve) - 1)
    (x0, y0), (x1, y1) = curve[right - 1], curve[right]
    return math.exp(y0 + (x - x0) * (y1 - y0) / (x1 - x0))


def plan(outlook: Outlook, pace: Pace, until: float) -> list[float]:
    """Return all looks of a schedule."""
    looks = [0.0]
    while looks[-1] < until:
        looks.append(looks[-1] + pace.pause(Sighting(looks[-1], outlook)))
    return looks[1:]


def learn(kind: Kind, count: int, estimate: float) -> History:
    """Return the experience of so many finished jobs."""
    history = History()
    for seconds in kind.draw(count, seed=99):
        history.record(kind.name, seconds, estimate=estimate, trace=Trace())
    return history


def wait(
    kind: Kind, seconds: float, history: History, pace: Pace, progress: Progress
) -> tuple[int, float]:
    """Wait for one job that tells its progress; remember what it told."""
    now, reads, trace = 0.0, 0, Trace()
    while now < seconds:
        outlook = history.outlook(
            kind.name, estimate=kind.median, untold=30, trace=trace
        )
        now += pace.pause(Sighting(now, outlook))
        reads += 1
        if now < seconds:
            trace.note(now, progress(now, seconds))
    history.record(kind.name, seconds, estimate=kind.median, trace=trace)
    return reads, now - seconds


PROGRESSES: dict[str, Progress] = {
    "none": lambda _, __: None,
    "truthful": lambda age, seconds: age / seconds,
    "always nearly done": lambda age, _: 1 - 0.5 ** (1 + age / 10),
    "stalled at a half": lambda _, __: 0.5,
    "in coarse steps": lambda age, seconds: math.floor(4 * age / seconds) / 4,
}


def compare_schedules(kind: Kind) -> list[dict[str, object]]:
    """Print and return how near our schedules come to the best at equal lag."""
    durations = kind.draw(JOBS, seed=1)
    best = find_best(kind, durations)
    until = max(durations)
    lines: list[dict[str, object]] = []
    experiences = [
        ("estimate only", 0, 1.0),
        ("100 finished jobs", 100, 1.0),
        ("300 finished jobs", 300, 1.0),
        ("100, estimate x 3", 100, 3.0),
        ("100, estimate / 3", 100, 1 / 3),
    ]
    for worth in WORTHS:
        for label, count, factor in experiences:
            estimate = kind.median * factor
            outlook = learn(kind, count, estimate).outlook(
                kind.name, estimate=estimate, untold=30, trace=Trace()
            )
            pace = Pace(worth=worth, shortest=0.05, longest=300)
            reads, lag = judge(plan(outlook, pace, until), durations)
            lines.append(show(kind, f"{label}, worth {worth:g}", reads, lag, best))
    for label, interval in PEERS.items():
        looks = [interval * step for step in range(1, math.ceil(until / interval) + 2)]
        lines.append(show(kind, label, *judge(looks, durations), best))
    return lines


def show(
    kind: Kind, policy: str, reads: float, lag: float, best: list[Point]
) -> dict[str, object]:
    """Print one line, and return it."""
    ratio = reads / best_reads(best, lag)
    print(f"{kind.name:8} {policy:32} {reads:7.1f} {lag:7.2f} {ratio:9.2f}")
    return {
        "kind": kind.name,
        "policy": policy,
        "reads": reads,
        "lag": lag,
        "reads over the best": ratio,
    }


def compare_progress() -> list[dict[str, object]]:
    """Print and return what progress is worth, and what lies cost."""
    lines: list[dict[str, object]] = []
    durations = MUSIC.draw(JOBS // 4, seed=2)
    costs: dict[str, float] = {}
    pace = Pace(shortest=0.05, longest=300)
    for label, progress in PROGRESSES.items():
        history = learn(MUSIC, 100, MUSIC.median)
        waits = [wait(MUSIC, seconds, history, pace, progress) for seconds in durations]
        reads, lag = (fmean(column) for column in zip(*waits, strict=True))
        costs[label] = lag + pace.worth * reads
        loss = costs[label] / costs["none"] - 1
        print(f"music    progress {label:23} {reads:7.1f} {lag:7.2f} {loss:+9.1%}")
        lines.append({"progress": label, "reads": reads, "lag": lag, "loss": loss})
    return lines


def main() -> None:
    """Print the tables, and save them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    print(f"{'kind':8} {'policy':32} {'reads':>7} {'lag s':>7} {'x best':>9}")
    lines = compare_schedules(MUSIC) + compare_schedules(PERSONA)
    print(f"\n{'kind':8} {'progress told':32} {'reads':>7} {'lag s':>7} {'loss':>9}")
    lines += compare_progress()
    if options.json:
        options.json.write_text(json.dumps(lines, indent=1))


if __name__ == "__main__":
    main()
