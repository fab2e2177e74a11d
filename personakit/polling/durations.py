"""What jobs have taken so far, and what that says of the next one.

Of each kind of job the latest durations are kept, as ratios to the service's estimate
where there is one. Their middle and their spread replace the service's word little by
little; they are taken from quantiles, so that a few odd ones do not matter. Progress is
believed where it has told the truth: on jobs before, and on this one so far.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable
from itertools import accumulate
from typing import TypeAlias

import attrs

from personakit.polling.schedule import DurationEstimate

KEPT = 200
"""Durations that are kept of each kind; older ones are dropped."""
KINDS = 100
"""Kinds that are kept; the one that has not been used for longest is dropped."""

_FADE = 0.995  # weight of a duration against that of the next one
_PRIOR_SPREAD = 0.4  # of durations round a service's estimate, before any is known
_UNTOLD_SPREAD = 0.7  # the same without an estimate
_PRIOR_WEIGHT = 4.0  # durations that the prior is worth
_KNOWN = 30  # durations from which on few surprises are expected
_MANY_OUTLIERS, _FEW_OUTLIERS = 0.03, 0.003
_TRIED = 5  # predictions that progress must have made before it is believed at once
_EARLIEST_PROGRESS = 0.1  # below, a prediction says little
_AGREEMENT = 0.1  # of two predictions, as a difference of logarithms
_SURE = 0.08  # least spread: ends are only known to lie between two polls
_CERTAIN = 0.01  # least spread round what progress predicts
_QUANTILES = (0.16, 0.5, 0.84)  # of a normal distribution: one spread round the middle


_Fit: TypeAlias = tuple[float, float]
"""Middle and spread."""


@attrs.define
class _Sample:
    """The latest values of something, and what has been made of them.

    Attributes:
        values: Logarithms, the latest last.
        fits: Found since the last value, by the prior and its weight.
    """

    values: deque[float] = attrs.field(factory=lambda: deque[float](maxlen=KEPT))
    fits: dict[tuple[float, float, float], _Fit] = attrs.field(
        factory=dict[tuple[float, float, float], "_Fit"]
    )

    def add(self, value: float) -> None:
        """Take in a value."""
        self.values.append(value)
        self.fits.clear()

    def fit(self, middle: float, spread: float, weight: float = _PRIOR_WEIGHT) -> _Fit:
        """Return middle and spread of the values, beginning with a prior."""
        prior = middle, spread, weight
        if (fit := self.fits.get(prior)) is None:
            fit = self.fits[prior] = _fit(self.values, *prior)
        return fit


@attrs.define
class _Past:
    """The latest jobs of one kind.

    Attributes:
        lengths: Of durations, over the estimate where there was one.
        errors: Of durations over what progress predicted of them.
    """

    lengths: _Sample = attrs.field(factory=_Sample)
    errors: _Sample = attrs.field(factory=_Sample)


@attrs.define(weakref_slot=False)
class ProgressTrace:
    """What one job has told of its progress.

    Attributes:
        first: What the first usable progress predicted, seconds in all; None before.
        latest: What the latest did.
        is_steady: False once two predictions did not agree.
        is_confirmed: True once two did.
    """

    first: float | None = None
    latest: float | None = None
    is_steady: bool = True
    is_confirmed: bool = False

    def add(self, age: float, progress: float | None) -> None:
        """Take in a poll."""
        if progress is None or not _EARLIEST_PROGRESS <= progress < 1.0 or age <= 0.0:
            return
        predicted = age / progress
        if self.latest is None:
            self.first = predicted
        elif abs(math.log(predicted / self.latest)) <= _AGREEMENT:
            self.is_confirmed = True
        else:
            self.is_steady = False
        self.latest = predicted


class DurationStats:
    """Remembers, per kind of job, and gives estimates; threads may share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._past: dict[str, _Past] = {}
        self._nothing = _Past()
        self._unwritten: deque[tuple[str, float]] = deque(maxlen=KEPT)
        self.is_loaded: bool = False

    def add(
        self,
        kind: str,
        seconds: float,
        *,
        estimate: float | None,
        trace: ProgressTrace | None = None,
    ) -> None:
        """Remember how long a job took.

        Args:
            kind: Of the job; the model may be part of it.
            seconds: From its submit to its end.
            estimate: The service's guess, None for none.
            trace: What it told on the way, None for nothing.
        """
        if seconds <= 0.0:
            return
        length = math.log(seconds / _base(estimate))
        with self._lock:
            past = self._find(kind)
            past.lengths.add(length)
            self._unwritten.append((kind, length))
            if trace is not None and trace.first is not None:
                past.errors.add(math.log(seconds / trace.first))

    def _find(self, kind: str) -> _Past:
        past = self._past.pop(kind, None) or _Past()
        self._past[kind] = past  # the latest used is the last
        if len(self._past) > KINDS:
            del self._past[next(iter(self._past))]
        return past

    def load(self, durations: Iterable[tuple[str, float]]) -> None:
        """Take in what was remembered before, kinds and logarithms, oldest first."""
        with self._lock:
            for kind, length in durations:
                self._find(kind).lengths.add(length)

    def take_unwritten(self) -> list[tuple[str, float]]:
        """Return, once, what has been remembered since the last call."""
        with self._lock:
            taken = [*self._unwritten]
            self._unwritten.clear()
        return taken

    def estimate(
        self,
        kind: str,
        *,
        estimate: float | None,
        untold: float,
        trace: ProgressTrace | None = None,
    ) -> DurationEstimate:
        """Return what is to be thought of a job.

        Args:
            kind: Of the job.
            estimate: The service's guess in seconds, None for none.
            untold: Median in seconds where neither the service nor the past tells.
            trace: What the job has told so far, None for nothing.
        """
        with self._lock:
            past = self._past.get(kind, self._nothing)
            return self._weigh(past, estimate, untold, trace)

    @staticmethod
    def _weigh(
        past: _Past, estimate: float | None, untold: float, trace: ProgressTrace | None
    ) -> DurationEstimate:
        """Return what is known of a job from the past, the service and its progress."""
        if trace is not None and trace.latest is not None and trace.is_steady:
            middle, spread = past.errors.fit(0.0, _PRIOR_SPREAD, 2.0)
            if len(past.errors.values) >= _TRIED and spread <= _AGREEMENT:
                predicted = trace.latest * math.exp(middle)
                return DurationEstimate(predicted, max(spread, _CERTAIN), _FEW_OUTLIERS)
            if trace.is_confirmed:
                return DurationEstimate(trace.latest, _AGREEMENT)
        snapshots = 0.0 if estimate else math.log(untold)
        usual = _PRIOR_SPREAD if estimate else _UNTOLD_SPREAD
        middle, spread = past.lengths.fit(snapshots, usual)
        outlier_share = (
            _FEW_OUTLIERS if len(past.lengths.values) >= _KNOWN else _MANY_OUTLIERS
        )
        return DurationEstimate(
            _base(estimate) * math.exp(middle), max(spread, _SURE), outlier_share
        )


def _base(estimate: float | None) -> float:
    """Return what durations are measured in: the estimate, or seconds."""
    return estimate if estimate and estimate > 0.0 else 1.0


def _fit(values: deque[float], middle: float, spread: float, weight: float) -> _Fit:
    """Return middle and spread of what is known, beginning with a prior."""
    weights = [_FADE**age for age in range(len(values) - 1, -1, -1)]
    part = weight / len(_QUANTILES)
    points = sorted(
        [*zip(values, weights, strict=True)]
        + [(middle + spread * place, part) for place in (-1.0, 0.0, 1.0)]
    )
    marks = list(accumulate(weight for _, weight in points))
    low, median, high = (
        next(p for (p, _), m in zip(points, marks, strict=True) if m >= q * marks[-1])
        for q in _QUANTILES
    )
    return median, (high - low) / 2.0
