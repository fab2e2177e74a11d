"""Plays the sunoapi family: one API behind several hosts, with their differences.

Source: the two persona pages (the specification); the pages of sunoapi.org, api.box and
kie.ai on generation, details, callbacks, credits and files (documented).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Literal, TypeAlias

import attrs

from personakit.emulator.callbacks import CallbackQueue, PlannedCallback
from personakit.emulator.media import Media, link
from personakit.emulator.services.fields import Fields, read_object
from personakit.emulator.services.sunoapi_records import (
    SunoShape,
    callback_code,
    record,
    stem_record,
    tracks,
)
from personakit.emulator.services.sunoapi_rules import (
    LIFE,
    ORDERS,
    Profile,
    Refusal,
    invalid,
    invalid_old,
    read_persona,
    read_stems,
)
from personakit.emulator.state import State
from personakit.emulator.tasks import Kind, Song, Task, TaskError
from personakit.emulator.traffic import Action, Answer, Query, Route, json_answer

PersonaAgain: TypeAlias = Literal["conflict", "overwrite"]
"""What a second persona of one track gets: code 409, or the first one's id again."""

PRICES: dict[Kind, float] = {"music": 12, "persona": 0, "stems": 10, "upload": 0}
"""Credits: of one public digest (inferred); stems as on kie (documented)."""

_SONGS = 2  # documented
_LETTERS = "0123456789abcdef"
_TIMEOUT = 15.0  # documented
_RETRIES = (1.0, 2.0)  # three tries in all (documented); the pauses are chosen
_NEWER_TABLE = {
    "generate-persona",
    "mashup",
}  # on every host (specification, documented)


