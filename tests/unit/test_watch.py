"""What is known of one job, and who is told of it."""

from __future__ import annotations

import asyncio

import pytest

from personakit.errors import PersonaKitError
from personakit.models import JobState, Snapshot
from personakit.watch import Watch

QUEUED = Snapshot("j1", JobState.QUEUED, "pending")
FAILED = Snapshot("j1", JobState.FAILED, "failed")


@pytest.fixture
def watch():
    return Watch("j1", None, 0.0, None, 0.0)


@pytest.mark.parametrize(
    ("snapshot", "error", "is_over"),
    [
        (None, None, False),
        (QUEUED, None, False),
        (FAILED, None, True),
        (QUEUED, PersonaKitError("lost"), True),
    ],
)
def test_end(watch, snapshot, error, is_over):
    """A job is over with a final reading, or when it can no longer be read."""
    watch.snapshot, watch.error = snapshot, error

    assert watch.is_over is is_over


async def test_listeners_hear_changes_and_futures_the_end(watch):
    """A callback is called at each change, a future waits for the last."""
    heard: list[Watch] = []
    end = asyncio.get_running_loop().create_future()
    watch.add(heard.append)
    watch.add(end)
    watch.snapshot = QUEUED
    watch.tell()
    assert (len(heard), end.done()) == (1, False)

    watch.snapshot = FAILED
    watch.tell()
    watch.tell()
    assert (len(heard), end.done()) == (3, True)


def test_who_left_hears_nothing(watch):
    """Each leaves for itself alone."""
    heard: list[str] = []

    def one(_: Watch) -> None:
        heard.append("one")

    def other(_: Watch) -> None:
        heard.append("other")

    watch.add(one)
    watch.add(other)
    watch.remove(one)
    watch.tell()

    assert heard == ["other"]
