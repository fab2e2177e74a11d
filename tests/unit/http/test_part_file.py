"""Part files become whole files, and never outlive the process that fills them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

import personakit.http.part_file
from personakit.errors import InvalidRequest, PersonaKitError
from personakit.http.part_file import PartFile, explain_disk, open_part

# Files are written by threads, which virtual time does not wait for.
pytestmark = pytest.mark.looptime(False)

HOLD = """
import sys
from pathlib import Path
from personakit.http.part_file import open_part
part = open_part(Path(sys.argv[1]), "track")
print(part.path, flush=True)
sys.stdin.read()
"""


def hold(folder: Path) -> tuple[subprocess.Popen[str], Path]:
    """Start a process that holds a part file."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_part_of_a_dead_process_is_removed(tmp_path):
    """What a killed process left is gone after the next download of the track."""
    process, left = hold(tmp_path)
    other, held = hold(tmp_path)
    end(process)
    assert left.exists()
    part = open_part(tmp_path, "track")
    part.remove()
    assert os.listdir(tmp_path) == [held.name]
    end(other)
    open_part(tmp_path, "track").remove()

    assert left != held
    assert os.listdir(tmp_path) == []


def test_part_of_a_living_process_is_kept(tmp_path):
    """Two processes, or two tasks, never write to the same part file."""
    process, held = hold(tmp_path)
    parts = [open_part(tmp_path, "track") for _ in range(9)]

    assert held.exists()
    assert len({held, *(part.path for part in parts)}) == 10
    assert all(part.path.exists() for part in parts)
    for part in parts:
        part.remove()
    end(process)


def test_part_of_another_track_is_kept(tmp_path):
    """Only part files of the same track are looked at."""
    process, held = hold(tmp_path)
    end(process)
    open_part(tmp_path, "another track").remove()

    assert held.exists()


@pytest.mark.parametrize("link", [os.link, None], ids=["links", "no links"])
async def test_part_becomes_a_file_once(tmp_path, monkeypatch, link):
    """A file that was there first is kept, and no part file stays."""

    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("personakit.http.part_file.os.link", link or refuse)
    first, second = open_part(tmp_path, "\ud800"), open_part(tmp_path, "\ud800")
    for part in (first, second):
        await part.write(part.path.name.encode())
        await part.flush()
    first.publish(tmp_path / "a")
    with pytest.raises(FileExistsError):
        second.publish(tmp_path / "a")
    first.remove()
    second.remove()

    assert (tmp_path / "a").read_text() == first.path.name
    assert os.listdir(tmp_path) == ["a"]


def test_part_that_was_removed_before_its_lock_is_not_used(tmp_path, monkeypatch):
    """Another process may clean up between the creation and the lock."""
    lock, removed = personakit.http.part_file._fcntl.flock, []

    def remove_first(file, how):
        if not removed:
            removed.append(Path(file.name))
            removed[0].unlink()
        lock(file, how)

    monkeypatch.setattr(personakit.http.part_file._fcntl, "flock", remove_first)
    part = open_part(tmp_path, "track")

    assert part.path.exists()
    assert part.path != removed[0]
    part.remove()


def test_part_that_appears_meanwhile_is_kept(tmp_path, monkeypatch):
    """A part file that finishes while it is examined is not mixed up with a new one."""
    lock, seen = personakit.http.part_file._fcntl.flock, []
    old, _ = open_part(tmp_path, "track"), seen.append(1)

    def replace(file, how):
        if seen:
            seen.clear()
            old.remove()
            old.path.write_text("new")
        lock(file, how)

    monkeypatch.setattr(personakit.http.part_file._fcntl, "flock", replace)
    part = open_part(tmp_path, "track")

    assert old.path.read_text() == "new"
    part.remove()


def test_system_without_locks(tmp_path, monkeypatch):
    """Where an open file cannot be removed, no lock is needed."""
    monkeypatch.setattr(personakit.http.part_file, "_fcntl", None)
    left = open_part(tmp_path, "track")
    left.path.write_text("left")
    left._file.close()
    part = open_part(tmp_path, "track")

    assert part.path.read_text() == ""
    part.remove()
    assert os.listdir(tmp_path) == []


@pytest.fixture
def full_disk() -> Iterator[BinaryIO]:
    """Open a file on a disk that has no room."""
    with Path("/dev/full").open("wb") as file:
        yield file


async def test_full_disk_is_named(tmp_path, full_disk):
    """The error says which file, why, and that nothing is lost."""
    part = PartFile(tmp_path / "a", full_disk)
    with pytest.raises(PersonaKitError, match="No space left") as caught:
        await part.write(bytes(100_000))
    part.remove()

    assert str(tmp_path / "a") in str(caught.value)
    assert "still has the track" in str(caught.value)
    assert caught.value.charged == "no"


@pytest.mark.parametrize(
    "name", ["x" * 300, "a\0b", "half \ud800", "file/below"], ids=ascii
)
def test_wrong_path_is_named(tmp_path, name):
    """What no file system can hold is the caller's to change."""
    (tmp_path / "file").write_text("a file")
    with pytest.raises(InvalidRequest, match="to must be writable") as caught:
        open_part(tmp_path / name, "track")

    assert caught.value.field == "to"
    str(caught.value).encode()


def test_unknown_error_of_a_disk():
    """An error without a number still says which file."""
    with pytest.raises(PersonaKitError, match=r"cannot be written: a \("):
        with explain_disk(Path("a")):
            raise OSError
