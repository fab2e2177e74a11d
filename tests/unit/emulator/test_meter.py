"""The emulator's own count of what an account asks."""

from __future__ import annotations

from personakit.emulator.meter import Meter, Meters


def test_sliding_window():
    """So many in any period, whatever was refused between."""
    meter = Meter(2, 10)
    admitted = [meter.admit(now) for now in (0, 5, 6, 9.9, 10, 10.1, 15, 15.1)]

    assert admitted == [True, True, False, False, True, False, True, False]
    assert meter.refused == 4


def test_without_a_limit_nothing_is_counted():
    """By default everything is admitted."""
    meters = Meters(None, None)

    assert meters.take("/evolink", "submit", 1) is None
    assert meters.take("/evolink", "download", 1) is None
    assert meters.refused("submit") == 0


def test_refusals_speak_the_language_of_the_host():
    """On some hosts 429 means "no credits", and 405 "too often"."""
    meters = Meters((1, 10), (1, 10))
    for action in ("submit", "read"):
        meters.take("/sunoapi", action, 0)

    assert meters.take("/sunoapi", "submit", 1) is not None
    assert meters.take("/kie", "read", 1) is not None
    assert meters.refused("submit") == meters.refused("read") == 1
