"""Receipts travel as small tokens, and tokens come back as receipts."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as some

from personakit.errors import InvalidRequest
from personakit.receipt import JOB_ID_LIMIT, Ability, Receipt
from personakit.serialization import parse_token

RECEIPT = Receipt(
    "evolink",
    Ability.PERSONA,
    key="0" * 32,
    at=datetime(2026, 3, 22, 9, 9, 44, tzinfo=UTC),
    job_id="task-unified-1774170584-su75smg7",
)


def test_token_is_versioned_json():
    """A token is one line of JSON with a version and nothing secret."""
    assert json.loads(RECEIPT.token) == {
        "v": 1,
        "provider": "evolink",
        "kind": "persona",
        "key": "0" * 32,
        "at": 1774170584,
        "job": "task-unified-1774170584-su75smg7",
    }


def test_token_without_a_job_id():
    """Before its answer a submit has a token too."""
    early = attrs.evolve(RECEIPT, job_id=None)

    assert "job" not in json.loads(early.token)
    assert parse_token(early.token) == early


@given(
    kind=some.sampled_from([Ability.PERSONA, Ability.MUSIC]),
    job_id=some.none() | some.from_regex(r"[\w.-]{1,120}", fullmatch=True),
    at=some.datetimes(
        min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        timezones=some.just(UTC),
    ),
)
def test_token_round_trip(kind, job_id, at):
    """Every receipt comes back from its token unchanged."""
    receipt = Receipt("evolink", kind, at=at.replace(microsecond=0), job_id=job_id)

    assert parse_token(receipt.token) == receipt


def test_longest_token_fits():
    """A token never exceeds 256 bytes."""
    longest = Receipt("p" * 12, Ability.PERSONA, job_id="j" * JOB_ID_LIMIT)

    assert len(longest.token.encode()) <= 256
    assert parse_token(longest.token) == longest


def test_longer_job_id_is_no_token():
    """A job id beyond the limit would not fit, and is not read back."""
    longer = attrs.evolve(RECEIPT, job_id="j" * (JOB_ID_LIMIT + 1))
    with pytest.raises(InvalidRequest) as caught:
        parse_token(longer.token)

    assert caught.value.field == "token"


@given(end=some.integers(min_value=0, max_value=len(RECEIPT.token) - 1))
def test_cut_token_is_refused(end):
    """A token that was cut anywhere, by a chat or a terminal, is no token."""
    with pytest.raises(InvalidRequest) as caught:
        parse_token(RECEIPT.token[:end])

    assert caught.value.field == "token"


@pytest.mark.parametrize("kind", [Ability.CREDITS, Ability.TRACK])
def test_kinds_that_are_no_job_are_refused(kind):
    """Only personas and music are kinds of job that a receipt can name."""
    token = attrs.evolve(RECEIPT, kind=kind).token
    with pytest.raises(InvalidRequest) as caught:
        parse_token(token)

    assert caught.value.field == "token"


@pytest.mark.parametrize("name", ["provider", "key", "job"])
def test_empty_members_are_refused(name):
    """A token that names nothing where it must name something is damaged."""
    token = json.dumps({**json.loads(RECEIPT.token), name: ""})
    with pytest.raises(InvalidRequest) as caught:
        parse_token(token)

    assert caught.value.field == "token"


def test_receipts_are_different():
    """Two submits of the same thing have two keys."""
    first, second = (Receipt("evolink", Ability.MUSIC) for _ in range(2))

    assert first.key != second.key
    assert first.at.tzinfo is UTC
    assert first.at.microsecond == 0


@pytest.mark.parametrize(
    "token",
    [
        "",
        "{}",
        "[]",
        "null",
        "no json",
        RECEIPT.token.replace('"v":1', '"v":2'),
        RECEIPT.token.replace('"v":1', '"v":true'),
        RECEIPT.token.replace("persona", "opera"),
        RECEIPT.token.replace('"persona"', "null"),
        RECEIPT.token.replace("1774170584,", '"yesterday",'),
        RECEIPT.token.replace("1774170584,", "99999999999999999999,"),
        RECEIPT.token.replace("su75smg7", "x" * 200),
        RECEIPT.token[:-1],
        "\ud800",
    ],
)
def test_damaged_tokens_are_refused(token):
    """What is no token of this version says so, and is not repeated."""
    with pytest.raises(InvalidRequest, match="token must be a receipt of version 1"):
        parse_token(token)
