"""The files that songs link to: their audio and their cover pictures."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import attrs

from personakit.emulator import cover
from personakit.emulator.state import State
from personakit.emulator.tasks import Song
from personakit.emulator.traffic import Answer, Query, Route, file_answer


@attrs.frozen
class Media:
    """Serves the files of one service's songs, without a key.

    Attributes:
        state: Knows the songs.
        refuse: Makes the service's answer to a status.
        expired: HTTP status of a file that is no longer kept.
    """

    state: State
    refuse: Callable[[int], Answer]
    expired: int = HTTPStatus.NOT_FOUND

    @property
    def routes(self) -> tuple[Route, ...]:
        """The paths of audio and pictures."""
        return (
            Route("download", "GET", "/media/{track_id}.wav", self._audio),
            Route("other", "GET", "/media/{track_id}.png", self._cover),
        )

    def _audio(self, query: Query) -> Answer:
        song = self._find(query)
        if song is None:
            return self.refuse(HTTPStatus.NOT_FOUND)
        if not self.state.is_kept(song):
            return self.refuse(self.expired)
        return file_answer(song.audio, "audio/wav", query.headers.get("Range"))

    def _cover(self, query: Query) -> Answer:
        song = self._find(query)
        if song is None:
            return self.refuse(HTTPStatus.NOT_FOUND)
        return file_answer(cover.draw(song.track_id), "image/png", None)

    def _find(self, query: Query) -> Song | None:
        """Return a song whose task is completed, None where there is none."""
        song = self.state.songs.get(query.parts["track_id"])
        if song is None:
            return None
        stage = self.state.tasks[song.job_id].stage(self.state.clock.now())
        return song if stage.status == "completed" else None


def link(base: str, song: Song) -> str:
    """Return the address of a song's audio."""
    return f"{base}/media/{song.track_id}.wav"


def picture(base: str, song: Song) -> str:
    """Return the address of a song's cover picture."""
    return f"{base}/media/{song.track_id}.png"
