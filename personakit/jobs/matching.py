"""Compare jobs of the service's list with a submit whose answer was lost.

Nothing is read or sent here. Only ids identify a job, and a lost answer took the id
with it. What is left is indirect: the time, the model, and the texts of a finished
job. Every comparison therefore has three results: True if they agree, False if they
contradict each other, None if they prove nothing. No page documents what services
change in the texts that they return: all rules for texts here are inferred, and
choose None when in doubt.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from personakit.http.messages import FILE_TIMEOUT, SUBMIT_TIMEOUT
from personakit.models import Listed, Result, Track
from personakit.receipt import Ability
from personakit.requests import JobRequest, SongRequest

CLOCK_SKEW = timedelta(seconds=60)
"""Largest expected difference between the service's corrected clock and ours."""
SHORTEST_CUT = 80
"""Characters from which on a shorter text may be the beginning of a longer one.

Evolink allows titles of 80 characters (documented), the lowest limit of any service.
"""

_SONGS = {Ability.MUSIC, Ability.EXTEND, Ability.COVER, Ability.MASHUP}
_BETA = "-beta"
_SECTION = re.compile(r"\[[^\]]*\]")
_WORD = re.compile(r"\w+")


def could_be(
    kind: Ability, sent_at: Sequence[datetime], line: Listed, clock: float | None
) -> bool:
    """Return whether a listed job can come from one of these attempts.

    Args:
        kind: What was submitted. A list may call all songs ``music``: MusicMint's
            does not distinguish new songs, continuations and covers (documented).
        sent_at: When each attempt was sent, aware, by our clock.
        line: A job of the list. It does not match if the list has no time for it.
        clock: Seconds by which the service's clock is ahead of ours, None if not
            known: then the list's times are taken as they are.
    """
    if line.kind is not kind and not (line.kind is Ability.MUSIC and kind in _SONGS):
        return False
    if line.created_at is None:
        return False
    # A clock that was set in between makes either of the two wrong.
    times = (line.created_at, line.created_at - timedelta(seconds=clock or 0.0))
    timeout = FILE_TIMEOUT if kind is Ability.UPLOAD else SUBMIT_TIMEOUT
    latest = timedelta(seconds=timeout) + CLOCK_SKEW
    return any(
        at - CLOCK_SKEW <= created <= at + latest for at in sent_at for created in times
    )


def fits(request: JobRequest[Any] | None, line: Listed) -> bool | None:
    """Compare a request with one line of the service's list.

    No list contains texts, and only Evolink's contains the model. A different model
    is a contradiction. The same model proves nothing, because most jobs of an account
    have the same one: the result is never True.

    Args:
        request: What was submitted, None if not known.
        line: A job of the list.
    """
    if not isinstance(request, SongRequest) or request.model is None:
        return None
    if line.model is None or _is_same_model(request.model, line.model):
        return None
    return False


def fits_result(request: JobRequest[Any] | None, result: Result | None) -> bool | None:
    """Compare a request with what a job made.

    Of personas, stems and uploads no service returns a text of the request.

    Args:
        request: What was submitted, None if not known.
        result: The result as it was read. After `JobRequest.complete` it contains
            the request's own texts, and the comparison is worthless.
    """
    if not isinstance(request, SongRequest) or not isinstance(result, tuple):
        return None
    return _combine(_compare_track(request, track) for track in result)


def _combine(verdicts: Iterable[bool | None]) -> bool | None:
    """Return False if there is a contradiction, else True if anything agrees."""
    found = set(verdicts)
    if False in found:
        return False
    return True if True in found else None


def _compare_track(request: SongRequest, track: Track) -> bool | None:
    lyrics = (
        _compare_lyrics(request.lyrics, track.lyrics)
        if request.idea is None
        # The service writes the lyrics, and may return these or the idea.
        else _compare_text(request.idea, track.lyrics) or None
    )
    style = _compare_style(request.style, track.style)
    if request.persona is not None:
        style = style or None  # a persona may bring its own style
    return _combine((_compare_text(request.title, track.title), style, lyrics))


def _is_same_model(asked: str, given: str) -> bool:
    """Evolink runs ``suno-v5`` as ``suno-v5-beta`` and returns that (documented)."""
    return asked.removesuffix(_BETA) == given.removesuffix(_BETA)


def _compare_text(asked: str | None, given: str | None) -> bool | None:
    """Compare without case, spacing and Unicode form.

    Services may add to a title ("Rain (Remastered)") or shorten it. Where one text
    contains the other, it can be the same title or another one.
    """
    ours, theirs = _normalize(asked), _normalize(given)
    if not ours or not theirs:
        return None
    if ours == theirs or _is_cut(ours, theirs):
        return True
    return None if ours in theirs or theirs in ours else False


def _compare_style(asked: str | None, given: str | None) -> bool | None:
    """Compare the words, in any order and with any separators.

    Services may drop or add words: MusicMint's examples ask for "pop upbeat female
    vocals" and return "pop upbeat". Only styles without a common word contradict
    each other.
    """
    ours, theirs = _normalize(asked), _normalize(given)
    words, others = set(_WORD.findall(ours)), set(_WORD.findall(theirs))
    if not words or not others:
        return None
    if words == others or _is_cut(ours, theirs):
        return True
    return None if words & others else False


def _compare_lyrics(asked: str | None, given: str | None) -> bool | None:
    """Compare the words in their order, without section tags and punctuation.

    A continuation may come back with the lyrics of its source around its own.
    """
    ours = " ".join(_WORD.findall(_SECTION.sub(" ", _normalize(asked))))
    theirs = " ".join(_WORD.findall(_SECTION.sub(" ", _normalize(given))))
    if len(ours) >= SHORTEST_CUT and ours in theirs:
        return True
    return _compare_text(ours, theirs)


def _normalize(text: str | None) -> str:
    return " ".join(unicodedata.normalize("NFKC", text or "").casefold().split())


def _is_cut(whole: str, given: str) -> bool:
    """Return whether a text is the beginning of another, cut at a length limit."""
    start = given.removesuffix("...").rstrip()
    return len(start) >= SHORTEST_CUT and whole.startswith(start)
