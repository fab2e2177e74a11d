"""From a link to a playable file: bounded, atomic, and named without help from outside.

The media host is not trusted. It never sees the key, its file names are not used, what
it sends must look like audio, and a file appears under its name only when it is whole.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
from yarl import URL

from personakit.errors import (
    MalformedAnswer,
    NotFound,
    ServiceUnavailable,
    refuse,
)
from personakit.models import Track
from personakit.retry import repeat
from personakit.transport import Transport, is_allowed
from personakit.wire import NoAnswer

SIZE_LIMIT = 512 * 1024 * 1024
"""Bytes of one file; the longest song of any service is far below."""
REDIRECT_LIMIT = 3

_HEAD = 12  # bytes that tell the kinds of audio apart
_KINDS = {
    "wav": re.compile(rb"RIFF....WAVE", re.DOTALL),
    "mp3": re.compile(rb"ID3|\xff[\xe2-\xff]"),
    "ogg": re.compile(rb"OggS"),
    "flac": re.compile(rb"fLaC"),
    "m4a": re.compile(rb"....ftyp", re.DOTALL),
}
_UNSAFE = re.compile(r"[^\w-]+")
_TITLE_BYTES = 120  # of a title that go into a file name; most systems allow 255


@attrs.frozen
class _Place:
    """Where a file goes: a folder and a name, whose ending may wait for the audio."""

    folder: Path
    stem: str
    ending: str | None

    def find(self) -> Path | None:
        """Return the file that is there already, None for none."""
        endings = [self.ending] if self.ending else [f".{kind}" for kind in _KINDS]
        paths = (self.folder / f"{self.stem}{ending}" for ending in endings)
        return next((path for path in paths if path.exists()), None)


async def save_track(
    transport: Transport,
    track: Track,
    to: str | os.PathLike[str],
    *,
    deadline: float = math.inf,
    loopback: bool = False,
) -> Path:
    """Save the audio of a track; see `PersonaKit.download`.

    Args:
        transport: Opens the link.
        track: With an `audio_url`.
        to: A folder, or the path of a file that does not exist yet.
        deadline: Loop time.
        loopback: True where the service itself is on this machine, so that its media
            may be too.
    """
    url = _check_link(track, loopback=loopback)
    place = _choose_place(track, to)
    if (found := place.find()) is not None:
        if place.ending is None:
            return found
        raise refuse("to", f"must not exist yet, but {found} does", "Pass another path")

    async def attempt(within: float) -> Path:
        try:
            return await _save_once(transport, url, place, within, loopback=loopback)
        except NoAnswer as lost:
            raise ServiceUnavailable(
                f"The media host stopped sending ({lost.reason}).", retry_safe=True
            ) from None

    return await repeat(attempt, deadline=deadline)


def _check_link(track: Track, *, loopback: bool) -> URL:
    if track.audio_url is None:
        raise refuse(
            "track", "must have an audio_url", "Read its job again, the link may come"
        )
    return _check_url(track.audio_url, loopback=loopback)


def _check_url(text: str, *, loopback: bool) -> URL:
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if not url.host or not is_allowed(url, loopback=loopback):
        raise refuse("audio_url", "must be an https link", "Do not open other links")
    return url


def _choose_place(track: Track, to: str | os.PathLike[str]) -> _Place:
    path, text = Path(to), os.fspath(to)
    if text.endswith(("/", os.sep)) or path.is_dir() or not path.suffix:
        title = _UNSAFE.sub(" ", track.title or "").strip()
        title = title.encode()[:_TITLE_BYTES].decode(errors="ignore").strip()
        number = _UNSAFE.sub("_", track.track_id)
        return _Place(path, f"{title or 'track'} {number}", None)
    return _Place(path.parent, path.stem, path.suffix)


async def _save_once(
    transport: Transport, url: URL, place: _Place, within: float, *, loopback: bool
) -> Path:
    for _ in range(REDIRECT_LIMIT + 1):
        async with transport.open(url, within=within) as download:
            if download.location is None:
                _check_status(download.status)
                return await _write(download.chunks, place)
            target = url.join(URL(download.location))
            url = _check_url(str(target), loopback=loopback)
    raise NotFound(f"The link redirects more than {REDIRECT_LIMIT} times.")


def _check_status(status: int) -> None:
    if status == 200:  # noqa: PLR2004 - the one good answer, as no range is asked for
        return
    if status in {401, 403, 404, 410}:
        raise NotFound(
            f"The media host answered {status}: the link may have expired. Read the "
            "job again for a new one.",
            status=status,
        )
    raise ServiceUnavailable(
        f"The media host answered {status}.", status=status, retry_safe=True
    )


async def _write(chunks: AsyncIterator[bytes], place: _Place) -> Path:
    """Write to a hidden file of its own, and give it its name when it is whole."""
    head = await _read_head(chunks)
    path = place.folder / f"{place.stem}{place.ending or _find_ending(head)}"
    place.folder.mkdir(parents=True, exist_ok=True)
    part = place.folder / f".{uuid.uuid4().hex}.part"
    try:
        with part.open("xb") as file:
            size = len(head)
            await asyncio.to_thread(file.write, head)
            async for chunk in chunks:
                size += len(chunk)
                if size > SIZE_LIMIT:
                    raise MalformedAnswer(f"The audio is over {SIZE_LIMIT} bytes.")
                await asyncio.to_thread(file.write, chunk)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


async def _read_head(chunks: AsyncIterator[bytes]) -> bytes:
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= _HEAD:
            break
    return head


def _find_ending(head: bytes) -> str:
    for kind, pattern in _KINDS.items():
        if pattern.match(head):
            return f".{kind}"
    raise MalformedAnswer("The media host sent something that is no audio.")
