"""What is known of one job, and who is told of it."""

from __future__ import annotations

import asyncio

import pytest

from personakit.errors import PersonaKitError
from personakit.models import JobState, Snapshot
from personakit.polling.polled_job import PolledJob

QUEUED = Snapshot("j1", JobState.QUEUED, "pending")
FAILED = Snapshot("j1", JobState.FAILED, "failed")


@pytest.fixture
def polled():
    return PolledJob("j1", None, 0.0, None, 0.0)


@pytest.mark.parametrize(
    ("snapshot", "error", "is_over"),
    [
        (None, None, False),
        (QUEUED, None, False),
        (FAILED, None, True),
        (QUEUED, PersonaKitError("lost"), True),
    ],
)
def test_end(polled, snapshot, error, is_over):
    """A job is over with a final poll, or when it can no longer be read."""
    polled.snapshot, polled.error = snapshot, error

    assert polled.is_over is is_over


async def test_listeners_hear_changes_and_futures_the_end(polled):
    """A callback is called at each change, a future waits for the last."""
    heard: list[PolledJob] = []
    end = asyncio.get_running_loop().create_future()
    polled.add(heard.append)
    polled.add(end)
    polled.snapshot = QUEUED
    polled.notify()
    assert (len(heard), end.done()) == (1, False)

    polled.snapshot = FAILED
    polled.notify()
    polled.notify()
    assert (len(heard), end.done()) == (3, True)


def test_who_left_hears_nothing(polled):
    """Each leaves for itself alone."""
    heard: list[str] = []

    def one(_: PolledJob) -> None:
        heard.append("one")

    def other(_: PolledJob) -> None:
        heard.append("other")

    polled.add(one)
    polled.add(other)
    polled.remove(one)
    polled.notify()

    assert heard == ["other"]
