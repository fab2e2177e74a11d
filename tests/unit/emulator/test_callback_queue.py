"""Notices wait for their time."""

from __future__ import annotations

from personakit.emulator.callbacks import CallbackQueue, PlannedCallback


def callback(due):
    return PlannedCallback(
        due, f"https://x.example/{due}", lambda: (b"", {}), timeout=1
    )


def test_notices_come_in_the_order_of_their_time():
    """Whatever is due is taken once, earliest first."""
    queue = CallbackQueue()
    for due in (3, 1, 2):
        queue.add(callback(due))
    first = [one.due for one in queue.take_due(2.5)]

    assert first == [1, 2]
    assert queue.next_due == 3
    assert queue.take_due(2.9) == []
    assert [one.due for one in queue.take_due(3)] == [3]
    assert queue.next_due is None


def test_new_notice_wakes_the_courier():
    """Who delivers is told of every new callback."""
    queue, woken = CallbackQueue(), []
    queue.on_change = lambda: woken.append(queue.next_due)
    queue.add(callback(5))

    assert woken == [5]
