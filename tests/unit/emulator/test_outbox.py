"""Notices wait for their time."""

from __future__ import annotations

from personakit.emulator.outbox import Notice, Outbox


def notice(due):
    return Notice(due, f"https://x.example/{due}", lambda: (b"", {}), timeout=1)


def test_notices_come_in_the_order_of_their_time():
    """Whatever is due is taken once, earliest first."""
    outbox = Outbox()
    for due in (3, 1, 2):
        outbox.add(notice(due))
    first = [one.due for one in outbox.take_due(2.5)]

    assert first == [1, 2]
    assert outbox.next_due == 3
    assert outbox.take_due(2.9) == []
    assert [one.due for one in outbox.take_due(3)] == [3]
    assert outbox.next_due is None


def test_new_notice_wakes_the_courier():
    """Who delivers is told of every new notice."""
    outbox, woken = Outbox(), []
    outbox.on_change = lambda: woken.append(outbox.next_due)
    outbox.add(notice(5))

    assert woken == [5]
