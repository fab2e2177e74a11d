"""What MusicMint refuses: reads the bodies of its requests, or raises `Refusal`.

Only the codes 1003, 1004 and 4005 are documented; the others, and the HTTP status of
each, are chosen within their families. So are all messages.
"""

from __future__ import annotations

import math

from personakit.emulator.services.fields import Fields
from personakit.emulator.state import State
from personakit.emulator.tasks import Song

DAY = 86_400
RETENTION = 7  # days (documented)
_LONGEST_RETENTION = 30  # days (documented)

CODES = {
    400: 4001,
    401: 1001,
    403: 1002,
    404: 4004,
    402: 4006,
    409: 4009,
    410: 4005,
    429: 4029,
    500: 5000,
}
"""The usual code of an HTTP status; chosen but for 4005."""


class Refusal(Exception):
    """The service says no.

    Attributes:
        message: Text for people.
        code: The business code.
        status: The HTTP status, where refusals have one of their own.
    """

    def __init__(self, message: str, *, code: int = 4001, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status


def read_persona(body: Fields, state: State) -> Song:
    """Return the clip that a persona may be made of.

    Source: the specification, "Create persona".
    """
    body.required("name")
    return _find_clip(body.required("clip_id"), state)


def read_music(body: Fields, state: State) -> Song:
    """Return what a generation orders; its ids are still empty.

    Source: the page on generation (documented); persona in both modes (specification).
    """
    lyrics, tags = body.text("prompt"), body.text("tags")
    idea = body.text("gpt_description_prompt")
    if not (lyrics or tags or idea):
        raise Refusal("one of prompt, tags, gpt_description_prompt is required")
    if idea and (lyrics or tags):
        raise Refusal("gpt_description_prompt cannot be combined with prompt or tags")
    source, at = body.text("continue_clip_id"), body.whole("continue_at", 0, 10**9)
    if at is not None and not source:
        raise Refusal("continue_at needs continue_clip_id")
    if source:
        _find_clip(source, state)
    persona = body.text("persona_id")
    if persona and not state.knows_persona(persona):
        raise Refusal("no such persona", code=4004, status=404)
    return _make_song(
        body,
        lyrics=lyrics or idea,
        style=tags,
        persona_id=persona or None,
        instrumental=bool(body.flag("make_instrumental")),
    )


def read_cover(body: Fields, state: State) -> Song:
    """Return what a cover orders; its ids are still empty.

    Source: the page on covers (documented).
    """
    _find_clip(body.required("cover_clip_id"), state)
    return _make_song(body, lyrics=body.text("prompt"), style=body.text("tags"))


def _make_song(
    body: Fields,
    *,
    lyrics: str,
    style: str,
    persona_id: str | None = None,
    instrumental: bool = False,
) -> Song:
    days = body.whole("retention_days", 1, _LONGEST_RETENTION) or RETENTION
    return Song(
        job_id="",
        track_id="",
        title=body.text("title") or " ".join(lyrics.split()[:4]),
        style=style,
        model=body.text("mv") or "chirp-v4",
        persona_id=persona_id,
        instrumental=instrumental,
        lyrics=lyrics,
        life=days * DAY,
    )


def read_stem(body: Fields, state: State) -> tuple[Song, float, float]:
    """Return the clip to take apart, and the part of it in seconds.

    Source: the page on stem separation (documented).
    """
    clip = _find_clip(body.required("clip_id"), state)
    start = body.number("vocal_start_s", 0, math.inf) or 0
    end = body.number("vocal_end_s", 0, math.inf) or clip.duration
    if end <= start:
        raise Refusal("vocal_end_s must be after vocal_start_s")
    return clip, start, end


def read_upload(body: Fields) -> str:
    """Return a title for the audio at an address, which nobody fetches here.

    Source: the page on uploads (documented).
    """
    body.required("audio_url")
    return body.address("audio_url").rsplit("/", 1)[-1]


def read_page(body: Fields) -> tuple[int, int, int]:
    """Return the page, its size, and the state to list, -1 for all.

    Source: the page on listing tasks (documented).
    """
    wanted = body.whole("status", -1, 3)
    return (
        body.whole("page", 1, 10**9) or 1,
        body.whole("page_size", 1, 100) or 20,
        -1 if wanted is None else wanted,
    )


def _find_clip(clip_id: str, state: State) -> Song:
    """Return a finished clip; stems are none, whatever they are made of."""
    song = state.songs.get(clip_id)
    if song is None or state.tasks[song.job_id].kind == "stems":
        raise Refusal("no such clip", code=4002, status=404)
    task = state.tasks[song.job_id]
    if task.stage(state.clock.now()).status != "completed":
        raise Refusal("clip is not finished")
    if not state.is_kept(song):
        raise Refusal("Music result has expired", code=4005, status=410)
    return song
