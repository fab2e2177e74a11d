"""What services send to callback addresses, and how two of them sign it.

A callback is a hint, whoever signed it: it says which job to read, and nothing in it is
believed beyond that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

import attrs

from personakit.decoding import member, parse_json
from personakit.errors import MalformedAnswer
from personakit.receipt import JOB_ID_LIMIT, Ability

Signature: TypeAlias = Callable[[Mapping[str, str], bytes, str, str], bool]
"""Tells whether a callback is signed: by its headers, body, job id, and the secret."""

SKEW = 300
"""Seconds that the time of a signed callback may lie before or after ours (chosen: kie
publishes none)."""

_TIMESTAMP = re.compile(r"\d{1,12}")


@attrs.frozen
class CallbackFormat:
    """How one service reports.

    Attributes:
        kinds: The kinds of job on which it reports.
        paths: Where the job's id may stand in a callback, by the names of members.
        signature: Checks a signature, None where the service signs nothing.
    """

    kinds: frozenset[Ability]
    paths: tuple[tuple[str, ...], ...]
    signature: Signature | None = None

    def find_job(self, body: bytes) -> str:
        """Return the id of the job that a callback speaks of.

        Raises:
            MalformedAnswer: there is none.
        """
        data = parse_json(body)
        for path in self.paths:
            found = data
            for name in path:
                found = member(found, name)
            if isinstance(found, str) and _is_id(found):
                return found
        raise MalformedAnswer("The report names no job.")

    def is_signed(
        self, headers: Mapping[str, str], body: bytes, job_id: str, secret: str
    ) -> bool:
        """Tell whether the service itself sent this; False where it signs nothing."""
        return self.signature is not None and self.signature(
            headers, body, job_id, secret
        )


def _is_id(text: str) -> bool:
    return text.isprintable() and 0 < len(text.strip()) <= len(text) <= JOB_ID_LIMIT


def sign_body(body: bytes, secret: str) -> str:
    """Return what MusicMint puts into ``X-Signature``: lower-case hexadecimal.

    Source: MusicMint, app keys (documented).
    """
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def has_signed_body(
    headers: Mapping[str, str], body: bytes, _: str, secret: str
) -> bool:
    """Check MusicMint's signature, which covers the whole body."""
    return _is_equal(headers.get("X-Signature", ""), sign_body(body, secret))


def sign_job(job_id: str, timestamp: str, secret: str) -> str:
    """Return what kie puts into ``X-Webhook-Signature``: base64.

    Source: kie.ai, webhook verification (documented).
    """
    text = f"{job_id}.{timestamp}".encode()
    digest = hmac.new(secret.encode(), text, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def has_signed_job(
    headers: Mapping[str, str], _: bytes, job_id: str, secret: str
) -> bool:
    """Check kie's signature, which covers the job's id and the time, not the body."""
    timestamp = headers.get("X-Webhook-Timestamp", "")
    if not _TIMESTAMP.fullmatch(timestamp) or not timestamp.isascii():
        return False
    is_fresh = abs(time.time() - int(timestamp)) <= SKEW
    sent, due = (
        headers.get("X-Webhook-Signature", ""),
        sign_job(job_id, timestamp, secret),
    )
    return is_fresh and _is_equal(sent, due)


def _is_equal(sent: str, due: str) -> bool:
    """Compare in constant time; what is sent may hold anything."""
    return hmac.compare_digest(sent.encode(errors="replace"), due.encode())


_SONGS = frozenset({Ability.MUSIC, Ability.EXTEND, Ability.COVER})
_SUNOAPI_PATHS = (("data", "task_id"), ("data", "taskId"))

EVOLINK_CALLBACKS = CallbackFormat(frozenset({Ability.MUSIC}), (("id",),))
"""Unsigned; the body is that of a reading (documented on sister pages)."""
SUNOAPI_CALLBACKS = CallbackFormat(
    _SONGS | {Ability.MASHUP, Ability.STEMS},
    _SUNOAPI_PATHS,
)
"""Unsigned; the callback pages mention no signature."""
KIE_CALLBACKS = attrs.evolve(SUNOAPI_CALLBACKS, signature=has_signed_job)
"""Signed where the account has a key for it (documented)."""
KIE_JOBS_CALLBACKS = attrs.evolve(
    KIE_CALLBACKS, kinds=_SONGS | {Ability.MASHUP, Ability.PERSONA}
)
"""The same, of personas too, which are jobs there (inferred)."""
MUSICMINT_CALLBACKS = CallbackFormat(_SONGS, (("task_id",),), has_signed_body)
"""Signed; one callback at the end (documented)."""
