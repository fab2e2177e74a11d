"""A hidden file that receives a download until the file is whole.

The process that fills a part file holds a lock on it. A part file without a lock was
left by a process that died, and the next download of the same track removes it.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import attrs

from personakit.errors import PersonaKitError, invalid

# Windows has no fcntl, and needs none: it does not remove a file that is open.
_fcntl: ModuleType | None = import_module("fcntl") if find_spec("fcntl") else None

_NUMBERS = 4  # of part files of one owner that are looked at in any case
# The caller can change these by another path or other permissions.
_WRONG_PATH = {
    errno.EACCES,
    errno.EEXIST,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


@contextmanager
def explain_disk(path: Path) -> Generator[None]:
    """Turn the errors of the file system into those of this package.

    Raises:
        InvalidRequest: nothing can be written at this path.
        PersonaKitError: the disk is full or broken.
    """
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: NUL, half a surrogate pair
        code = error.errno if isinstance(error, OSError) else errno.EINVAL
        reason = os.strerror(code or errno.EIO)
        if code in _WRONG_PATH:
            raise invalid(
                "to",
                f"must be writable, but {path} is not ({reason})",
                "Pass another path, or change its permissions",
            ) from error
        raise PersonaKitError(
            f"The file cannot be written: {path} ({reason}). The service still has "
            "the track: make room or pass another path, then download it again."
        ) from error


@attrs.define(eq=False)
class PartFile:
    """An open part file.

    Attributes:
        path: Its path.
        size: Bytes written so far.
        version: The host's version of the file (a strong ETag), None if unknown.
    """

    path: Path
    _file: BinaryIO
    size: int = 0
    version: str | None = None

    @property
    def offset(self) -> int:
        """Byte at which to resume; 0 if the host's version is unknown."""
        return self.size if self.version else 0

    def restart(self, version: str | None) -> None:
        """Remove what was written."""
        self.size, self.version = 0, version
        with explain_disk(self.path):
            self._file.seek(0)
            self._file.truncate()

    async def write(self, chunk: bytes) -> None:
        """Append a chunk.

        Raises:
            PersonaKitError: the disk is full or broken.
        """
        with explain_disk(self.path):
            await asyncio.to_thread(self._file.write, chunk)
        self.size += len(chunk)

    async def flush(self) -> None:
        """Return once everything is on the disk.

        Raises:
            PersonaKitError: the disk is full or broken.
        """
        with explain_disk(self.path):
            self._file.flush()
            await asyncio.to_thread(os.fsync, self._file.fileno())

    def publish(self, path: Path) -> None:
        """Let the whole file appear at a path.

        Raises:
            FileExistsError: another file is there.
            InvalidRequest: nothing can be written at this path.
            PersonaKitError: the disk is full or broken.
        """
        try:
            os.link(self.path, path)  # unlike a rename, a link never overwrites
        except (OSError, ValueError):  # for example a file system without links
            if os.path.lexists(path):
                raise FileExistsError(path) from None
            with explain_disk(path):
                self._file.close()  # Windows renames no open file
                self.path.replace(path)

    def remove(self) -> None:
        """Remove the hidden file, and give up the lock."""
        with suppress(OSError):
            if _fcntl is not None:  # while it is locked
                self.path.unlink(missing_ok=True)
        with suppress(OSError):  # raised again after a failed write
            self._file.close()
        with suppress(OSError):
            if _fcntl is None:
                self.path.unlink(missing_ok=True)


def open_part(folder: Path, owner: str) -> PartFile:
    """Create a part file, and remove those that dead processes left.

    Args:
        folder: Created if missing.
        owner: What is downloaded. Part files of other owners are not touched.

    Raises:
        InvalidRequest: nothing can be written in this folder.
        PersonaKitError: the disk is full or broken.
    """
    stem = hashlib.sha256(owner.encode(errors="surrogatepass")).hexdigest()[:16]
    part, number = None, 0
    with explain_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # Numbers instead of a search: the folder may hold a million files.
        while part is None or number < _NUMBERS:
            path = folder / f".{stem}-{number}.part"
            _remove_unlocked(path)
            part = part or _create(path)
            number += 1
    return part


def _remove_unlocked(path: Path) -> None:
    """Remove a part file unless a living process has it open."""
    with suppress(OSError):  # there is none, or it is locked
        if _fcntl is None:
            path.unlink()
            return
        with path.open("rb") as file:
            _fcntl.flock(file, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
            # Its owner may have finished just now, and another one have begun.
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                path.unlink()


def _create(path: Path) -> PartFile | None:
    """Create and lock a part file; None if another process was faster."""
    try:
        file = path.open("xb")
    except FileExistsError:
        return None
    with suppress(OSError):  # a file system without locks: nothing is removed there
        if _fcntl is not None:
            _fcntl.flock(file, _fcntl.LOCK_EX)
    if path.exists():
        return PartFile(path, file)
    file.close()  # another process removed it before it was locked
    return None
