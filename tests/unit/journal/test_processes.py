"""Which processes of this machine are alive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from personakit.journal import processes
from personakit.journal.processes import describe_process, find_boot, is_gone


@pytest.fixture(autouse=True)
def clean():
    """Forget what was found out once, before and after each test."""
    processes.find_boot.cache_clear()
    processes._find_space.cache_clear()
    yield
    processes.find_boot.cache_clear()
    processes._find_space.cache_clear()


def describe(pid: int) -> str:
    return f"{processes._find_space()} {pid} {processes._find_start(pid)}"


def test_living_process_is_not_gone():
    """This process describes itself, and is there."""
    assert describe_process() == describe(os.getpid())
    assert not is_gone(describe_process())


def test_ended_process_is_gone():
    """A process that ended is gone, also before its parent has asked for its end."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    described = describe(child.pid)
    before = is_gone(described)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    as_zombie = is_gone(described)
    child.communicate()

    assert (before, as_zombie, is_gone(described)) == (False, True, True)


def test_number_that_was_given_again_is_another_process():
    """The start time tells a process from a later one of the same number."""
    space, pid, started = describe_process().split()

    assert is_gone(f"{space} {pid} {int(started) + 1}")


@pytest.mark.parametrize("described", ["", "7", "7 7", "other-space 1 1"])
def test_what_cannot_be_known_is_not_gone(described):
    """A process of another container, or one without a description, may be alive."""
    assert not is_gone(described)


def test_boot_has_a_name():
    """It is the same in all processes of this start of the machine."""
    told = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    assert find_boot() == told


def test_system_without_proc(monkeypatch, tmp_path):
    """Where the system tells nothing, nobody is known to be gone."""
    monkeypatch.setattr(processes, "_PROC", tmp_path)

    assert (find_boot(), describe_process()) == ("", "")


def test_other_system(monkeypatch):
    """Process numbers are compared on Linux only."""
    monkeypatch.setattr(sys, "platform", "darwin")

    assert describe_process() == ""
