"""The demo does the whole main job."""

from __future__ import annotations

import wave

import pytest

from personakit.cli import demo

pytestmark = pytest.mark.looptime(False)


async def test_demo_creates_sings_and_saves(tmp_path, monkeypatch):
    """Source, persona and song are made, paid for once each, shown, and playable."""
    monkeypatch.setattr(demo, "SPEED", 300.0)
    shown: list[tuple[str, str]] = []
    summary = await demo.run_demo(
        tmp_path, lambda step, snapshot: shown.append((step, snapshot.state))
    )

    assert summary.persona.name == "Jazz Vocalist"
    assert summary.persona.source == summary.source.ref
    assert len(summary.songs) == 2
    assert list(summary.paid.values()) == [10, 1, 10]
    assert summary.credits_left == 1000 - 21
    assert shown[0] == ("Source song", "queued")
    assert shown[-1] == ("Song by 'Jazz Vocalist'", "completed")
    for path in summary.files:
        with wave.open(str(path)) as audio:
            assert audio.getnframes() > 0
    assert len(set(summary.files)) == 3
