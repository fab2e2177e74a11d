"""The songs: playable, cheap, and sung by whoever the persona is."""

from __future__ import annotations

import cmath
import io
import math
import time
import wave
from array import array
from itertools import pairwise

import pytest

from personakit.emulator import audio
from personakit.emulator.audio import GRID, NEUTRAL, RATE, compose, voice_of

ALTO = "5c57d49ef834110496fae5aa14fec441"
BASS = "0123456789abcdef0123456789abcdef"


def samples(track_id, persona_id=None, *, instrumental=False):
    file = audio.render(track_id, persona_id=persona_id, instrumental=instrumental)
    with wave.open(io.BytesIO(file)) as reader:
        return array("h", reader.readframes(reader.getnframes()))


def strength(sound, frequency):
    """Goertzel's measure of one frequency in a piece of sound."""
    turn = cmath.exp(-1j * math.tau * frequency / RATE)
    return abs(sum(value * turn**step for step, value in enumerate(sound)))


def spectrum(track_id, persona_id):
    """Shares of the first six harmonics in the first sung note of a song.

    The same song without a voice is taken away first; what remains is the voice.
    """
    note = compose(track_id)[0]
    with_voice = samples(track_id, persona_id)[: note.periods * GRID]
    without = samples(track_id, instrumental=True)[: note.periods * GRID]
    sung = [a - b for a, b in zip(with_voice, without, strict=True)]
    tone = voice_of(persona_id).register[note.degree] * RATE / GRID
    found = [strength(sung, number * tone) for number in range(1, 7)]
    return [share / sum(found) for share in found]


def test_format():
    """A song is a mono WAV of 16 bits and 16 kHz, about 45 s long, as announced."""
    file = audio.render("track-1", persona_id=ALTO, instrumental=False)
    with wave.open(io.BytesIO(file)) as reader:
        shape = reader.getnchannels(), reader.getsampwidth(), reader.getframerate()
        seconds = reader.getnframes() / reader.getframerate()

    assert shape == (1, 2, 16_000)
    assert seconds == pytest.approx(45, abs=2)
    assert seconds == audio.duration("track-1")


def test_deterministic():
    """The same track sounds the same every time, another track differently."""
    assert samples("track-1", ALTO) == samples("track-1", ALTO)
    assert samples("track-1", ALTO) != samples("track-2", ALTO)


@pytest.mark.parametrize("track_id", ["track-1", "track-2", "track-3"])
@pytest.mark.parametrize("persona_id", [None, ALTO, BASS])
def test_no_clipping_and_no_clicks(track_id, persona_id):
    """The sound stays inside its range and never jumps."""
    sound = samples(track_id, persona_id)
    steps = [abs(a - b) for a, b in pairwise(sound)]

    assert 8_000 < max(sound) < 32_767
    assert -32_768 < min(sound) < -8_000
    assert max(steps) < 16_000
    assert sound[0] == sound[-1] == 0


def test_joints_are_silent():
    """Every note begins and ends at zero, so that joints make no click."""
    sound, start = samples("track-1", ALTO), 0
    for note in compose("track-1"):
        assert sound[start] == 0
        start += note.periods * GRID
        assert sound[start - 1] == 0


def test_instrumental_has_no_voice():
    """Without a voice, no persona can be heard."""
    assert samples("track-1", ALTO, instrumental=True) == samples(
        "track-1", BASS, instrumental=True
    )
    assert samples("track-1", instrumental=True) != samples("track-1")


def test_plain_voice():
    """Without a persona, the voice is nearly a pure tone."""
    found = spectrum("track-1", None)

    assert found[0] == pytest.approx(NEUTRAL.harmonics[0], abs=0.05)
    assert found[1] == pytest.approx(NEUTRAL.harmonics[1], abs=0.05)


def test_persona_is_recognised_in_every_song():
    """Two songs of one persona share a timbre that another persona does not have."""
    first, second = spectrum("track-1", ALTO), spectrum("track-2", ALTO)
    other = spectrum("track-1", BASS)

    def distance(one, another):
        return sum(abs(a - b) for a, b in zip(one, another, strict=True))

    assert distance(first, second) < 0.1
    assert distance(first, other) > 0.2
    assert distance(first, spectrum("track-1", None)) > 0.2


def test_voices():
    """A persona's voice is its own: timbre, register and vibrato, always the same."""
    voices = [voice_of(f"persona-{number}") for number in range(50)]

    assert voice_of(ALTO) == voice_of(ALTO)
    assert voice_of(None) == NEUTRAL
    assert len({voice.harmonics for voice in voices}) == 50
    assert len({voice.register for voice in voices}) == 3
    assert {voice.vibrato_periods for voice in voices} == {4, 5, 6}
    assert all(sum(voice.harmonics) == pytest.approx(1) for voice in voices)
    assert all(0.03 <= voice.vibrato_depth <= 0.15 for voice in voices)


def test_rendering_is_cheap():
    """A song takes far less time to make than to wait for."""
    fastest = math.inf
    for _ in range(5):
        start = time.perf_counter()
        audio.render("track-1", persona_id=ALTO, instrumental=False)
        fastest = min(fastest, time.perf_counter() - start)

    assert fastest < 0.2
