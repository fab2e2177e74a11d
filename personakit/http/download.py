"""From a link to a playable file: bounded, atomic, and named without help from outside.

The media host is not trusted. It never sees the key, its file names are not used, what
it sends must look like audio, and a file appears under its name only when it is whole.
A transfer that breaks goes on where it broke, if the host can tell that the file is
still the same. A host must mark the end of a file by Content-Length or by chunked
encoding; without either only a WAV file is accepted, because its header has its size.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import attrs
from yarl import URL

from personakit.errors import (
    MalformedAnswer,
    NotFound,
    ServiceUnavailable,
    invalid,
)
from personakit.http.messages import NoAnswer
from personakit.http.part_file import PartFile, explain_disk, open_part
from personakit.http.retry import repeat
from personakit.http.transport import Download, Transport, is_allowed
from personakit.models import Track

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
_TITLE_BYTES, _ID_BYTES = 120, 80  # in a file name; most systems allow 255
_OK, _PARTIAL, _NO_RANGE, _SERVER_ERROR = 200, 206, 416, 500
_RANGE = re.compile(r"bytes (\d{1,15})-\d{1,15}/(?:\d{1,15}|\*)")  # RFC 9110, 14.4
_LENGTH = re.compile(r"(\d{1,15})")
_REDIRECTS = {301, 302, 303, 307, 308}
_EXPIRED = {401, 403, 404, 410}
_TEMPORARY = {408, 425, 429}


@attrs.frozen
class _Place:
    """Where a file goes: a folder and a name, whose ending may wait for the audio."""

    folder: Path
    stem: str
    ending: str | None

    def find(self) -> Path | None:
        """Return the file that is there already, None for none."""
        endings = [self.ending] if self.ending else [f".{kind}" for kind in _KINDS]
        for ending in endings:
            path = self.folder / f"{self.stem}{ending}"
            with suppress(FileNotFoundError):
                path.lstat()
                return path
        return None


@attrs.define(eq=False)
class _Transfer:
    """Checks the audio of one file while it arrives, and writes it.

    Attributes:
        part: Where it is written.
        progress: Called after each chunk, None if not set.
        head: The first bytes.
        total: Bytes of the whole file, None if the host does not send it.
    """

    part: PartFile
    progress: Progress | None
    head: bytes = b""
    total: int | None = None

    async def receive(self, answer: Download) -> None:
        """Receive the file, or the rest of it.

        Raises:
            MalformedAnswer: it is no audio, or too large, or its end is not known.
            NoAnswer: the host stopped sending.
            PersonaKitError: what the status means; or the disk is full.
        """
        self._begin(answer)
        async for chunk in answer.chunks:
            self.head = (self.head + chunk)[:_HEAD]
            if len(self.head) == _HEAD:
                _check_head(self.head, answer)
            _check_size(self.part.size + len(chunk))
            await self.part.write(chunk)
            if self.progress is not None:
                self.progress(self.part.size, self.total)
        _check_head(self.head, answer)
        if not _has_end(answer) and self.part.size < (_find_length(self.head) or 0):
            raise NoAnswer("the file ends early", sent=True)
        await self.part.flush()

    def _begin(self, answer: Download) -> None:
        """Prepare for what an answer brings."""
        part, status = self.part, answer.status
        length = _find_number(answer, "Content-Length", _LENGTH)
        if part.offset and status in {_PARTIAL, _NO_RANGE}:
            start = _find_number(answer, "Content-Range", _RANGE)
            if status == _NO_RANGE or start != part.size:
                part.restart(None)  # and ask for the whole
                raise ServiceUnavailable(
                    "The media host sent another part.", retry_safe=True
                )
            self.total = None if length is None else part.size + length
            return
        _check_status(status)
        _check_size(length or 0)
        part.restart(_find_version(answer))
        self.head, self.total = b"", length


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
    with explain_disk(Path(to)):
        place = _choose_place(track, to)
        if (found := place.find()) is not None:
            return _take_existing(place, found)
    part = open_part(place.folder, f"{track.provider} {track.track_id}")
    transfer = _Transfer(part, progress)

    async def attempt() -> None:
        within = deadline - asyncio.get_running_loop().time()
        try:
            await _fetch(transport, url, transfer, within, loopback=loopback)
        except NoAnswer as lost:
            raise ServiceUnavailable(
                f"The media host stopped sending ({lost.reason}).",
                retry_safe=not lost.hopeless,
            ) from None

    try:
        await repeat(attempt, deadline=deadline)
        return _give_name(transfer, place)
    finally:
        part.remove()


def _take_existing(place: _Place, found: Path) -> Path:
    """Return a file that a folder has already; a path of the caller's is refused."""
    if place.ending is None and found.is_file():
        return found
    raise invalid("to", f"must not exist yet, but {found} does", "Pass another path")


