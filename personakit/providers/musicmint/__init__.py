"""The MusicMint dialect: no I/O, one envelope for every answer.

``build`` says what may be sent, ``parse`` and ``tasks`` what an answer means. The
sources that they name are ``[spec]`` (the persona page, which wins) and ``[docs]`` (the
other pages of the service); *inferred* marks what follows from examples or omissions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

import attrs

from personakit.errors import NotFound, PersonaKitError, invalid
from personakit.http.messages import Call, Request, Response, encode
from personakit.models import Credits, Listed, Persona, Result, Snapshot, Stems, Track
from personakit.providers.base import JointRead, not_a_job, unsupported
from personakit.providers.callbacks import MUSICMINT_CALLBACKS, CallbackFormat
from personakit.providers.musicmint.build import build_request
from personakit.providers.musicmint.parse import (
    PROVIDER,
    finish_at_once,
    parse_at_once,
    parse_submit,
)
from personakit.providers.musicmint.tasks import parse_jobs, parse_task, parse_track
from personakit.ratelimit.limits import UNPUBLISHED, Limits
from personakit.receipt import JOB_ID_LIMIT, Ability, Receipt
from personakit.requests import (
    CoverRequest,
    ExtendRequest,
    JobRequest,
    MusicRequest,
)

Verb: TypeAlias = Literal["GET", "POST"]

_OTHER: dict[Verb, Verb] = {"GET": "POST", "POST": "GET"}
_PAGE = 100  # [docs] tasks on one page, at most
_NO_SUCH_WAY = {404, 405}
_TASKS = {Ability.MUSIC, Ability.EXTEND, Ability.COVER}


@attrs.define(eq=False)
class _Verb:
    """How tasks want to be read: the pages disagree, so the first success decides.

    Attributes:
        word: To use for the next reading; GET is the specification's.
        is_settled: True once a reading went well.
    """

    word: Verb = "GET"
    is_settled: bool = False

    def turn(self) -> None:
        """Use the other verb from now on, unless this one is known to work."""
        if not self.is_settled:
            self.word = _OTHER[self.word]


def _build_joint_read(
    _: Sequence[str], __: Ability
) -> Call[Mapping[str, Snapshot[Result]]]:
    """Build the request for the newest tasks, among which those wanted may be.

    Source: ``POST /api/v1/tasks`` [docs], which tells of their states only.
    """

    def parse(response: Response) -> Mapping[str, Snapshot[Result]]:
        lines = parse_jobs(response)
        return {line.snapshot.job_id: line.snapshot for line in lines}

    return Call(_list_page(1), parse)


def _list_page(page: int) -> Request:
    body = encode({"page": page, "page_size": _PAGE})
    return Request("POST", "/api/v1/tasks", body=body)


_JOINT_READ = JointRead(_PAGE, _build_joint_read)


@attrs.frozen
class MusicMint:
    """The service at https://musicmint.ai, which publishes no address of its API.

    Attributes:
        base_url: None, since none is published: the caller has to know it.
        allow_undocumented: True to send combinations whose effect no document tells: a
            persona for an instrumental, or for the continuation of a track. They may
            be paid for without effect, and are refused otherwise.
    """

    name: str = PROVIDER
    base_url: str | None = None
    files_url: str | None = None
    key_variable: str = "MUSICMINT_API_KEY"
    abilities: frozenset[Ability] = frozenset(
        {
            Ability.PERSONA,
            Ability.MUSIC,
            Ability.EXTEND,
            Ability.COVER,
            Ability.STEMS,
            Ability.UPLOAD,
            Ability.VOICE,
            Ability.TRACK,
            Ability.JOBS,
        }
    )
    allow_undocumented: bool = False
    callbacks: CallbackFormat = MUSICMINT_CALLBACKS
    limits: Limits = UNPUBLISHED
    joint: JointRead | None = _JOINT_READ
    _verb: _Verb = attrs.field(factory=_Verb, init=False, repr=False, eq=False)

    def build_submit(
        self, request: JobRequest[Any], *, callback_url: str | None = None
    ) -> Call[Snapshot[Result]]:
        """Build the paid request for a job, or for what is answered at once.

        Args:
            request: Songs and covers become jobs; personas, stems and uploads are
                answered with the result itself.
            callback_url: Sent with songs and covers, the only ones that take it.

        Raises:
            InvalidRequest: a rule of MusicMint is broken; the error names it.

        Source: ``/api/v1/music/persona`` [spec]; ``generate``, ``cover``, ``stem`` and
        ``upload`` beside it [docs].
        """
        is_job = isinstance(request, MusicRequest | ExtendRequest | CoverRequest)
        sent = build_request(
            request,
            callback_url=callback_url if is_job else None,
            allow_undocumented=self.allow_undocumented,
        )
        if is_job:
            return Call(sent, parse_submit)
        return Call(sent, partial(parse_at_once, kind=request.ability))

    def build_read(self, job_id: str, kind: Ability) -> Call[Snapshot[Result]]:
        """Build the request that reads a task.

        Args:
            job_id: Of a song or a cover.
            kind: What the task was submitted for.

        Raises:
            InvalidRequest: `job_id` can be none of a task, or of what was answered at
                once and cannot be read again.

        Source: ``GET /api/v1/task/{task_id}`` [spec]; the quickstart reads by POST
        [docs], which is tried where GET is answered by 404 or 405, and remembered.
        """
        if kind not in _TASKS:
            raise not_a_job(PROVIDER, kind)
        _check_id("job_id", job_id)
        verb, path = self._verb.word, f"/api/v1/task/{quote(job_id, safe='')}"
        request = Request(verb, path, body=None if verb == "GET" else encode({}))
        return Call(request, partial(self._read, job_id=job_id))

    def _read(self, response: Response, *, job_id: str) -> Snapshot[Result]:
        """Read a task, and learn from the answer how to ask."""
        try:
            snapshot = parse_task(response, job_id=job_id)
        except PersonaKitError as error:
            if response.status in _NO_SUCH_WAY or isinstance(error, NotFound):
                self._verb.turn()
            raise
        self._verb.is_settled = True
        return snapshot

    def recall(self, receipt: Receipt, /) -> Snapshot[Result] | None:
        """Tell the end of what was answered at once, as far as its id tells.

        A persona and an upload are their ids. Of stems the id alone is left: their
        link is told only once.
        """
        if receipt.job_id is None:
            return None
        track = Track(PROVIDER, receipt.job_id, receipt.job_id)
        match receipt.kind:
            case Ability.PERSONA:
                return finish_at_once(Persona(receipt.job_id, PROVIDER))
            case Ability.UPLOAD:
                return finish_at_once(track)
            case Ability.STEMS:
                return finish_at_once(Stems(track))
            case _:
                return None

    def build_credits(self) -> Call[Credits]:
        """Refuse: no page tells of a balance."""
        raise unsupported(self.name, Ability.CREDITS)

    def build_jobs(self, page: int, /) -> Call[tuple[Listed, ...]]:
        """Build the request for one page of this key's tasks, newest first.

        Source: ``POST /api/v1/tasks`` [docs]. Its states are words, while its filter,
        which is not used here, takes numbers.
        """
        return Call(_list_page(page), parse_jobs)

    def build_track(self, track_id: str, /) -> Call[Track]:
        """Build the request that tells of a clip again.

        Source: ``POST /api/v1/music/{id}`` [docs]; code 4005 after its expiry.
        """
        _check_id("track_id", track_id)
        path = f"/api/v1/music/{quote(track_id, safe='')}"
        return Call(Request("POST", path, body=encode({})), parse_track)


def _check_id(field: str, value: str) -> None:
    if not value.isprintable() or not 0 < len(value.strip()) <= JOB_ID_LIMIT:
        raise invalid(
            field,
            f"must be an id of at most {JOB_ID_LIMIT} printable characters",
            f"Pass the {field} of a MusicMint job",
        )
