"""Plays MusicMint: its paths, its envelope, and what it refuses.

No page tells most of its codes, its prices, or what happens to a second persona of one
clip; what is chosen for these is said where it stands.

Source: the persona page (the specification), and the pages on generation, tasks, stems,
uploads, keys and webhooks (documented).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Literal, TypeAlias

import attrs

from personakit.emulator.callbacks import CallbackQueue, PlannedCallback
from personakit.emulator.media import Media, link, picture
from personakit.emulator.services.fields import Fields, read_object
from personakit.emulator.services.musicmint_rules import (
    CODES,
    Refusal,
    read_cover,
    read_music,
    read_page,
    read_persona,
    read_stem,
    read_upload,
)
from personakit.emulator.state import State
from personakit.emulator.tasks import Song, Task
from personakit.emulator.traffic import Action, Answer, Query, Route, json_answer

PersonaAgain: TypeAlias = Literal["conflict", "overwrite"]
"""What a second persona of one clip gets: a refusal, or the first one's id again."""

PRICES: dict[str, int] = {"music": 5, "persona": 1, "stems": 2, "upload": 0}
"""Credits (chosen: no page tells any)."""

_SONGS = 2  # chosen: "one task may yield several results"
_LETTERS = "0123456789abcdef"
_WORDS = {"pending": "queuing"}  # a task's other states have the emulator's own words
_FILTERS = ("queuing", "processing", "completed", "failed")
_CALLBACK_TIMEOUT = 10.0  # chosen


