"""Results as commands print them."""

from __future__ import annotations

import pytest

from personakit import Persona, Stems, Track
from personakit.cli.output import describe, list_tracks, to_json

TRACK = Track("evolink", "j", "t")


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (None, ""),
        (Persona("p", "evolink"), "p"),
        (Track("evolink", "j", "t"), "j/t  untitled  no address"),
        (
            Stems(Track("x", "j", "a"), Track("x", "j", "b")),
            "j/a  untitled  no address\nj/b  untitled  no address",
        ),
    ],
)
def test_results_are_described(result, shown):
    """Every kind of result has a line of its own."""
    assert describe(result) == shown


@pytest.mark.parametrize(
    ("result", "count"),
    [
        (None, 0),
        (Persona("p", "evolink"), 0),
        (TRACK, 1),
        ((TRACK, TRACK), 2),
        (Stems(TRACK, None), 1),
    ],
)
def test_tracks_are_listed(result, count):
    """Whatever has audio."""
    assert list_tracks(result) == (TRACK,) * count


def test_results_as_json():
    """Nothing stays nothing; all else is an object."""
    assert to_json(None) is None
    assert to_json(TRACK) == {"provider": "evolink", "job_id": "j", "track_id": "t"}
