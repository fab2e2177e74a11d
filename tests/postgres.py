"""A PostgreSQL server of the tests' own: in a temporary folder, on a free port."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import attrs
import psycopg

USER = "postgres"
"""Who runs it where the tests are run by root, which it refuses; Debian makes them."""
MISSING = (
    "PostgreSQL is not installed: apt-get install postgresql. "
    "What needs it is not tested."
)


def find_programs() -> Path | None:
    """Return the folder with the server's programs, None where there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("pg_ctl")
    if found is not None:
        folders.append(Path(found).resolve().parent)
    return next((one for one in reversed(folders) if (one / "initdb").exists()), None)


def find_port() -> int:
    """Return a port that is free just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@attrs.define
class Server:
    """A server that can be stopped and started."""

    programs: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        """Where its first database is."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *words: str) -> None:
        """Run one of its programs as its user."""
        subprocess.run(
            [self.programs / program, "-D", self.folder / "data", *words],
            user=USER if os.getuid() == 0 else None,
            cwd=self.folder,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self.folder}"
        # What survives a crash of the machine is not what is tested.
        fast = "-c fsync=off -c max_connections=200"
        log = str(self.folder / "log")
        self.run("pg_ctl", "start", "-w", "-l", log, "-o", f"{settings} {fast}")

    def stop(self) -> None:
        """Stop it at once, as a crash would."""
        self.run("pg_ctl", "stop", "-m", "immediate")

    def restart(self, *, away: float = 0.0) -> None:
        """Let it be away for so many seconds."""
        self.stop()
        time.sleep(away)
        self.start()

    def make_place(self, *settings: str) -> str:
        """Make an empty schema, and return a URL that leads there.

        Args:
            settings: For its sessions, such as ``"synchronous_commit=off"``.
        """
        name = f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        words = (f"search_path={name}", *settings)
        options = " ".join("-c" + word.replace(" ", "\\ ") for word in words)
        return f"{self.url}?options={quote(options)}&sslmode=disable&gssencmode=disable"

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all of its processes, as a machine that hangs would."""
        first = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        processes = [first, *_find_children(first)]
        for one in processes:
            os.kill(one, signal.SIGSTOP)
        try:
            yield
        finally:
            for one in processes:
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGCONT)


def _find_children(parent: int) -> list[int]:
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                found.append(int(stat.parent.name))
    return found


class Proxy:
    """Stands between a client and a server, and may treat them badly.

    Attributes:
        url: Leads through it.
        flow: Is cleared to stop forwarding; connections stay open.
        on_request: Is given what a client sends; returns what is forwarded, or None to
            cut the connection instead.
        on_answer: The same for what the server sends, whole messages only.
        is_last: Is given the same; returns whether to forward it, but not its answer:
            the connection is cut instead.
    """

    def __init__(self) -> None:
        self.url = ""
        self.flow = asyncio.Event()
        self.flow.set()
        self.on_request: Callable[[bytes], bytes | None] = lambda data: data
        self.on_answer: Callable[[bytes], bytes | None] = lambda data: data
        self.is_last: Callable[[bytes], bool] = lambda _: False
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        """Serve one client."""
        theirs, ours = await asyncio.open_connection(self._host, self._port)
        answers = asyncio.Event()
        answers.set()
        both = [
            asyncio.create_task(self._forward_requests(reader, ours, answers)),
            asyncio.create_task(self._forward_answers(theirs, writer, answers)),
        ]
        self._tasks.update(both)
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            for one in (ours, writer):
                one.transport.abort()

    async def _forward_requests(self, source, target, answers: asyncio.Event) -> None:
        while data := await source.read(65536):
            await self.flow.wait()
            passed = self.on_request(data)
            if passed is None:
                return
            is_last = self.is_last(data)
            if is_last:
                answers.clear()
            target.write(passed)
            await target.drain()
            if is_last:
                await asyncio.sleep(0.2)  # in which the server does it
                return

    async def _forward_answers(self, source, target, answers: asyncio.Event) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                head = await source.readexactly(5)
                rest = await source.readexactly(int.from_bytes(head[1:], "big") - 4)
                await self.flow.wait()
                await answers.wait()
                passed = self.on_answer(head + rest)
                if passed is None:
                    return
                target.write(passed)
                await target.drain()

    @asynccontextmanager
    async def run(self, place: str) -> AsyncIterator[Proxy]:
        """Run in front of the server of a place."""
        parts = urlsplit(place)
        self._host, self._port = parts.hostname, parts.port
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = place.replace(f":{self._port}/", f":{port}/")
        try:
            yield self
        finally:
            server.close()
            for one in self._tasks:
                one.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)


def through(place: str):
    """Run a proxy in front of the server of a place."""
    return Proxy().run(place)


@contextmanager
def serve() -> Iterator[Server]:
    """Run a server, and leave nothing of it."""
    programs = find_programs()
    if programs is None:
        raise FileNotFoundError(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="personakit-pg-"))
    server = Server(programs, folder, find_port())
    try:
        if os.getuid() == 0:
            shutil.chown(folder, USER)
        server.run("initdb", "-U", USER, "--auth=trust", "--no-sync")
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
