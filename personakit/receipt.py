"""Abilities and receipts: the words that errors, models and stores share.

A receipt is what is needed to find a submit again, from any process and at any
later time. It holds no secret, so it may be logged, stored or sent to a user.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from enum import StrEnum

import attrs

TOKEN_VERSION = 1
JOB_ID_LIMIT = 120
"""Longest job id (characters) that keeps every token within 256 bytes."""


class Ability(StrEnum):
    """Something that a service may offer; ``kit.can(...)`` tells whether it does.

    Those in `JOB_KINDS` are also the kinds of job that a receipt can name.
    """

    PERSONA = "persona"
    """Make a reusable voice from a finished track."""
    MUSIC = "music"
    """Generate tracks, with or without a persona."""
    EXTEND = "extend"
    """Continue a track."""
    COVER = "cover"
    """Perform a track anew, in another style or voice."""
    MASHUP = "mashup"
    """Blend two tracks into one."""
    STEMS = "stems"
    """Separate the voice of a track from the rest."""
    UPLOAD = "upload"
    """Take audio from elsewhere."""
    VOICE = "voice"
    """Make a persona of uploaded audio, so that a voice can be isolated first."""
    TRACK = "track"
    """Tell of a track again, by its id."""
    JOBS = "jobs"
    """List the jobs of the account."""
    CREDITS = "credits"
    """Tell the balance of the account."""


JOB_KINDS = frozenset(
    {
        Ability.PERSONA,
        Ability.MUSIC,
        Ability.EXTEND,
        Ability.COVER,
        Ability.MASHUP,
        Ability.STEMS,
        Ability.UPLOAD,
    }
)
"""What a submit can be for."""


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _new_key() -> str:
    return uuid.uuid4().hex


@attrs.frozen
class Receipt:
    """The trace that every submit leaves.

    Attributes:
        provider: Name of the service, for example ``"evolink"``.
        kind: What was asked for.
        key: Our own identity of this submit, 32 hexadecimal digits.
        at: When the submit began, aware UTC, whole seconds.
        job_id: The service's id of the job; None until its answer arrived.
    """

    provider: str
    kind: Ability
    key: str = attrs.field(factory=_new_key)
    at: datetime = attrs.field(factory=_now)
    job_id: str | None = None

    def with_job(self, job_id: str | None) -> Receipt:
        """Return it with the id of its job."""
        return Receipt(self.provider, self.kind, self.key, self.at, job_id)

    @property
    def token(self) -> str:
        """The receipt as one line of versioned JSON, at most 256 bytes."""
        fields: dict[str, str | int] = {
            "v": TOKEN_VERSION,
            "provider": self.provider,
            "kind": self.kind,
            "key": self.key,
            "at": int(self.at.timestamp()),
        }
        if self.job_id is not None:
            fields["job"] = self.job_id
        return json.dumps(fields, separators=(",", ":"))
