"""What is learned of durations: little by little, robustly, and within bounds."""

from __future__ import annotations

import math
import random
import threading

import pytest

from personakit.polling.durations import KEPT, KINDS, DurationStats, ProgressTrace
from personakit.polling.schedule import DurationEstimate


def learn(durations, estimate=None) -> DurationStats:
    duration_stats = DurationStats()
    for seconds in durations:
        duration_stats.add("music", seconds, estimate=estimate, trace=ProgressTrace())
    return duration_stats


def ask(
    duration_stats: DurationStats, *, estimate=None, trace=None, kind="music"
) -> DurationEstimate:
    return duration_stats.estimate(
        kind,
        estimate=estimate,
        untold=30,
        trace=ProgressTrace() if trace is None else trace,
    )


def draw(median, spread, count=300) -> list[float]:
    chance = random.Random(3)
    return [median * chance.lognormvariate(0, spread) for _ in range(count)]


def test_without_experience_the_service_is_believed():
    """The estimate is the median; without one it is what the pace assumes."""
    told, untold = ask(DurationStats(), estimate=60), ask(DurationStats())

    assert (told.median, untold.median) == (60, pytest.approx(30))
    assert told.spread == pytest.approx(0.4)
    assert untold.spread > told.spread


@pytest.mark.parametrize("estimate", [None, 60, 20, 180])
def test_experience_takes_over(estimate):
    """After a hundred jobs the durations decide, however wrong the estimate is."""
    expected = ask(learn(draw(60, 0.3, 100), estimate), estimate=estimate)

    assert expected.median == pytest.approx(60, rel=0.12)
    assert expected.spread == pytest.approx(0.3, abs=0.1)
    assert expected.outlier_share == 0.003


def test_an_estimate_scales_what_was_learned():
    """A service that is always 20 % late is so with longer jobs too."""
    expected = ask(learn([12.0] * 100, 10), estimate=100)

    assert expected.median == pytest.approx(120)


def test_odd_ones_do_not_matter():
    """A few jobs that took for ever leave the estimate as it was."""
    usual = draw(60, 0.3)
    usual[::20] = [40_000.0] * len(usual[::20])
    expected = ask(learn(usual))

    assert expected.median == pytest.approx(60, rel=0.15)
    assert expected.spread < 0.5


def test_recent_ones_weigh_more():
    """When jobs become slower, so does the estimate."""
    expected = ask(learn([*[30.0] * 100, *[90.0] * 120]))

    assert expected.median == pytest.approx(90)


def test_kinds_are_apart_and_bounded():
    """One kind says nothing of another; memory does not grow for ever."""
    duration_stats = learn([100.0] * (KEPT * 2))
    for number in range(KINDS):
        duration_stats.add(f"kind {number}", 5, estimate=None, trace=ProgressTrace())

    assert ask(duration_stats, kind="music").median == pytest.approx(30)  # long unused
    assert ask(duration_stats, kind="kind 99").median < 30.1
    assert len(duration_stats._past) == KINDS


def test_no_duration_is_no_experience():
    """A job that took no time, by a clock that was set, is passed over."""
    duration_stats = learn([0.0, -5.0])

    assert ask(duration_stats) == ask(DurationStats())


def trace_of(*readings: tuple[float, float | None]) -> ProgressTrace:
    trace = ProgressTrace()
    for age, progress in readings:
        trace.add(age, progress)
    return trace


def test_progress_is_believed_once_two_readings_agree():
    """A single poll proves nothing; two that agree predict the end."""
    one = trace_of((30, 0.3))
    two = trace_of((30, 0.3), (50, 0.5))

    assert ask(DurationStats(), estimate=60, trace=one).median == 60
    assert ask(DurationStats(), estimate=60, trace=two).median == pytest.approx(100)


def test_progress_that_told_the_truth_is_believed_at_once():
    """After some jobs on which it was right, one poll is enough."""
    duration_stats = DurationStats()
    for _ in range(8):
        duration_stats.add("music", 100, estimate=60, trace=trace_of((30, 0.3)))
    expected = ask(duration_stats, estimate=60, trace=trace_of((20, 0.4)))

    assert expected.median == pytest.approx(50)
    assert expected.spread <= 0.1


@pytest.mark.parametrize(
    "readings",
    [
        [(10, 0.5), (20, 0.5), (30, 0.5)],  # stalled
        [(10, 0.9), (20, 0.95), (60, 0.99)],  # always nearly done
        [(30, 0.3), (50, 0.5), (60, 0.5)],  # stalled after a good beginning
    ],
)
def test_progress_that_misleads_is_not_believed(readings):
    """A prediction that does not hold leaves the estimate to experience."""
    assert ask(DurationStats(), estimate=60, trace=trace_of(*readings)).median == 60


@pytest.mark.parametrize("progress", [None, 0.0, 0.05, 1.0, 1.5, -1.0])
def test_progress_that_says_nothing(progress):
    """None, the very beginning, and the end predict nothing."""
    assert trace_of((30, progress)) == ProgressTrace()
    assert trace_of((0, 0.5)) == ProgressTrace()


def test_outlooks_are_numbers():
    """Extremes neither overflow nor vanish."""
    expected = ask(learn([1e-9, 1e9] * 50), estimate=1e-3)

    assert math.isfinite(expected.median)
    assert expected.pause(10, 0.1) > 0


def test_what_was_written_down_is_known_again():
    """A later program knows what an earlier one has learned."""
    duration_stats = learn(draw(60, 0.3, 100), 30)
    later = DurationStats()
    later.load(duration_stats.take_unwritten())

    assert duration_stats.take_unwritten() == []
    assert ask(later, estimate=30) == ask(duration_stats, estimate=30)
    assert later.take_unwritten() == []


def test_threads_share_a_history():
    """What another thread learns in the middle of a step is kept."""
    duration_stats = DurationStats()
    duration_stats.add("music", 60, estimate=60)
    other = threading.Thread(
        target=duration_stats.add, args=("music", 61), kwargs={"estimate": 60}
    )

    class Kind(str):
        """Lets the other thread go on at the second look into the memory."""

        __slots__ = ()
        polls = 0

        def __hash__(self) -> int:
            Kind.polls += 1
            if Kind.polls == 2:
                other.start()
                other.join(timeout=0.05)
            return super().__hash__()

    duration_stats.add(Kind("music"), 62, estimate=60)
    other.join()

    assert len(duration_stats._past["music"].lengths.values) == 3
