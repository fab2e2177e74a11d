"""Results as commands print them."""

from __future__ import annotations

import json
from typing import Any

from personakit.models import Persona, Result, Stems, Track
from personakit.serialization import dump


def list_tracks(result: Result | None) -> tuple[Track, ...]:
    """Return the tracks of a result, none where it has no audio."""
    match result:
        case Stems():
            return tuple(filter(None, (result.vocals, result.instrumental)))
        case Track():
            return (result,)
        case tuple():
            return result
        case _:
            return ()


def describe(result: Result | None) -> str:
    """Return a result as people read it, a line for each track."""
    if isinstance(result, Persona):
        return f"{result.id}  {result.name or ''}".rstrip()
    return "\n".join(map(_describe_track, list_tracks(result)))


def _describe_track(track: Track) -> str:
    title, url = track.title or "untitled", track.audio_url or "no address"
    return f"{track.job_id}/{track.track_id}  {title}  {url}"


def to_json(result: Result | None) -> Any:
    """Return a result as JSON has it."""
    text = dump(result)
    return None if text is None else json.loads(text)
