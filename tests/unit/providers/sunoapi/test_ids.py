"""Ids of tasks as they stand in addresses."""

from __future__ import annotations

import pytest

from personakit.providers.sunoapi.ids import quote_id
from personakit.receipt import JOB_ID_LIMIT
from tests.unit.providers.refusals import check_refusal


@pytest.mark.parametrize(
    ("job_id", "quoted"),
    [
        ("0f1e2d3c", "0f1e2d3c"),
        ("5c79****be8e", "5c79%2A%2A%2A%2Abe8e"),
        ("a&b=c/d?e#f", "a%26b%3Dc%2Fd%3Fe%23f"),
        ("é", "%C3%A9"),
        ("a" * JOB_ID_LIMIT, "a" * JOB_ID_LIMIT),
    ],
)
def test_id_never_leaves_its_place(job_id, quoted):
    """Whatever an id holds, it stays one value of the query."""
    assert quote_id(job_id) == quoted


@pytest.mark.parametrize(
    "job_id", ["", "  ", "a\nb", "a\x00", "a" * (JOB_ID_LIMIT + 1)]
)
def test_what_is_no_id(job_id):
    """Blank, unprintable or endless text is no id."""
    check_refusal(lambda: quote_id(job_id), "job_id", "must be an id of at most 120")
