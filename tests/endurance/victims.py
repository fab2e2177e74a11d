"""Processes that die at a named point of their work, or at a random moment.

The processes are forks of one that has everything imported, which makes thousands of
deaths affordable.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from personakit.http import download
from personakit.http.part_file import PartFile
from personakit.jobs import fetch as readers
from personakit.jobs import submit
from personakit.journal import SqliteJournal
from personakit.journal.steps import Step, Verdict

SUBMIT_STEPS = ("begin", "start", "accept")
END_STEPS = ("end", "take", "deliver")
STEPS = (*SUBMIT_STEPS, *END_STEPS)
REQUESTS = ("connecting", "in flight", "after the answer", "reading")
FILES = ("downloading", "before the name", "after the name")
OTHER_STEPS = ("claim", "lose", "bind", "refuse", "notsent", "withdraw", "return")
"""Steps that not every process takes."""


def sides(*names: str) -> tuple[str, ...]:
    """Return the points before and after each step."""
    return tuple(f"{side} {name}" for name in names for side in ("before", "after"))


def die(*_: object) -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_in(seconds: float) -> None:
    """End this process after some time, whatever it does then."""
    timer = threading.Timer(seconds, die)
    timer.daemon = True
    timer.start()


@attrs.define
class Trap:
    """Kills this process when it comes to a point for the n-th time."""

    point: str
    nth: int = 1

    def is_at(self, point: str) -> bool:
        """Return whether this is the point, reached often enough."""
        if point != self.point:
            return False
        self.nth -= 1
        return self.nth == 0

    def reach(self, point: str) -> None:
        """Die if this is the point, reached often enough."""
        if self.is_at(point):
            die()


def arm(trap: Trap, journal: type[Any] = SqliteJournal) -> None:
    """Have this process die at a point of its work."""
    _arm_journal(trap, journal)
    _arm_answers(trap)
    _arm_files(trap)
    connect = asyncio.SelectorEventLoop.sock_connect

    async def connect_armed(*args: Any) -> None:
        trap.reach("connecting")
        await connect(*args)

    asyncio.SelectorEventLoop.sock_connect = connect_armed  # type: ignore[method-assign]


def _arm_journal(trap: Trap, journal: type[Any]) -> None:
    apply, claim = journal.apply, journal.claim

    async def apply_armed(self: Any, account: Any, step: Step) -> Verdict:
        name = type(step).__name__.lower()
        trap.reach(f"before {name}")
        verdict: Verdict = await apply(self, account, step)
        trap.reach(f"after {name}")
        return verdict

    async def claim_armed(*args: Any, **options: Any) -> Any:
        trap.reach("before claim")
        claimed = await claim(*args, **options)
        trap.reach("after claim")
        return claimed

    journal.apply, journal.claim = apply_armed, claim_armed


def _arm_answers(trap: Trap) -> None:
    attempt, fetch = submit.attempt_call, readers.fetch

    async def submit_armed(*args: Any, **options: Any) -> Any:
        if trap.is_at("in flight"):
            asyncio.get_running_loop().call_later(0.1, die)
        answer = await attempt(*args, **options)
        trap.reach("after the answer")
        return answer

    async def read_armed(*args: Any, **options: Any) -> Any:
        if trap.is_at("reading"):
            asyncio.get_running_loop().call_later(0.002, die)
        return await fetch(*args, **options)

    submit.attempt_call, readers.fetch = submit_armed, read_armed


def _arm_files(trap: Trap) -> None:
    give_name, write = download._give_name, PartFile.write

    def name_armed(*args: Any) -> Path:
        trap.reach("before the name")
        path = give_name(*args)
        trap.reach("after the name")
        return path

    async def write_armed(self: PartFile, chunk: bytes) -> None:
        await write(self, chunk)
        trap.reach("downloading")

    download._give_name = name_armed
    PartFile.write = write_armed  # type: ignore[method-assign]


def serve_forks(run: Callable[[dict[str, Any]], Coroutine[Any, Any, Any]]) -> None:
    """Run each task that is asked for in a fork of this process.

    Args:
        run: Does a task, and returns what is to be reported, ready for JSON.
    """
    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            code = 0
            try:
                report = asyncio.run(run(json.loads(line)))
                os.write(writer, json.dumps(report).encode())
            except BaseException:
                traceback.print_exc()
                code = 1
            os._exit(code)
        os.close(writer)
        with os.fdopen(reader) as answer:
            text = answer.read()
        _, status = os.waitpid(child, 0)
        print(json.dumps([os.waitstatus_to_exitcode(status), text]), flush=True)


@attrs.define
class Forks:
    """A process that forks on request, one task after the other."""

    process: asyncio.subprocess.Process

    async def run(self, **task: Any) -> tuple[int, Any]:
        """Have a task done; return the exit code and the callback, None without one."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(task).encode() + b"\n")
        await self.process.stdin.drain()
        code, text = json.loads(await self.process.stdout.readline())
        return code, json.loads(text) if text else None


@asynccontextmanager
async def start_forks(module: str) -> AsyncIterator[Forks]:
    """Start a process that forks; its module calls `serve_forks` with --forks."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, "--forks"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    yield Forks(process)
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()
