"""What every dialect checks in its own words before it builds a body."""

from __future__ import annotations

from personakit.errors import invalid
from personakit.models import Track, TrackRef
from personakit.requests import SongRequest, Source

CUSTOM_ONLY = (
    "persona",
    "style",
    "title",
    "negative_style",
    "vocal_gender",
    "style_weight",
    "weirdness",
    "audio_weight",
    "duration",
)
"""Fields of a song that mean nothing where the service writes the lyrics itself."""


def set_fields(request: SongRequest, *names: str) -> tuple[str, ...]:
    """Return those of some fields that the caller filled in."""
    return tuple(name for name in names if getattr(request, name) is not None)


def check_origin(here: str, field: str, provider: str) -> None:
    """Refuse what another service made: services do not know each other's ids."""
    if provider != here:
        raise invalid(
            field,
            f"must come from {here}, not from {provider}",
            "Services do not know each other's ids: make one here",
        )


def check_persona(here: str, request: SongRequest) -> None:
    """Refuse the persona of another service."""
    if request.persona is not None:
        check_origin(here, "persona", request.persona.provider)


def check_length(field: str, text: str | None, most: int, source: str) -> None:
    """Refuse text of more than `most` characters, counted as Unicode code points."""
    if text is not None and len(text) > most:
        raise invalid(
            field,
            f"must be at most {most} characters long, not {len(text)}",
            "Shorten it",
            source,
        )


def find_ids(here: str, field: str, source: Source) -> TrackRef:
    """Return the ids of a source, which must be a track of this service.

    Raises:
        InvalidRequest: it is a web address, or comes from another service.
    """
    if isinstance(source, str):
        raise invalid(
            field,
            f"must be a track of {here}, not a web address",
            "Upload the audio first where the service can, or pass a track",
        )
    if isinstance(source, TrackRef):
        return source
    check_origin(here, field, source.provider)
    return source.ref


def find_address(field: str, source: Source) -> str:
    """Return the web address of a source; a track's is that of its final audio.

    Raises:
        InvalidRequest: it has none.
    """
    if isinstance(source, str):
        return source
    if isinstance(source, Track) and source.audio_url is not None:
        return source.audio_url
    raise invalid(
        field,
        "must have a web address, from which the service fetches it",
        "Pass a track with its audio_url, or the address itself",
    )
