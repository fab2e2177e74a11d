"""Records: content as it is and as the text of a row, and the end of a job."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from personakit.errors import JobFailed
from personakit.journal.record import Account, SubmitRecord, SubmitState
from personakit.models import JobState, Persona
from personakit.receipt import Ability, Receipt
from personakit.requests import MusicRequest
from personakit.serialization import dump, dump_failure

RECEIPT = Receipt(
    "evolink", Ability.PERSONA, "a" * 32, datetime(2026, 11, 21, tzinfo=UTC), "job-1"
)
PERSONA = Persona("persona-1", "evolink")


def make_record(**content: object) -> SubmitRecord:
    """Make a record with some content."""
    account = Account("evolink", "https://service.test", "studio")
    return SubmitRecord(RECEIPT, account, SubmitState.ENDED, **content)


def test_content_as_it_is():
    """What was put in comes out, without a detour through text."""
    request, failure = MusicRequest(idea="rain"), JobFailed("No.")
    record = make_record(request=request, result=PERSONA, failure=failure)

    assert record.key == "a" * 32
    assert record.content == (request, PERSONA, failure)
    assert record.request is request
    assert record.result is PERSONA
    assert record.failure is failure


def test_content_as_text():
    """The text of a row is read when it is asked for."""
    failure = dump_failure(JobFailed("No."))
    record = make_record(result=dump(PERSONA), failure=failure)

    assert record.result == PERSONA
    assert record.failure.message == "No."


def test_request_as_text():
    """A request is read as what the kind of its receipt says."""
    request = MusicRequest(idea="rain")
    account = Account("evolink", "https://service.test", "studio")
    receipt = Receipt("evolink", Ability.MUSIC)
    record = SubmitRecord(receipt, account, SubmitState.INTENT, request=dump(request))

    assert record.request == request


def test_snapshot():
    """The kept end of a job is its last snapshot; without an end there is none."""
    completed = make_record(result=PERSONA).snapshot
    failed = make_record(failure=JobFailed("No.")).snapshot

    assert (completed.job_id, completed.state) == ("job-1", JobState.COMPLETED)
    assert completed.result == PERSONA
    assert failed.state is JobState.FAILED
    assert failed.failure.receipt == RECEIPT
    assert make_record().snapshot is None


@pytest.mark.parametrize(
    ("caller_key", "shown"),
    [("order 1", "order 1"), ("batch\x1f1", None), (None, None)],
)
def test_keys_that_this_package_made_are_not_shown(caller_key, shown):
    """Only a key that a user chose is shown."""
    receipt, account = Receipt("evolink", Ability.MUSIC), Account("evolink", "a", "me")
    record = SubmitRecord(receipt, account, SubmitState.ENDED, caller_key=caller_key)

    assert record.shown_key == shown
