"""Every fact of the owner's documents has a test that cites it."""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TABLE = tomllib.loads((HERE / "facts.toml").read_text())
FACTS = {fact["id"]: fact for fact in TABLE["fact"]}


def find_citations() -> dict[str, set[str]]:
    """Return the facts that each test cites by its mark, by the test's name."""
    return {
        f"{path.name}::{node.name}": {
            argument.value
            for mark in node.decorator_list
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "fact"
            for argument in mark.args
        }
        for path in sorted(HERE.glob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


CITATIONS = find_citations()


@pytest.mark.parametrize("name", FACTS)
def test_fact_has_a_test(name):
    """The table names tests for the fact, and each of them exists and cites it."""
    tests = FACTS[name]["tests"]

    assert tests
    assert [test for test in tests if name not in CITATIONS.get(test, set())] == []


def test_no_citation_is_stale():
    """Whatever a test cites is in the table, which names that test."""
    cited = {(fact, test) for test, facts in CITATIONS.items() for fact in facts}
    named = {(fact, test) for fact in FACTS for test in FACTS[fact]["tests"]}

    assert cited == named


def test_table_is_in_order():
    """No id comes twice, no row of a sheet is listed twice, and nothing is empty."""
    rows = Counter(
        (entry["sheet"], row)
        for entry in (*TABLE["fact"], *TABLE["not_testable"])
        for row in entry["rows"]
    )

    assert len(FACTS) == len(TABLE["fact"])
    assert [row for row, times in rows.items() if times > 1] == []
    assert all(fact["says"].endswith(".") for fact in FACTS.values())


@pytest.mark.parametrize(
    ("sheet", "least"), [("evolink", 45), ("sunoapi", 45), ("musicmint", 30)]
)
def test_table_covers_the_sheets(sheet, least):
    """Each sheet has about as many rows in the table as it has marks."""
    entries = (*TABLE["fact"], *TABLE["not_testable"])

    assert sum(len(one["rows"]) for one in entries if one["sheet"] == sheet) >= least
