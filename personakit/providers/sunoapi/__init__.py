"""The sunoapi dialect: no I/O, one API behind several hosts.

``presets`` says how the hosts differ, ``build`` and ``songs`` what may be sent,
``parse`` and ``records`` what an answer means, and ``jobs`` is kie.ai's newer form of
the same. The sources that they name are ``[spec]`` (the two persona pages, which win)
and ``[docs]`` (the other pages of docs.sunoapi.org, docs.api.box and docs.kie.ai);
*inferred* marks what only clients, captured answers or conclusions show.
"""

from __future__ import annotations

import uuid
from functools import partial
from pathlib import PurePath
from typing import Any

import attrs

from personakit.http.messages import Call, Request, encode, file_request, paid_request
from personakit.models import (
    Credits,
    JobState,
    Listed,
    Result,
    Snapshot,
    Track,
)
from personakit.providers.base import JointRead, not_a_job, unsupported
from personakit.providers.callbacks import CallbackFormat
from personakit.providers.sunoapi.build import build_body
from personakit.providers.sunoapi.ids import quote_id
from personakit.providers.sunoapi.parse import (
    finish_persona,
    parse_credits,
    parse_persona,
    parse_submit,
    parse_upload,
)
from personakit.providers.sunoapi.presets import (
    ERRORS_B,
    KIE,
    SUNOAPI,
    SUNOAPI_ORG,
    Preset,
)
from personakit.providers.sunoapi.records import parse_record
from personakit.ratelimit.limits import Limits
from personakit.receipt import JOB_KINDS, Ability, Receipt
from personakit.requests import (
    AudioFile,
    JobRequest,
    MashupRequest,
    PersonaRequest,
    UploadRequest,
)

_TASKS = JOB_KINDS - {Ability.PERSONA, Ability.UPLOAD}
_FOLDER = "personakit"


@attrs.frozen
class SunoApi:
    """One host of the family.

    Attributes:
        preset: Which; pass an evolved one for a white-label host.
    """

    preset: Preset = SUNOAPI
    joint: JointRead | None = None

    @property
    def name(self) -> str:
        """The name of the service."""
        return self.preset.name

    @property
    def base_url(self) -> str | None:
        """Where it lives."""
        return self.preset.base_url

    @property
    def files_url(self) -> str | None:
        """Where it takes files, None where no such address is known."""
        return self.preset.files_url

    @property
    def key_variable(self) -> str:
        """The environment variable that holds the key."""
        return self.preset.key_variable

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it offers."""
        return self.preset.abilities

    @property
    def limits(self) -> Limits:
        """What an account may ask in how much time."""
        return self.preset.limits

    @property
    def callbacks(self) -> CallbackFormat:
        """How it reports to callback addresses."""
        return self.preset.callbacks

    def build_submit(
        self, request: JobRequest[Any], *, callback_url: str | None = None
    ) -> Call[Snapshot[Result]]:
        """Build the paid request for a job, or for what is answered at once.

        Args:
            request: Personas and uploads are answered with the result itself,
                everything else becomes a job.
            callback_url: Where the service shall report; without one an address that
                leads nowhere is sent, because one is required.

        Raises:
            InvalidRequest: a rule is broken; the error names it.

        Source: ``/api/v1/generate/generate-persona`` [spec], the others [docs].
        """
        preset = self.preset
        if isinstance(request, UploadRequest) and preset.files_url is not None:
            sent = build_upload(request)
            return Call(sent, partial(parse_upload, preset=preset))
        path, body = build_body(preset, request, callback_url)
        sent = paid_request(path, body)
        if isinstance(request, PersonaRequest):
            return Call(sent, partial(parse_persona, name=preset.name))
        table = ERRORS_B if isinstance(request, MashupRequest) else preset.errors
        return Call(sent, partial(parse_submit, name=preset.name, table=table))

    def build_read(self, job_id: str, kind: Ability) -> Call[Snapshot[Result]]:
        """Build the request that reads a task.

        Args:
            job_id: Of any job but a persona or an upload, which are answered at once.
            kind: What the task was submitted for; stems have a path of their own.

        Raises:
            InvalidRequest: `job_id` can be none of a task.

        Source: ``record-info`` [docs].
        """
        if kind not in _TASKS:
            raise not_a_job(self.name, kind)
        folder = "vocal-removal" if kind is Ability.STEMS else "generate"
        task = f"taskId={quote_id(job_id)}"
        request = Request("GET", f"/api/v1/{folder}/record-info?{task}")
        parse = partial(parse_record, preset=self.preset, job_id=job_id, kind=kind)
        return Call(request, parse)

    def recall(self, receipt: Receipt, /) -> Snapshot[Result] | None:
        """Tell the end of what was answered at once: a persona or an upload.

        Of an upload its address is told only once, so that the id alone is left.
        """
        if receipt.job_id is None:
            return None
        if receipt.kind is Ability.PERSONA:
            return finish_persona(receipt.job_id, self.name)
        if receipt.kind is not Ability.UPLOAD:
            return None
        track = Track(self.name, receipt.job_id, receipt.job_id)
        return Snapshot(receipt.job_id, JobState.COMPLETED, "success", result=track)

    def build_credits(self) -> Call[Credits]:
        """Build the request that reads the balance.

        Source: ``/api/v1/generate/credit``, on kie ``/api/v1/chat/credit`` [docs].
        """
        request = Request("GET", self.preset.credits_path)
        return Call(request, partial(parse_credits, preset=self.preset))

    def build_jobs(self, _: int, /) -> Call[tuple[Listed, ...]]:
        """Refuse: the family lists no tasks."""
        raise unsupported(self.name, Ability.JOBS)

    def build_track(self, _: str, /) -> Call[Track]:
        """Refuse: the family tells of tracks by their task only."""
        raise unsupported(self.name, Ability.TRACK)


def build_upload(request: UploadRequest) -> Request:
    """Build the request that gives audio to the service; free, but never repeated.

    A file of the same name would be overwritten, so every upload has its own.

    Source: [docs], kie.ai file upload.
    """
    audio = request.audio
    if isinstance(audio, AudioFile):
        name = f"{uuid.uuid4().hex}{PurePath(audio.name).suffix}"
        fields = {"uploadPath": _FOLDER, "fileName": name}
        return file_request("/api/file-stream-upload", fields, audio)
    body = {"fileUrl": audio, "uploadPath": _FOLDER, "fileName": uuid.uuid4().hex}
    return Request(
        "POST",
        "/api/file-url-upload",
        body=encode(body),
        repeatable=False,
        to_files=True,
    )


def make_sunoapi_org() -> SunoApi:
    """Make the dialect of https://sunoapi.org."""
    return SunoApi(SUNOAPI_ORG)


def make_kie() -> SunoApi:
    """Make the dialect of https://kie.ai for its Suno paths."""
    return SunoApi(KIE)
