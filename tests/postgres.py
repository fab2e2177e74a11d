"""A PostgreSQL server of the tests' own: in a temporary folder, on a free port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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

    def make_place(self) -> str:
        """Make an empty schema, and return a URL that leads there."""
        name = f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{self.url}?options=-csearch_path%3D{name}"


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
