"""Every module has its unit tests where one looks for them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "personakit"

ELSEWHERE = {
    # one suite for every store
    "journal/__init__.py": "contract/test_journal.py",
}


def has_code(path: Path) -> bool:
    """Tell whether a file defines anything of its own."""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(
        isinstance(node, definitions) for node in ast.parse(path.read_text()).body
    )


MODULES = [
    path.relative_to(PACKAGE)
    for path in sorted(PACKAGE.rglob("*.py"))
    if has_code(path)
]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_module_has_tests(module):
    """``personakit/a/b.py`` is tested by ``tests/unit/a/test_b.py``."""
    usual = f"unit/{module.parent}/test_{module.name}"
    tests = ROOT / "tests" / ELSEWHERE.get(module.as_posix(), usual)

    assert tests.exists()
    assert "def test_" in tests.read_text()


@pytest.mark.parametrize(
    "tests", sorted((ROOT / "tests" / "unit").rglob("test_*.py")), ids=lambda p: p.stem
)
def test_tests_have_a_module(tests):
    """No unit test is left behind by a module that moved."""
    place = tests.relative_to(ROOT / "tests" / "unit")
    module = PACKAGE / place.parent / place.name.removeprefix("test_")

    assert module.exists()
