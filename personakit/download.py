"""From a link to a playable file: bounded, atomic, and named without help from outside.

The media host is not trusted. It never sees the key, its file names are not used, what
it sends must look like audio, and a file appears under its name only when it is whole.
A transfer that breaks goes on where it broke, if the host can tell that the file is
still the same.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

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
from personakit.transport import Download, Transport, is_allowed
from personakit.wire import NoAnswer

Progress: TypeAlias = Callable[[int, int | None], None]
"""Is told the bytes received so far, and those of the whole file, None if not known."""

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
_OK, _PARTIAL, _NO_RANGE = 200, 206, 416


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
        return next((path for path in paths if os.path.lexists(path)), None)


@attrs.define(eq=False)
class _Part:
    """A hidden file that grows until it is whole.

    Attributes:
        path: Of the hidden file.
        size: Bytes so far.
        head: The first of them.
        version: By which the host knows this very file again, None if it does not.
    """

    path: Path
    size: int = 0
    head: bytes = b""
    version: str | None = None

    @property
    def offset(self) -> int:
        """Where to go on; 0 where the host could not tell whether it still fits."""
        return self.size if self.version else 0

    def restart(self, version: str | None) -> None:
        """Forget what is there."""
        self.size, self.head, self.version = 0, b"", version

    async def fill(
        self, chunks: AsyncIterator[bytes], report: Callable[[int], None]
    ) -> None:
        """Append what comes; refuse it as soon as it looks wrong."""
        with self.path.open("r+b" if self.size else "wb") as file:
            file.seek(self.size)
            async for chunk in chunks:
                self.head = (self.head + chunk)[:_HEAD]
                if len(self.head) == _HEAD:
                    _find_ending(self.head)
                if self.size + len(chunk) > SIZE_LIMIT:
                    raise MalformedAnswer(f"The audio is over {SIZE_LIMIT} bytes.")
                await asyncio.to_thread(file.write, chunk)
                self.size += len(chunk)
                report(self.size)
            await asyncio.to_thread(_flush, file.fileno())


def _flush(file: int) -> None:
    os.fsync(file)


async def save_track(
    transport: Transport,
    track: Track,
    to: str | os.PathLike[str],
    *,
    deadline: float = math.inf,
    loopback: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Save the audio of a track; see `PersonaKit.download`.

    Args:
        transport: Opens the link.
        track: With an `audio_url`.
        to: A folder, or the path of a file that does not exist yet.
        deadline: Loop time.
        loopback: True where the service itself is on this machine, so that its media
            may be too.
        progress: Is told how far it has come, None for nobody.
    """
    url = _check_link(track, loopback=loopback)
    place = _choose_place(track, to)
    if (found := place.find()) is not None:
        return _take_existing(place, found)
    place.folder.mkdir(parents=True, exist_ok=True)
    part = _Part(place.folder / f".{uuid.uuid4().hex}.part")

    async def attempt(within: float) -> None:
        try:
            await _fetch(
                transport, url, part, within, loopback=loopback, progress=progress
            )
        except NoAnswer as lost:
            raise ServiceUnavailable(
                f"The media host stopped sending ({lost.reason}).",
                retry_safe=not lost.hopeless,
            ) from None

    try:
        await repeat(attempt, deadline=deadline)
        return _give_name(part, place)
    finally:
        part.path.unlink(missing_ok=True)


def _take_existing(place: _Place, found: Path) -> Path:
    """Return a file that a folder has already; a path of the caller's is refused."""
    if place.ending is None and found.is_file():
        return found
    raise refuse("to", f"must not exist yet, but {found} does", "Pass another path")


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
    if not url.host or url.user or not is_allowed(url, loopback=loopback):
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


async def _fetch(
    transport: Transport,
    url: URL,
    part: _Part,
    within: float,
    *,
    loopback: bool,
    progress: Progress | None,
) -> None:
    """Get the file, or the rest of it."""
    for _ in range(REDIRECT_LIMIT + 1):
        async with transport.open(
            url, within=within, start=part.offset, version=part.version
        ) as download:
            if download.location is None:
                total = _begin(download, part)
                await part.fill(download.chunks, partial(_report, progress, total))
                _find_ending(part.head)
                return
            target = url.join(URL(download.location))
            url = _check_url(str(target), loopback=loopback)
    raise NotFound(f"The link redirects more than {REDIRECT_LIMIT} times.")


def _report(progress: Progress | None, total: int | None, size: int) -> None:
    if progress is not None:
        progress(size, total)


def _begin(download: Download, part: _Part) -> int | None:
    """Prepare for what an answer brings, and return the bytes of the whole file."""
    if download.status == _PARTIAL and part.size and download.start == part.size:
        return None if download.length is None else part.size + download.length
    if download.status in {_PARTIAL, _NO_RANGE}:
        part.restart(None)  # and ask for the whole
        raise ServiceUnavailable("The media host sent another part.", retry_safe=True)
    _check_status(download.status)
    if (download.length or 0) > SIZE_LIMIT:
        raise MalformedAnswer(f"The audio is over {SIZE_LIMIT} bytes.")
    part.restart(download.version)
    return download.length


def _check_status(status: int) -> None:
    if status == _OK:
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


def _give_name(part: _Part, place: _Place) -> Path:
    """Let the whole file appear under its name, which nobody else took meanwhile."""
    path = place.folder / f"{place.stem}{place.ending or _find_ending(part.head)}"
    try:
        os.link(part.path, path)  # in contrast to a rename, it never overwrites
    except FileExistsError:
        return _take_existing(place, path)
    except OSError:  # a file system without links
        part.path.replace(path)
    return path


def _find_ending(head: bytes) -> str:
    for kind, pattern in _KINDS.items():
        if pattern.match(head):
            return f".{kind}"
    raise MalformedAnswer("The media host sent something that is no audio.")
