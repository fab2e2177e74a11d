"""A journal in an SQLite file: survives the process, shared by several of them.

One thread of its own does all the work, since SQLite blocks. What has gathered while it
was busy goes into one transaction, so that a thousand submits at once do not wait for a
thousand disk flushes; nobody is told before the flush. With the write-ahead log and
``synchronous=FULL`` what was told is on the disk. The thread also shows every few
seconds that this process is alive, and prunes.
"""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from personakit.errors import invalid
from personakit.journal.base import RETENTION, Duration
from personakit.journal.record import Account, SubmitRecord
from personakit.journal.rows import PERSONA_COLUMNS, to_persona, to_persona_row
from personakit.journal.sqlite_file import File
from personakit.journal.sqlite_thread import JournalThread, Task
from personakit.journal.steps import Step, Verdict
from personakit.models import Persona

T = TypeVar("T")

LEASE = 15.0
"""Seconds after which a process that does not show itself counts as dead. One that has
ended on this machine counts as dead at once, where the system tells."""
DURATIONS = 5000
"""Durations that are kept when they are next asked for."""

_PERSONA_COLUMNS = ", ".join(PERSONA_COLUMNS)
_REMEMBER = f"""
    INSERT INTO personas ({_PERSONA_COLUMNS})
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (provider, address, account, id) DO UPDATE SET
        name = excluded.name, description = excluded.description,
        style = excluded.style, source_job = excluded.source_job,
        source_track = excluded.source_track
"""  # noqa: S608
_OF_ACCOUNT = "provider = ? AND address = ? AND account = ?"
_PERSONAS = f"""
    SELECT {_PERSONA_COLUMNS} FROM personas WHERE {_OF_ACCOUNT} ORDER BY number
"""  # noqa: S608
_FORGET = f"DELETE FROM personas WHERE {_OF_ACCOUNT} AND id = ?"  # noqa: S608
_NOTE = "INSERT INTO durations (kind, length) VALUES (?, ?)"
_DURATIONS = "SELECT kind, length FROM durations ORDER BY number"
_PRUNE_DURATIONS = """
    DELETE FROM durations
    WHERE number <= (SELECT max(number) FROM durations) - ?
"""


class SqliteJournal:
    """Keeps everything in one file, made if it is missing.

    Several processes of one machine may use a file at once. Each job belongs to one of
    them until that has delivered it or is dead. Do not put the file on a network file
    system: those lie about flushing and locking.

    Args:
        path: Of the file, in a folder that exists. Beside it SQLite keeps ``-wal`` and
            ``-shm`` files, which belong to it: never delete or move one without the
            others.
        lease: Seconds after which a process that does not show itself counts as dead.
        retention: Seconds for which a request and its result are kept after delivery.
            The caller key and the job id are kept for good, so that nothing is paid
            twice.

    Raises:
        InvalidRequest: the folder does not exist.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        lease: float = LEASE,
        retention: float = RETENTION,
    ) -> None:
        self._path = Path(path).absolute()  # the same file after a change of folder
        if not self._path.parent.is_dir():
            raise invalid(
                "journal",
                f"must be in a folder that exists, and {self._path.parent} does not",
                "Create that folder, or pass another path",
            )
        self._lease, self._retention = lease, retention
        self._begin()

    def _begin(self) -> None:
        """Begin in this process, which may be a fork of the one that made the journal.

        A fork has none of the threads of its parent, and must not use its connections.
        """
        self._process, self._worker = os.getpid(), uuid.uuid4().hex
        self._starting = threading.Lock()
        self._thread: JournalThread | None = None

    def _notice_fork(self) -> None:
        if self._process != os.getpid():
            self._begin()  # pragma: no cover - not measured in a fork

    def __repr__(self) -> str:
        return f"<SqliteJournal {self._path}>"

    @property
    def worker(self) -> str:
        """Name of this process."""
        self._notice_fork()
        return self._worker

    @property
    def lease_end(self) -> float:
        """Until when others take this process for alive."""
        return 0.0 if self._thread is None else self._thread.lease_end

    async def apply(self, account: Account, step: Step) -> Verdict:
        """Take a step, and return when it is on the disk."""
        return await self._do(lambda file: file.apply(account, step))

    async def find(self, account: Account, key: str) -> SubmitRecord | None:
        """Return the record of that key."""
        return await self._do(lambda file: file.find(account, key))

    async def find_by_caller_key(
        self, account: Account, caller_key: str
    ) -> SubmitRecord | None:
        """Return the record under that caller key."""
        return await self._do(lambda file: file.find_by_caller_key(account, caller_key))

    async def unsettled(self, account: Account | None) -> tuple[SubmitRecord, ...]:
        """Return what is not settled, oldest first."""
        return tuple(await self._do(lambda file: file.find_unsettled(account)))

    async def claim(
        self,
        account: Account,
        *,
        keys: Collection[str] | None = None,
        limit: int | None = None,
    ) -> tuple[SubmitRecord, ...]:
        """Take over what no living process works on."""
        return tuple(await self._do(lambda file: file.claim(account, keys, limit)))

    async def known_jobs(
        self, account: Account, job_ids: Collection[str]
    ) -> frozenset[str]:
        """Return those of the job ids that belong to a record."""
        return await self._do(lambda file: file.find_known(account, job_ids))

    async def accounts(self, provider: str, address: str) -> Mapping[str, int]:
        """Return the accounts of a service that have unsettled submits."""
        return await self._do(lambda file: file.count(provider, address))

    async def rename_account(self, account: Account, name: str) -> int:
        """Give everything of an account to the one of another name."""
        return await self._do(lambda file: file.rename(account, name))

    async def remember(self, account: Account, persona: Persona) -> None:
        """Keep a persona."""
        row = to_persona_row(account, persona)
        await self._do(lambda file: file.connection.execute(_REMEMBER, row))

    async def personas(self, account: Account) -> tuple[Persona, ...]:
        """Return the personas of an account, oldest first."""
        names = (account.provider, account.address, account.name)
        rows = await self._do(
            lambda f: f.connection.execute(_PERSONAS, names).fetchall()
        )
        return tuple(map(to_persona, rows))

    async def forget(self, account: Account, persona_id: str) -> bool:
        """Forget a persona."""
        row = (account.provider, account.address, account.name, persona_id)
        return await self._do(lambda f: f.connection.execute(_FORGET, row).rowcount > 0)

    async def note(self, durations: Sequence[Duration]) -> None:
        """Keep how long jobs took."""
        await self._do(lambda file: file.connection.executemany(_NOTE, durations))

    async def durations(self) -> tuple[Duration, ...]:
        """Return how long jobs took, oldest first."""

        def recall(file: File) -> list[Duration]:
            file.connection.execute(_PRUNE_DURATIONS, (DURATIONS,))
            return file.connection.execute(_DURATIONS).fetchall()

        return tuple(await self._do(recall))

    async def aclose(self) -> None:
        """Close the file and end the thread."""
        self._notice_fork()
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            closing: Task[None] = Task(None)
            thread.add(closing)
            await asyncio.wrap_future(closing.done)

    async def _do(self, work: Callable[[File], T]) -> T:
        """Have something done, together with what else has gathered."""
        task, worker = Task(work), self.worker
        with self._starting:  # several loops may come at once
            if self._thread is None:
                self._thread = JournalThread(
                    self._path, worker, self._lease, self._retention
                )
                self._thread.start()
            self._thread.add(task)
        return await asyncio.wrap_future(task.done)
