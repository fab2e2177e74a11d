"""Which processes of this machine are alive, as far as one of them can tell."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_START_TIME = 19  # place of the start time after the name in /proc/PID/stat


@cache
def find_boot() -> str:
    """Return a name of this start of the machine, the same in all processes.

    Where the system gives none, it is empty; `time.monotonic` then tells restarts well
    enough, because it begins again.

    Source: proc(5), /proc/sys/kernel/random/boot_id.
    """
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def describe_process() -> str:
    """Name this process, so that `is_gone` can find out later that it is gone.

    It is empty where that cannot be told.
    """
    space, started = _find_space(), _find_start(os.getpid())
    return f"{space} {os.getpid()} {started}" if space and started else ""


def is_gone(process: str) -> bool:
    """Return whether a process is gone for certain.

    Args:
        process: From `describe_process`, in a process of the same start of the machine.
    """
    space, _, rest = process.partition(" ")
    pid, _, started = rest.partition(" ")
    if not started or space != _find_space():
        return False  # in another container, say, where its number means another one
    return _find_start(int(pid)) != started


@cache
def _find_space() -> str:
    """Return the namespace in which process numbers are valid, empty if unknown."""
    if sys.platform != "linux":
        return ""
    try:
        return str((_PROC / "self/ns/pid").stat().st_ino)
    except OSError:
        return ""


def _find_start(pid: int) -> str:
    """Return when a process began, empty if there is none of that number."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    is_dead = fields[0] in {"Z", "X"}
    return "" if is_dead else fields[_START_TIME]