def _check_link(track: Track, *, loopback: bool) -> URL:
    if track.audio_url is None:
        raise invalid(
            "track", "must have an audio_url", "Read its job again, the link may come"
        )
    return _check_url(track.audio_url, loopback=loopback)


def _check_url(text: str, *, loopback: bool) -> URL:
    try:
        url = URL(text)
    except (TypeError, ValueError):
        url = URL()
    if not url.host or url.user or not is_allowed(url, loopback=loopback):
        raise invalid("audio_url", "must be an https link", "Do not open other links")
    return url


def _choose_place(track: Track, to: str | os.PathLike[str]) -> _Place:
    path, text = Path(to), os.fspath(to)
    if text.endswith(("/", os.sep)) or path.is_dir() or not path.suffix:
        title = _shorten(_UNSAFE.sub(" ", track.title or "").strip(), _TITLE_BYTES)
        return _Place(path, f"{title or 'track'} {_name_id(track.track_id)}", None)
    return _Place(path.parent, path.stem, path.suffix)


def _shorten(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore").strip()


def _name_id(track_id: str) -> str:
    """Return an id as part of a file name, still different for different ids."""
    name = _shorten(_UNSAFE.sub("_", track_id), _ID_BYTES)
    if name == track_id:
        return name
    raw = track_id.encode(errors="surrogatepass")
    return f"{name}-{hashlib.sha256(raw).hexdigest()[:12]}"


async def _fetch(
    transport: Transport,
    url: URL,
    transfer: _Transfer,
    within: float,
    *,
    loopback: bool,
) -> None:
    """Get the file, or the rest of it."""
    part = transfer.part
    for _ in range(REDIRECT_LIMIT + 1):
        async with transport.open(
            url, within=within, start=part.offset, version=part.version
        ) as answer:
            location = answer.headers.get("Location")
            if location is None or answer.status not in _REDIRECTS:
                await transfer.receive(answer)
                return
            url = _follow(url, location, loopback=loopback)
    raise NotFound(f"The link redirects more than {REDIRECT_LIMIT} times.")


def _follow(url: URL, location: str, *, loopback: bool) -> URL:
    """Return the address that a redirect leads to."""
    try:
        target = str(url.join(URL(location)))
    except ValueError:
        raise MalformedAnswer(
            "The media host redirects to an address that cannot be read."
        ) from None
    return _check_url(target, loopback=loopback)


def _check_status(status: int) -> None:
    if status == _OK:
        return
    if status in _EXPIRED:
        raise NotFound(
            f"The media host answered {status}: the link may have expired. Read the "
            "job again for a new one.",
            status=status,
        )
    raise ServiceUnavailable(
        f"The media host answered {status}.",
        status=status,
        retry_safe=status in _TEMPORARY or status >= _SERVER_ERROR,
    )


def _check_size(size: int) -> None:
    if size > SIZE_LIMIT:
        raise MalformedAnswer(f"The audio is over {SIZE_LIMIT} bytes.")


def _find_number(answer: Download, header: str, pattern: re.Pattern[str]) -> int | None:
    """Return the first number of a header, None if it is missing or malformed."""
    found = pattern.fullmatch(answer.headers.get(header, "").strip())
    return None if found is None else int(found[1])


def _find_version(answer: Download) -> str | None:
    """Return what ``If-Range`` takes: a strong tag. Source: RFC 9110, 13.1.5."""
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else None


def _has_end(answer: Download) -> bool:
    """Return whether the host marks the end of the body: a cut is an error then."""
    headers = answer.headers
    return "Content-Length" in headers or "Transfer-Encoding" in headers


def _check_head(head: bytes, answer: Download) -> None:
    """Refuse what is no audio, and audio whose end could not be known."""
    _find_ending(head)
    if not _has_end(answer) and _find_length(head) is None:
        raise MalformedAnswer(
            "The media host does not send the length of the file, so a file that was "
            "cut could not be recognized."
        )


def _find_ending(head: bytes) -> str:
    for kind, pattern in _KINDS.items():
        if pattern.match(head):
            return f".{kind}"
    raise MalformedAnswer("The media host sent something that is no audio.")


def _find_length(head: bytes) -> int | None:
    """Return the bytes of a whole WAV file by its own header, None if not known.

    Source: Multimedia Programming Interface and Data Specifications 1.0, RIFF. Writers
    that cannot seek leave the size at 0 or at its maximum.
    """
    size = int.from_bytes(head[4:8], "little")
    is_known = head.startswith(b"RIFF") and size not in {0, 0xFFFFFFFF}
    return size + 8 if is_known else None


def _give_name(transfer: _Transfer, place: _Place) -> Path:
    """Let the whole file appear under its name, unless another file has that now."""
    ending = place.ending or _find_ending(transfer.head)
    path = place.folder / f"{place.stem}{ending}"
    try:
        transfer.part.publish(path)
    except FileExistsError:
        return _take_existing(place, path)
    return path
