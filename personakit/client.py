"""`PersonaKit`, the client: what a program holds for as long as it lives."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import aiohttp
import attrs

from personakit.callbacks import Callbacks, make_callbacks
from personakit.environment import find_base_url, find_key, make_account
from personakit.errors import invalid
from personakit.http.transport import Transport, check_base_url
from personakit.jobs.batch import Batches
from personakit.jobs.engine import (
    Engine,
    check_ability,
    deadline_in,
    hold_deadline,
)
from personakit.jobs.job import Job
from personakit.jobs.personas import Personas
from personakit.jobs.service import Service
from personakit.jobs.step_writer import StepWriter
from personakit.jobs.submit import Submitted
from personakit.journal import Journal, SubmitRecord, open_journal
from personakit.journal.record import show_key
from personakit.models import Listed, Result, Snapshot
from personakit.operations import Operations
from personakit.per_loop import PerLoop
from personakit.polling.durations import DurationStats
from personakit.polling.poller import Poller
from personakit.polling.schedule import Pace, PaceName, find_pace
from personakit.providers import find_provider
from personakit.providers.base import Provider
from personakit.ratelimit.limits import Limits
from personakit.ratelimit.shared import Shared, open_limiter
from personakit.receipt import Ability, Receipt
from personakit.requests import JobRequest, check_request
from personakit.serialization import parse_token
from personakit.validation import (
    NoneType,
    check_journal,
    check_timeout,
    expect,
    expect_one_of,
)

T = TypeVar("T")

DEFAULT_TIMEOUT = 900.0
"""Seconds for one call from its submit to its result. Songs take one to five minutes;
what is not done by then runs on, and its receipt finds it."""


class PersonaKit(Batches, Operations, Service):
    """One service, spoken to with one key.

    Make one and keep it: it may be used from any number of tasks, and from several
    event loops. Nothing is opened before the first call, and what a loop has opened is
    closed by `aclose`, by the end of ``async with``, or with the loop.

    Args:
        provider: Name of the service, one of `personakit.providers.PROVIDERS`; or a
            dialect of your own making.
        api_key: None to take it from the environment: ``EVOLINK_API_KEY``,
            ``SUNOAPI_API_KEY``, ``KIE_API_KEY`` or ``MUSICMINT_API_KEY``.
        base_url: None for that of the environment, ``EVOLINK_BASE_URL`` and so on, or
            else the service's own; MusicMint publishes none. Must be https, except on
            this machine.
        files_url: Address that takes uploads, where that is another one; None for the
            service's own. Beside another address than the service's, uploads need it.
        callback_url: Where the service shall report on the way, None for nowhere. To
            have this client heed the callbacks, call `callbacks` instead.
        session: An `aiohttp.ClientSession` of the caller, borrowed and never closed;
            for a proxy, say, or TLS settings; its loop is then the only one that can
            be used. None to make our own, which heed no proxy variables. Paid
            requests on a borrowed session may meet an idle connection that breaks
            after they were sent, which makes their outcome unknown more often.
        journal: The path of an SQLite file in which every submit is written down before
            it is sent, so that nothing is lost or paid twice should the program die;
            or the ``postgresql://`` URL of a database, by which processes and machines
            share jobs and the account's limits; or a `personakit.journal.Journal`. None
            keeps it in memory.
        account: Name of the account, by which jobs, keys, personas and limits in a
            journal belong together: accounts never see each other's. None names it by
            a fingerprint of address and key; name it if the key may change.
        timeout: Seconds that a call may take from submit to result, ``math.inf`` for
            no limit.
        pace: How often to look at a job: ``"eager"``, ``"balanced"`` (the usual),
            ``"thrifty"``, or a `Pace`. What jobs of a kind have
            taken so far is learned from.
        limits: What the account may ask in how much time, None for what the service
            publishes; what it does not is found out by what it refuses.

    Raises:
        InvalidRequest: an argument breaks a rule.
        AuthenticationError: there is no key.
    """

    def __init__(
        self,
        provider: str | Provider,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        files_url: str | None = None,
        callback_url: str | None = None,
        session: aiohttp.ClientSession | None = None,
        journal: str | os.PathLike[str] | Journal | None = None,
        account: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        pace: Pace | PaceName | None = None,
        limits: Limits | None = None,
    ) -> None:
        expect("provider", provider, "the name of a service", str, Provider)
        expect("api_key", api_key, "text", str, NoneType)
        expect("callback_url", callback_url, "an address", str, NoneType)
        expect("session", session, "a ClientSession", aiohttp.ClientSession, NoneType)
        expect("limits", limits, "Limits", Limits, NoneType)
        check_journal(journal)
        self._provider = find_provider(provider)
        self._base_url, is_own = find_base_url(self._provider, base_url)
        files = self._provider.files_url if is_own and not files_url else files_url
        self._files_url = None if files is None else check_base_url(files, "files_url")
        self._callback_url = callback_url
        self._key = find_key(api_key, self._provider.key_variable)
        self._account = make_account(self._provider, self._base_url, self._key, account)
        self._session = session
        self._timeout = check_timeout(timeout)
        self._pace, self._duration_stats = find_pace(pace), DurationStats()
        self._limits = limits or self._provider.limits
        self._callbacks: Callbacks | None = None
        self._journal = open_journal(journal)
        self._shared = self._journal if isinstance(self._journal, Shared) else None
        if self._shared is not None:
            self._shared.listen(self._wake)
        self._engines = PerLoop(self._open_engine, self._close_engine)

    def _open_engine(self) -> Engine:
        limits = self._limits
        account = self._account
        name = f"{account.provider} {account.address} {account.name}"
        limiter = partial(open_limiter, account=name, shared=self._shared)
        reads = limiter("reads", limits.total or limits.reads)
        return Engine(
            provider=self._provider,
            account=account,
            transport=Transport(
                self._base_url, self._key, self._session, self._files_url
            ),
            poller=Poller(self._pace, self._duration_stats, reads),
            journal=self._journal,
            writer=StepWriter(self._journal, account),
            starts=reads if limits.total else limiter("starts", limits.starts),
            reads=reads,
            address=self._find_address,
            duration_stats=self._duration_stats,
        )

    async def _close_engine(self, engine: Engine) -> None:
        await engine.aclose()
        if not self._engines:
            await self._journal.aclose()

    def _find_address(self, receipt: Receipt, attempt: int) -> str | None:
        if self._callbacks is None:
            return self._callback_url
        return self._callbacks.address(receipt, attempt)

    def callbacks(
        self,
        *,
        public_url: str,
        secret: str | Sequence[str],
        service_secret: str | None = None,
    ) -> Callbacks:
        """Have the service report on every further job, and return the receiving end.

        Callbacks make waiting cheaper and results quicker, and find jobs whose submit
        lost its answer. They are never needed: without them jobs are read as before.

        Args:
            public_url: Where the service finds the route of the receiving end, https.
            secret: Of at least 16 characters; signs the addresses. Several to change
                it: the first signs, all are accepted. Processes that share the route
                share the secret.
            service_secret: What the service signs its callbacks with: MusicMint's
                ``signing_secret``, kie's ``webhookHmacKey``. None not to check that.

        Raises:
            InvalidRequest: an address or a secret cannot be used.
        """
        self._callbacks = make_callbacks(
            self._provider,
            public_url=public_url,
            secret=secret,
            service_secret=service_secret,
            here=self._here,
            wake=self._announce,
        )
        return self._callbacks

    async def _announce(self, job_id: str) -> None:
        """Look at a job soon, in every process that awaits it."""
        self._wake(job_id)
        if self._shared is not None:
            await self._shared.announce(job_id)

    def _wake(self, job_id: str) -> None:
        for loop, engine in self._engines.items():
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(engine.poller.wake, job_id)

    def __repr__(self) -> str:
        return f"<PersonaKit {self._provider.name} at {self._base_url}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _here(self) -> Engine:
        return await self._engines.here()

    async def aclose(self) -> None:
        """Close what the running loop has opened; a later call opens it anew.

        Paid requests under way are given a moment to learn their job id. Jobs run on.
        """
        await self._engines.aclose()

    @property
    def provider(self) -> str:
        """Name of the service."""
        return self._provider.name

    @property
    def personas(self) -> Personas:
        """The personas that the journal knows of this service."""
        return Personas(self._here)

    def can(self, ability: Ability) -> bool:
        """Return whether the service offers something."""
        expect_one_of("ability", ability, Ability)
        return ability in self._provider.abilities

    def require(self, ability: Ability) -> None:
        """Raise Unsupported for what the service does not offer."""
        check_ability(self._provider, ability)

    def check(self, request: JobRequest[Any]) -> None:
        """Refuse a request that the service would refuse, without sending anything.

        Raises:
            InvalidRequest: a rule is broken.
            Unsupported: the service does not offer it.
        """
        check_request(request)
        self.require(request.ability)
        self._provider.build_submit(request)

    def deadline(self, timeout: float) -> AbstractContextManager[None]:
        """Set one deadline for several calls: ``with kit.deadline(600): ...``.

        No call inside lasts beyond it, whatever its own timeout is. What comes too late
        raises the same errors as ever, so that no paid request is torn and no job
        forgotten, as a cancellation from outside would have it.

        Args:
            timeout: Seconds from now.
        """
        return hold_deadline(check_timeout(timeout))

    def deadline_in(self, timeout: float | None) -> float:
        """Turn seconds from now, None for the client's own, into loop time."""
        return deadline_in(self._timeout if timeout is None else timeout)

    @overload
    def attach(self, found_by: str | Receipt) -> Job[Result]: ...
    @overload
    def attach(self, found_by: str | Receipt, of: type[JobRequest[T]]) -> Job[T]: ...
    def attach(
        self, found_by: str | Receipt, of: type[JobRequest[Any]] | None = None
    ) -> Job[Any]:
        """Take up a job again, from any process and at any later time.

        Args:
            found_by: A job's token or receipt, or the receipt of an error.
            of: What the job was submitted for, for example `MusicRequest`, so that the
                result has its type; None where any may come.

        Returns:
            The job; its first snapshot comes with the first reading.

        Raises:
            InvalidRequest: the token is damaged, belongs to another service or another
                kind of request, or names no job, because its outcome is unknown.
        """
        expect("found_by", found_by, "job.token or a Receipt", str, Receipt)
        receipt = parse_token(found_by) if isinstance(found_by, str) else found_by
        if of is not None and receipt.kind is not getattr(of, "ability", None):
            raise invalid(
                "of", f"must fit a job for {receipt.kind}", "Pass its request"
            )
        return self._attach(receipt)

    def _attach(self, receipt: Receipt) -> Job[Result]:
        if receipt.provider != self._provider.name:
            raise invalid(
                "receipt",
                f"must be one of {self._provider.name}, not {receipt.provider}",
                "Attach to it with a client of its own service",
            )
        if receipt.job_id is None:
            raise invalid(
                "receipt",
                "must name a job, and this one's outcome is unknown",
                "Call kit.reconcile(receipt) before paying again",
            )
        return self._job(receipt, self._provider.recall(receipt))

    def _resume_record(self, record: SubmitRecord) -> Job[Any]:
        known = record.snapshot or self._provider.recall(record.receipt)
        return self._job(record.receipt, known, record.request, record.shown_key)

    def _job_of(
        self, submitted: Submitted, request: JobRequest[T], caller_key: str | None
    ) -> Job[T]:
        return self._job(
            submitted.receipt,
            submitted.snapshot,
            request,
            show_key(caller_key),
            submitted.sent_at,
        )

    def _take_listed(self, kind: Ability, line: Listed) -> Job[Result]:
        receipt = Receipt(self.provider, kind, job_id=line.snapshot.job_id)
        receipt = attrs.evolve(receipt, at=line.created_at or receipt.at)
        return self._job(receipt, line.snapshot)

    def _job(
        self,
        receipt: Receipt,
        snapshot: Snapshot[Any] | None,
        request: JobRequest[Any] | None = None,
        key: str | None = None,
        sent_at: float | None = None,
    ) -> Job[Any]:
        return Job(
            receipt,
            key=key,
            sent_at=sent_at,
            here=self._here,
            timeout=self._timeout,
            request=request,
            snapshot=snapshot,
        )