class SunoApi:
    """One host of the family as one account sees it.

    Args:
        state: Its memory.
        profile: How it differs.
        api_key: The one key that is accepted.
        mirror: Whether refusals have their code as HTTP status, instead of 200.
        persona_again: What a second persona of one track gets.
        shape: How it tells of tracks.
        callback queue: Takes the callbacks.
        signing_secret: Signs them where the host does.

    Attributes:
        routes: Everything that it takes; the first match counts.
    """

    def __init__(
        self,
        state: State,
        profile: Profile,
        *,
        api_key: str,
        mirror: bool,
        persona_again: PersonaAgain,
        shape: SunoShape,
        queue: CallbackQueue,
        signing_secret: str,
    ) -> None:
        self.state = state
        self.profile = profile
        self._api_key = api_key
        self._mirror = mirror
        self._persona_again = persona_again
        self._shape: SunoShape = shape
        self._queue = queue
        self._secret = signing_secret
        api = "/api/v1/generate"
        paid: list[tuple[str, Callable[[Query], Answer]]] = [
            (f"{api}/generate-persona", self._persona),
            ("/api/v1/vocal-removal/generate", self._stems),
            (api, self._order),
            *((f"{api}/{name}", self._order) for name in ORDERS if name != "generate"),
            ("/files/api/file-url-upload", self._upload),
            ("/files/api/file-stream-upload", self._upload),
        ]
        read: list[tuple[Action, str, Callable[[Query], Answer]]] = [
            ("read", f"{api}/record-info", self._record),
            ("read", "/api/v1/vocal-removal/record-info", self._stem_record),
            ("credits", profile.credits_path, self._credits),
        ]
        self.routes: tuple[Route, ...] = (
            *(Route("submit", "POST", path, self.keyed(work)) for path, work in paid),
            *(Route(action, "GET", path, self.keyed(do)) for action, path, do in read),
            *Media(state, self.refuse, profile.gone).routes,
            Route("other", "*", "/{tail:.*}", self._unknown),
        )

    def new_job_id(self) -> str:
        """Return a fresh task id of 32 hexadecimal digits, as in captured answers."""
        return self.state.new_word(32, _LETTERS)

    def new_track_id(self) -> str:
        """Return a fresh id for a track, a UUID."""
        return self.state.new_uuid()

    def refuse(
        self,
        status: int,
        *,
        code: str | None = None,
        message: str | None = None,
        action: Action = "other",  # noqa: ARG002 - the same for every action
    ) -> Answer:
        """Return an error in the family's shape.

        Args:
            status: HTTP status.
            code: Digits of the envelope's code, None for the same as the status.
            message: Text for people, None for a plain one.
            action: What is being refused.
        """
        number = int(code) if code else status
        told = {"code": number, "msg": message or f"refused with {number}"}
        return json_answer(status, {**told, "data": None})

    def answer(self, data: object) -> Answer:
        """Return a good answer."""
        return json_answer(HTTPStatus.OK, {"code": 200, "msg": "success", "data": data})

    def keyed(self, work: Callable[[Query], Answer]) -> Callable[[Query], Answer]:
        """Let only callers with the key have the work done, and answer refusals."""

        def guarded(query: Query) -> Answer:
            try:
                if query.headers.get("Authorization") != f"Bearer {self._api_key}":
                    raise Refusal("You do not have access permissions", code=401)
                return work(query)
            except Refusal as refusal:
                status = refusal.code if self._mirror else HTTPStatus.OK
                return self.refuse(
                    status, code=str(refusal.code), message=refusal.message
                )

        return guarded

    def _uses_old_codes(self, operation: str) -> bool:
        return self.profile.old_codes and operation not in _NEWER_TABLE

    def _fields(self, query: Query, operation: str) -> Fields:
        refuse = invalid_old if self._uses_old_codes(operation) else invalid
        return Fields(read_object(query.body, refuse), refuse)

    def charged(self, kind: Kind, operation: str) -> float:
        """Return the price of something, if the account can pay it."""
        price = PRICES[kind]
        if self.state.account.credits < price:
            code = 429 if self._uses_old_codes(operation) else 402
            raise Refusal("Insufficient credits", code=code)
        return price

    def _persona(self, query: Query) -> Answer:
        body = self._fields(query, "generate-persona")
        persona_id = self.make_persona(body, seconds=0).persona_id
        return self.answer(
            {
                "personaId": persona_id,
                "name": body.text("name"),
                "description": body.text("description"),
            }
        )

    def make_persona(
        self, body: Fields, *, seconds: float | None, error: TaskError | None = None
    ) -> Task:
        """Order a persona, unless its track gave its voice before."""
        song = read_persona(body, self.state, self.profile)
        known = self.state.find_persona(song.track_id)
        if known and self._persona_again == "conflict":
            raise Refusal("Persona already exists for this music", code=409)
        return self.state.order_persona(
            song.track_id,
            job_id=self.new_job_id(),
            model="persona",
            price=self.charged("persona", "generate-persona"),
            seconds=seconds,
            persona_id=known,
            error=error,
        )

    def _order(self, query: Query) -> Answer:
        name = query.path.rpartition("/")[2]
        return self.answer({"taskId": self.order(name, query).id})

    def order(self, operation: str, query: Query, body: Fields | None = None) -> Task:
        """Order songs, and plan the callbacks.

        Args:
            operation: One of `ORDERS`.
            query: The request.
            body: What it says, None to read it here.
        """
        body = self._fields(query, operation) if body is None else body
        song = ORDERS[operation](body, self.state)
        job_id = self.new_job_id()
        songs = tuple(
            attrs.evolve(song, job_id=job_id, track_id=self.new_track_id())
            for _ in range(_SONGS)
        )
        task = self.state.order(
            "music",
            job_id=job_id,
            model=song.model,
            price=self.charged("music", operation),
            songs=songs,
            error=query.task_error,
            memo={"operation": operation.replace("-", "_"), "param": dict(body.values)},
        )
        self._plan_callbacks(task, body.text("callBackUrl"), query.base)
        return task

    def _plan_callbacks(self, task: Task, url: str, base: str) -> None:
        """Stages text, first, complete; or error at the end (documented)."""
        shares = {"text": 0.45, "first": 0.8, "complete": 1.0}
        if task.error:
            shares = {"error": 1.0}
        for stage, share in shares.items():
            due = task.created + share * task.seconds
            make = self._callback(task, stage, base)
            self._queue.add(PlannedCallback(due, url, make, _TIMEOUT, _RETRIES))

    def _callback(
        self, task: Task, stage: str, base: str
    ) -> Callable[[], tuple[bytes, Mapping[str, str]]]:
        def make() -> tuple[bytes, Mapping[str, str]]:
            now = self.state.clock.now()
            songs: list[Any] = []
            if stage in {"first", "complete"}:
                songs = tracks(task, self.state, base, "data")
            code = callback_code(task) if stage == "error" else 200
            told = {"callbackType": stage, "task_id": task.id, "data": songs}
            body = {"code": code, "msg": f"{stage} generated", "data": told}
            return json.dumps(body).encode(), self._sign(task.id, now)

        return make

    def _sign(self, task_id: str, now: float) -> Mapping[str, str]:
        if not self.profile.signs:
            return {}
        timestamp = str(self.state.clock.unix(now))
        return {
            "X-Webhook-Timestamp": timestamp,
            "X-Webhook-Signature": sign(self._secret, task_id, timestamp),
        }

    def _record(self, query: Query) -> Answer:
        task = self.find_task(query, "music")
        return self.answer(record(task, self.state, query.base, self._shape))

    def _stem_record(self, query: Query) -> Answer:
        task = self.find_task(query, "stems")
        return self.answer(stem_record(task, self.state, query.base))

    def find_task(self, query: Query, *kinds: Kind) -> Task:
        """Return the task that a reading asks for."""
        task = self.state.tasks.get(query.parameters.get("taskId", ""))
        if task is None or task.kind not in kinds:
            raise Refusal("The record does not exist")  # seen
        return task

    def _stems(self, query: Query) -> Answer:
        body = self._fields(query, "vocal-removal")
        source = read_stems(body, self.state)
        job_id = self.new_job_id()
        voice = source or Song(job_id, "", "Audio", "", "upload")
        voice = attrs.evolve(
            voice, job_id=job_id, track_id=self.new_track_id(), life=LIFE
        )
        rest = attrs.evolve(voice, track_id=self.new_track_id(), instrumental=True)
        task = self.state.order(
            "stems",
            job_id=job_id,
            model="stems",
            price=self.charged("stems", "vocal-removal"),
            songs=(voice, rest),
            error=query.task_error,
            memo={"music_id": source.track_id if source else None},
        )
        return self.answer({"taskId": task.id})

    def _upload(self, query: Query) -> Answer:
        """A file, or the address of one; neither is looked into."""
        name = f"personakit/{self.state.new_word(12, _LETTERS)}.mp3"
        track_id = self.new_track_id()
        song = Song(name, track_id, "Upload", "", "upload")
        self.state.order(
            "upload", job_id=name, model="upload", price=0, songs=(song,), seconds=0
        )
        base = query.base.removesuffix("/files")
        told = {
            "fileName": name.rpartition("/")[2],
            "filePath": name,
            "downloadUrl": link(base, song),
            "fileSize": len(query.body),
            "mimeType": "audio/mpeg",
            "uploadedAt": self.state.clock.iso(self.state.clock.now()),
        }
        return json_answer(
            HTTPStatus.OK, {"success": True, "code": 200, "msg": "ok", "data": told}
        )

    def _credits(self, _: Query) -> Answer:
        return self.answer(self.state.account.credits)

    def _unknown(self, _: Query) -> Answer:
        return self.refuse(HTTPStatus.NOT_FOUND, message="no such path")


def sign(secret: str, task_id: str, timestamp: str) -> str:
    """Return the signature of a callback: base64 of an HMAC-SHA256.

    Source: kie.ai, webhook verification (documented). The body is not covered.
    """
    text = f"{task_id}.{timestamp}".encode()
    digest = hmac.new(secret.encode(), text, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()
