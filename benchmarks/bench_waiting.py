"""Reads per job and lag of the client's pace, against a fixed interval of equal lag."""

from __future__ import annotations

import math
import random
from statistics import fmean

from personakit.pace import Pace, Sighting

JOBS = 20_000
KINDS = {
    # median, sigma, shortest, longest: seconds
    "music": (60.0, 0.45, 15.0, 180.0),
    "persona": (15.0, 0.25, 6.0, 45.0),
}


def draw_durations(
    median: float, sigma: float, shortest: float, longest: float
) -> list[float]:
    """Draw the durations of many jobs, in seconds."""
    chance = random.Random(7)
    drawn = (chance.lognormvariate(math.log(median), sigma) for _ in range(JOBS))
    return [min(max(seconds, shortest), longest) for seconds in drawn]


def wait_paced(duration: float, estimate: float) -> tuple[int, float]:
    """Return reads and lag of one job under the client's pace."""
    pace, now, reads = Pace(), 0.0, 0
    while now < duration:
        now += pace.pause(Sighting(age=now, estimate=estimate))
        reads += 1
    return reads, now - duration


def wait_fixed(duration: float, interval: float) -> tuple[int, float]:
    """Return reads and lag of one job under a fixed interval."""
    reads = math.ceil(duration / interval)
    return reads, reads * interval - duration


def main() -> None:
    """Print one line per kind of job."""
    print(f"{'kind':8} {'policy':22} {'reads':>6} {'lag s':>6} {'reads ratio':>12}")
    for kind, (median, *shape) in KINDS.items():
        durations = draw_durations(median, *shape)
        paced = [wait_paced(duration, estimate=median) for duration in durations]
        reads, lag = (fmean(column) for column in zip(*paced, strict=True))
        # A fixed interval lags by half of itself on average.
        fixed = [wait_fixed(duration, interval=2 * lag) for duration in durations]
        base_reads, base_lag = (fmean(column) for column in zip(*fixed, strict=True))
        label = f"fixed, every {2 * lag:.1f} s"
        print(f"{kind:8} {label:22} {base_reads:6.1f} {base_lag:6.2f} {1:12.2f}")
        ratio = reads / base_reads
        print(f"{kind:8} {'personakit':22} {reads:6.1f} {lag:6.2f} {ratio:12.2f}")


if __name__ == "__main__":
    main()