class MusicMint:
    """The service as one account sees it.

    Args:
        state: Its memory.
        api_key: The one key that is accepted; with ``-disabled`` or ``-deleted`` at its
            end it is refused as the documentation says.
        mirror: Whether refusals have an HTTP status of their own, instead of 200.
        persona_again: What a second persona of one clip gets.
        poll_verbs: How a task may be read: the pages disagree.
        callback queue: Takes the callbacks.
        signing_secret: Signs them.

    Attributes:
        routes: Everything that it takes; the first match counts.
    """

    def __init__(
        self,
        state: State,
        *,
        api_key: str,
        mirror: bool,
        persona_again: PersonaAgain,
        poll_verbs: frozenset[str],
        queue: CallbackQueue,
        signing_secret: str,
    ) -> None:
        self._state = state
        self._api_key = api_key
        self._mirror = mirror
        self._persona_again = persona_again
        self._poll_verbs = poll_verbs
        self._queue = queue
        self._secret = signing_secret.encode()
        paid: dict[str, Callable[[Query], Answer]] = {
            "persona": self._persona,
            "generate": self._generate,
            "cover": self._cover,
            "stem": self._stem,
            "upload": self._upload,
        }
        self.routes: tuple[Route, ...] = (
            *(
                Route("submit", "POST", f"/api/v1/music/{name}", self._keyed(work))
                for name, work in paid.items()
            ),
            Route("list", "POST", "/api/v1/tasks", self._keyed(self._list)),
            Route("other", "POST", "/api/v1/music/{id}", self._keyed(self._clip)),
            Route("read", "*", "/api/v1/task/{id}", self._keyed(self._read)),
            *Media(state, self.refuse).routes,
            Route("other", "*", "/{tail:.*}", self._unknown),
        )

    def new_job_id(self) -> str:
        """Return a fresh task id of 24 hexadecimal digits, as in the examples."""
        return self._state.new_word(24, _LETTERS)

    def new_track_id(self) -> str:
        """Return a fresh clip id."""
        return f"clip-{self._state.new_word(12, _LETTERS)}"

    def refuse(
        self,
        status: int,
        *,
        code: str | None = None,
        message: str | None = None,
        action: Action = "other",  # noqa: ARG002 - codes are the same for every action
    ) -> Answer:
        """Return an error in MusicMint's shape.

        Args:
            status: HTTP status.
            code: Digits of the business code, None for the usual one of that status.
            message: Text for people, None for a plain one.
            action: What is being refused.
        """
        number = int(code) if code else CODES.get(status, 5000)
        return self._envelope(
            {"code": number, "message": message or f"refused with {number}"}, status
        )

    def _envelope(self, members: Mapping[str, object], status: int) -> Answer:
        now = self._state.clock.now()
        request_id = f"req-{int(self._state.clock.unix(now) * 1000)}"
        return json_answer(status, {**members, "request_id": request_id})

    def _answer(self, data: object) -> Answer:
        return self._envelope({"code": 0, "message": "ok", "data": data}, HTTPStatus.OK)

    def _keyed(self, work: Callable[[Query], Answer]) -> Callable[[Query], Answer]:
        def guarded(query: Query) -> Answer:
            try:
                self._check_key(query.headers.get("Authorization", ""))
                return work(query)
            except Refusal as refusal:
                status = refusal.status if self._mirror else HTTPStatus.OK
                return self.refuse(
                    status, code=str(refusal.code), message=refusal.message
                )

        return guarded

    def _check_key(self, given: str) -> None:
        if given == f"Bearer {self._api_key}":
            return
        ends = {"-disabled": 1003, "-deleted": 1004}  # documented
        codes = [code for end, code in ends.items() if given.endswith(end)]
        raise Refusal("key refused", code=codes[0] if codes else 1001, status=401)

    def _body(self, query: Query) -> Fields:
        return Fields(read_object(query.body, Refusal), Refusal)

    def _charged(self, kind: str) -> int:
        price = PRICES[kind]
        if self._state.account.credits < price:
            raise Refusal("balance too low", code=4006, status=402)
        return price

    def _persona(self, query: Query) -> Answer:
        clip = read_persona(self._body(query), self._state)
        known = self._state.find_persona(clip.track_id)
        if known and self._persona_again == "conflict":
            raise Refusal("persona exists", code=4009, status=409)
        task = self._state.order_persona(
            clip.track_id,
            job_id=f"batch-{self._state.new_word(6, _LETTERS)}",
            model="persona",
            price=self._charged("persona"),
            seconds=0,
            persona_id=known or f"persona-{self._state.new_word(12, _LETTERS)}",
        )
        item = {"id": task.persona_id, "status": "complete"}
        return self._answer({"taskBatchId": task.id, "items": [item]})

    def _generate(self, query: Query) -> Answer:
        body = self._body(query)
        return self._start(read_music(body, self._state), body, query)

    def _cover(self, query: Query) -> Answer:
        body = self._body(query)
        return self._start(read_cover(body, self._state), body, query)

    def _start(self, order: Song, body: Fields, query: Query) -> Answer:
        price, job_id = self._charged("music"), self.new_job_id()
        songs = tuple(
            attrs.evolve(order, job_id=job_id, track_id=self.new_track_id())
            for _ in range(_SONGS)
        )
        task = self._state.order(
            "music",
            job_id=job_id,
            model=order.model,
            price=price,
            songs=songs,
            error=query.task_error,
        )
        if url := body.address("callback_url"):
            self._plan_callback(task, url, query.base)
        return self._answer({"task_id": job_id, "status": "queuing"})

    def _plan_callback(self, task: Task, url: str, base: str) -> None:
        """One POST at the end, signed, and never repeated (documented)."""

        def make() -> tuple[bytes, Mapping[str, str]]:
            told = self._task(task, base)
            told = {"task_id": told.pop("id"), **told}
            del told["created_at"]
            body = json.dumps(told).encode()
            return body, {"X-Signature": sign(self._secret, body)}

        self._queue.add(PlannedCallback(task.end, url, make, _CALLBACK_TIMEOUT))

    def _read(self, query: Query) -> Answer:
        if query.method not in self._poll_verbs:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"", {})
        self._body(query)
        task = self._state.tasks.get(query.parts["id"])
        if task is None or task.kind != "music":
            raise Refusal("no such task", code=4003, status=404)
        return self._answer(self._task(task, query.base))

    def _task(self, task: Task, base: str) -> dict[str, object]:
        status = self._line(task)["status"]
        told: dict[str, object] = self._line(task)
        if status == "completed":
            told["results"] = [self._result(song, base) for song in task.songs]
        return told

    def _line(self, task: Task) -> dict[str, object]:
        stage = task.stage(self._state.clock.now())
        line: dict[str, object] = {
            "id": task.id,
            "status": _WORDS.get(stage.status, stage.status),
            "created_at": self._state.clock.unix(task.created) * 1000,
        }
        if stage.status == "failed" and task.error:
            line["error"] = task.error.message
        return line

    def _result(self, song: Song, base: str) -> dict[str, object]:
        return {
            "id": song.track_id,
            "audio_url": link(base, song),
            "image_url": picture(base, song),
            "title": song.title,
            "duration": song.duration,
            "tags": song.style,
            "prompt": song.lyrics,
            "expire_at": self._expiry(song),
        }

    def _expiry(self, song: Song) -> int:
        end = self._state.tasks[song.job_id].end + song.life
        return 0 if end == float("inf") else self._state.clock.unix(end) * 1000

    def _list(self, query: Query) -> Answer:
        page, size, wanted = read_page(self._body(query))
        lines = [
            self._line(task)
            for task in reversed(self._state.tasks.values())
            if task.kind == "music"
        ]
        if wanted >= 0:
            lines = [line for line in lines if line["status"] == _FILTERS[wanted]]
        items = lines[(page - 1) * size : page * size]
        return self._answer({"items": items, "total": len(lines), "page": page})

    def _clip(self, query: Query) -> Answer:
        song = self._state.songs.get(query.parts["id"])
        if song is None:
            raise Refusal("no such clip", code=4002, status=404)
        if not self._state.is_kept(song):
            raise Refusal("Music result has expired", code=4005, status=410)
        return self._answer(self._result(song, query.base))

    def _stem(self, query: Query) -> Answer:
        clip, start, end = read_stem(self._body(query), self._state)
        stem_id = f"stem-{self._state.new_word(12, _LETTERS)}"
        stem = attrs.evolve(clip, job_id=stem_id, track_id=stem_id)
        self._at_once("stems", stem)
        return self._answer(
            {
                "id": stem_id,
                "source_clip_id": clip.track_id,
                "status": "complete",
                "vocal_audio_url": link(query.base, stem),
                "vocal_start_s": start,
                "vocal_end_s": end,
            }
        )

    def _upload(self, query: Query) -> Answer:
        title = read_upload(self._body(query))
        clip_id = self.new_track_id()
        song = Song(clip_id, clip_id, title, "", "upload")
        self._at_once("upload", song)
        return self._answer(
            {
                "clipId": clip_id,
                "audioUrl": link(query.base, song),
                "duration": int(song.duration),
                "status": 1,
            }
        )

    def _at_once(self, kind: Literal["stems", "upload"], song: Song) -> None:
        self._state.order(
            kind,
            job_id=song.job_id,
            model=song.model,
            price=self._charged(kind),
            songs=(song,),
            seconds=0,
        )

    def _unknown(self, _: Query) -> Answer:
        return self.refuse(HTTPStatus.NOT_FOUND, message="no such path")


def sign(secret: bytes, body: bytes) -> str:
    """Return the signature of a callback: lower-case hexadecimal HMAC-SHA256.

    Source: the page on AppKeys (documented).
    """
    return hmac.new(secret, body, hashlib.sha256).hexdigest()
