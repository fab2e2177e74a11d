"""Reads per job against mean lag: our pace, the best that is possible, and fixed ones.

    python -m benchmarks.pace [--small] [--out FOLDER]

No network and no clock: durations are drawn, and each policy says when it would look.
The best schedule is found by dynamic programming with the durations themselves known
(only not which job is which); no schedule without progress can beat it. Other clients
run their own code, at their own intervals, in virtual time.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from importlib import import_module
from statistics import fmean
from typing import Any, TypeAlias

import attrs
import looptime

from benchmarks.peers import Peer, installed, opened
from benchmarks.report import Report, start
from benchmarks.server import PEER_JOBS
from personakit.polling.durations import DurationStats, ProgressTrace
from personakit.polling.schedule import DurationEstimate, Pace, PollContext

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


def plan(expected: DurationEstimate, pace: Pace, until: float) -> list[float]:
    """Return all looks of a schedule."""
    looks = [0.0]
    while looks[-1] < until:
        looks.append(looks[-1] + pace.pause(PollContext(looks[-1], expected)))
    return looks[1:]


def learn(kind: Kind, count: int, estimate: float) -> DurationStats:
    """Return the experience of so many finished jobs."""
    duration_stats = DurationStats()
    for seconds in kind.draw(count, seed=99):
        duration_stats.add(kind.name, seconds, estimate=estimate, trace=ProgressTrace())
    return duration_stats


def wait(
    kind: Kind,
    seconds: float,
    duration_stats: DurationStats,
    pace: Pace,
    progress: Progress,
) -> tuple[int, float]:
    """Wait for one job that tells its progress; remember what it told."""
    now, reads, trace = 0.0, 0, ProgressTrace()
    while now < seconds:
        expected = duration_stats.estimate(
            kind.name, estimate=kind.median, untold=30, trace=trace
        )
        now += pace.pause(PollContext(now, expected))
        reads += 1
        if now < seconds:
            trace.add(now, progress(now, seconds))
    duration_stats.add(kind.name, seconds, estimate=kind.median, trace=trace)
    return reads, now - seconds


PROGRESSES: dict[str, Progress] = {
    "none": lambda _, __: None,
    "truthful": lambda age, seconds: age / seconds,
    "always nearly done": lambda age, _: 1 - 0.5 ** (1 + age / 10),
    "stalled at a half": lambda _, __: 0.5,
    "in coarse steps": lambda age, seconds: math.floor(4 * age / seconds) / 4,
}


def compare_schedules(
    kind: Kind, jobs: int, peers: tuple[Peer, ...]
) -> list[dict[str, Any]]:
    """Return how near schedules come to the best at equal lag."""
    durations = kind.draw(jobs, seed=1)
    best = find_best(kind, durations)
    until = max(durations)
    lines: list[dict[str, Any]] = []
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
            expected = learn(kind, count, estimate).estimate(
                kind.name, estimate=estimate, untold=30, trace=ProgressTrace()
            )
            pace = Pace(worth=worth, shortest=0.05, longest=300)
            reads, lag = judge(plan(expected, pace, until), durations)
            lines.append(show(kind, f"{label}, worth {worth:g}", reads, lag, best))
    learned = learn(kind, 300, kind.median).estimate(
        kind.name, estimate=kind.median, untold=30
    )
    own: list[Point] = []
    for worth in (0.001, 0.003, 0.01, *WORTHS):
        pace = Pace(worth=worth, shortest=0.05, longest=300)
        own.append(judge(plan(learned, pace, until), durations))
    for peer in peers:
        reads, lag = watch_peer(peer, durations[: jobs // 20])
        line = show(kind, f"{peer.name}, every {peer.interval:g} s", reads, lag, best)
        lines.append({**line, "ours": best_reads(own, lag) / reads})
    return lines


def watch_peer(peer: Peer, durations: list[float]) -> Point:
    """Let another client wait for jobs with its own code, in virtual time."""
    httpx: Any = import_module("httpx")
    reads = [0] * len(durations)
    ends = [0.0] * len(durations)

    def answer(request: Any) -> Any:
        path = request.url.path
        number = int(re.findall(r"\d+", path)[-1])
        now = asyncio.get_running_loop().time()
        reads[number] += 1
        make, word = next(
            (m, w) for prefix, m, w in PEER_JOBS if path.startswith(prefix)
        )
        told = make(path.rpartition("/")[2])
        if now >= durations[number]:
            told["status"], ends[number] = word, now
        return httpx.Response(200, json=told)

    async def wait_all() -> None:
        via = httpx.MockTransport(answer)
        async with opened(peer, "http://127.0.0.1", peer.interval, via) as wait:
            await asyncio.gather(*(wait(number) for number in range(len(durations))))

    loop = looptime.new_event_loop()
    try:
        loop.run_until_complete(wait_all())
    finally:
        loop.close()
    lags = (end - seconds for end, seconds in zip(ends, durations, strict=True))
    return fmean(reads), fmean(lags)


def show(
    kind: Kind, policy: str, reads: float, lag: float, best: list[Point]
) -> dict[str, Any]:
    """Compare a policy with the best schedule of the same lag."""
    return {
        "kind": kind.name,
        "policy": policy,
        "reads": reads,
        "lag s": lag,
        "x best": reads / best_reads(best, lag),
        "best reads": best_reads(best, lag),
        "ours": 1.0,
    }


def compare_progress(jobs: int) -> list[dict[str, Any]]:
    """Return what progress is worth, and what lies cost."""
    lines: list[dict[str, Any]] = []
    durations = MUSIC.draw(jobs // 4, seed=2)
    costs: dict[str, float] = {}
    pace = Pace(worth=0.3, shortest=0.05, longest=300)
    for label, progress in PROGRESSES.items():
        duration_stats = learn(MUSIC, 100, MUSIC.median)
        waits = [
            wait(MUSIC, seconds, duration_stats, pace, progress)
            for seconds in durations
        ]
        reads, lag = (fmean(column) for column in zip(*waits, strict=True))
        costs[label] = lag + pace.worth * reads
        loss = costs[label] / costs["none"] - 1
        lines.append({"progress": label, "reads": reads, "lag s": lag, "loss": loss})
    return lines


def wait_untold(seconds: float) -> Point:
    """Wait for jobs of about that length, as the service says, without experience."""
    durations = [seconds * (0.9 + 0.2 * step / 99) for step in range(100)]
    expected = DurationStats().estimate("any", estimate=seconds, untold=30)
    return judge(plan(expected, Pace(), max(durations)), durations)


def judge_all(
    report: Report, schedules: list[dict[str, Any]], progresses: list[dict[str, Any]]
) -> None:
    """Compare with the goals."""

    def worst(part: str) -> float:
        return max(float(row["x best"]) for row in schedules if part in row["policy"])

    print()
    report.figure(
        "G11", "reads over the best, estimate only", worst("estimate only"), 1.35
    )
    report.figure("G12", "after 300 jobs", worst("300 finished"), 1.10)
    report.figure("G13", "estimate wrong, after 100 jobs", worst("100, estimate"), 1.25)
    truthful = progresses[1]
    report.figure("G14", "reads with truthful progress", truthful["reads"], 4.0)
    report.figure("G14", "its lag in s", truthful["lag s"], 1.0)
    for seconds, most_reads, most_lag in ((20, 8, 1), (180, 25, 5)):
        reads, lag = wait_untold(seconds)
        meaning = f"reads of a {seconds} s job without history"
        report.figure("S2", meaning, reads, most_reads)
        report.figure("S2", "its lag in s", lag, most_lag)
    loss = max(row["loss"] for row in progresses[2:])
    for kind, goal in (("music", 0.72), ("persona", 0.5)):
        ours = [row["ours"] for row in schedules if row["kind"] == kind]
        peers = [ratio for ratio in ours if ratio != 1.0]
        if peers:
            meaning = f"{kind}: our reads against a peer's at its own lag, worst"
            report.figure("P2", meaning, max(peers), goal)
    report.figure("G15", "loss by misleading progress", loss, 0.05)

    def draw(axes: Any) -> None:
        for kind in ("music", "persona"):
            rows = [row for row in schedules if row["kind"] == kind]
            for name in ("reads", "best reads"):
                rows.sort(key=lambda row: float(row["lag s"]))
                axes.plot(
                    [row["lag s"] for row in rows],
                    [row[name] for row in rows],
                    "." if name == "reads" else "-",
                    label=f"{kind}: {name}",
                )
        axes.set(xscale="log", yscale="log", xlabel="mean lag, s", ylabel="reads a job")
        axes.legend()

    report.save(draw)


def main() -> None:
    """Compute and print."""
    report = start("pace", __doc__)
    jobs = JOBS // 4 if report.small else JOBS
    peers = installed()
    schedules = [
        row for kind in (MUSIC, PERSONA) for row in compare_schedules(kind, jobs, peers)
    ]
    progresses = compare_progress(jobs)
    report.table("Schedules", schedules)
    report.table("Progress", progresses)
    judge_all(report, schedules, progresses)


if __name__ == "__main__":
    main()
