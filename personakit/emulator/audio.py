"""Makes the songs that the emulator serves: short, cheap, and sung by the persona.

Every tone is a whole multiple of one low frequency, so all waves meet at zero at the
ends of its period (the grid). Periods can therefore be repeated and joined without a
click, and a whole song costs only a few thousand computed samples.
"""

from __future__ import annotations

import io
import math
import random
import wave
from array import array
from collections.abc import Iterable, Sequence
from itertools import cycle
from operator import add

import attrs

RATE = 16_000
"""Samples per second; mono, 16 bits each."""
GRID = 640
"""Samples in one period of the lowest tone, 25 Hz. Tones are numbers of it."""
LENGTH = 45.0
"""Seconds that a song should last; it ends with the bar nearest to this."""

_VOICE_GAIN, _CHORD_GAIN = 0.55, 0.3  # together below 1: nothing can clip
_FULL_SCALE = 32_767
_TABLE = 2_048  # entries in the table that holds one period of a voice

# Chords and notes in numbers of 25 Hz: C, E and G with their own overtones.
_CHORDS = ((4, 8, 12), (5, 10, 15), (6, 12, 18))
_REGISTERS = (
    (8, 9, 10, 12, 15, 16),  # low: 200 to 400 Hz
    (12, 15, 16, 18, 20, 24),  # middle: 300 to 600 Hz
    (16, 18, 20, 24, 30, 32),  # high: 400 to 800 Hz
)
_RHYTHMS = ((1, 1, 1, 1), (2, 1, 1), (1, 1, 2), (2, 2))  # beats of one bar
_PHRASE = 4  # bars
_FORM = "AABA"


@attrs.frozen
class Voice:
    """How a melody is sung.

    Attributes:
        harmonics: Weights of the fundamental and its overtones; their sum is 1.
        register: The notes it sings, low to high, in numbers of 25 Hz.
        vibrato_periods: Length of one vibrato swing in grid periods of 40 ms.
        vibrato_depth: Swing of the phase in cycles of the note; 0 is a plain tone.
    """

    harmonics: tuple[float, ...]
    register: tuple[int, ...]
    vibrato_periods: int
    vibrato_depth: float


NEUTRAL = Voice((0.8, 0.2), _REGISTERS[1], vibrato_periods=1, vibrato_depth=0.0)
"""The voice of a song without a persona."""


@attrs.frozen
class Note:
    """One note of a score.

    Attributes:
        chord: Index of the chord under it.
        degree: Index into the register of whoever sings it.
        periods: Length in grid periods of 40 ms.
    """

    chord: int
    degree: int
    periods: int


def voice_of(persona_id: str | None) -> Voice:
    """Return the voice of a persona: the same in every song, unlike any other's.

    Args:
        persona_id: None for the plain voice of a song without a persona.
    """
    if persona_id is None:
        return NEUTRAL
    dice = random.Random(persona_id)
    weights = [(0.1 + dice.random()) / math.sqrt(k) for k in range(1, 7)]
    return Voice(
        harmonics=tuple(weight / sum(weights) for weight in weights),
        register=dice.choice(_REGISTERS),
        vibrato_periods=dice.randint(4, 6),
        vibrato_depth=dice.uniform(0.03, 0.15),
    )


def compose(track_id: str) -> tuple[Note, ...]:
    """Return the score of a track: tempo, chords and melody come from its id."""
    dice = random.Random(track_id)
    beat = dice.randint(10, 13)
    phrases = {name: _phrase(dice, beat) for name in "AB"}
    count = round(LENGTH * RATE / (4 * beat * GRID))
    bars = [
        phrases[_FORM[bar // _PHRASE % len(_FORM)]][bar % _PHRASE]
        for bar in range(count)
    ]
    return tuple(note for bar in bars for note in bar)


def duration(track_id: str) -> float:
    """Return how many seconds `render` lasts for this track, without rendering it."""
    return round(sum(note.periods for note in compose(track_id)) * GRID / RATE, 2)


def render(track_id: str, *, persona_id: str | None, instrumental: bool) -> bytes:
    """Return a song as a WAV file.

    Args:
        track_id: Decides tempo, chords and melody.
        persona_id: Decides who sings, None for the neutral voice.
        instrumental: True leaves the voice out.
    """
    voice = None if instrumental else voice_of(persona_id)
    notes = compose(track_id)
    cells = _cells({(note.chord, note.degree) for note in notes}, voice)
    sounds = {
        note: _play(cells[note.chord, note.degree], note.periods * GRID)
        for note in set(notes)
    }
    return _wav(b"".join(sounds[note] for note in notes))


def _phrase(dice: random.Random, beat: int) -> list[list[Note]]:
    """Invent four bars, each over one chord, with a melody in small steps."""
    degree, bars = dice.randrange(6), list[list[Note]]()
    for _ in range(_PHRASE):
        chord, bar = dice.randrange(len(_CHORDS)), list[Note]()
        for beats in dice.choice(_RHYTHMS):
            degree = min(max(degree + dice.randint(-2, 2), 0), 5)
            bar.append(Note(chord, degree, beats * beat))
        bars.append(bar)
    return bars


def _cells(
    pairs: Iterable[tuple[int, int]], voice: Voice | None
) -> dict[tuple[int, int], array[int]]:
    """Mix what is repeated in a note, for each pair of chord and degree."""
    chords = [_chord_wave(tones) for tones in _CHORDS]
    if voice is None:
        return {(chord, degree): _samples(chords[chord]) for chord, degree in pairs}
    table = _timbre_table(voice)
    sung = [_sung_wave(voice, table, tone) for tone in voice.register]
    return {
        (chord, degree): _samples(map(add, cycle(chords[chord]), sung[degree]))
        for chord, degree in pairs
    }


def _chord_wave(tones: Sequence[int]) -> list[float]:
    """One grid period of the accompaniment."""
    steps = [math.tau * step / GRID for step in range(GRID)]
    gain = _CHORD_GAIN / len(tones)
    return [gain * sum(math.sin(tone * step) for tone in tones) for step in steps]


def _timbre_table(voice: Voice) -> list[float]:
    """One period of the voice's tone, whatever its pitch."""
    phases = [math.tau * entry / _TABLE for entry in range(_TABLE)]
    weights = [_VOICE_GAIN * weight for weight in voice.harmonics]
    return [
        sum(w * math.sin(k * phase) for k, w in enumerate(weights, 1))
        for phase in phases
    ]


def _sung_wave(voice: Voice, table: Sequence[float], tone: int) -> list[float]:
    """One vibrato swing of the voice; it begins and ends at zero like the grid."""
    length = voice.vibrato_periods * GRID
    pitch, swing = _TABLE * tone / GRID, math.tau / length
    depth = _TABLE * voice.vibrato_depth
    return [
        table[int(pitch * step + depth * math.sin(swing * step)) % _TABLE]
        for step in range(length)
    ]


def _samples(wave_form: Iterable[float]) -> array[int]:
    return array("h", (int(_FULL_SCALE * value) for value in wave_form))


def _play(cell: array[int], length: int) -> bytes:
    """Repeat a cell for `length` samples; swell and die away over one period."""
    samples = (cell * math.ceil(length / len(cell)))[:length]
    for step in range(GRID):
        samples[step] = samples[step] * step // GRID
        samples[~step] = samples[~step] * step // GRID
    return samples.tobytes()


def _wav(frames: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(frames)
    return file.getvalue()
