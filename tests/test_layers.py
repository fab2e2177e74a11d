"""Imports point up the layers, never down or sideways except where written."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "personakit"

LAYERS = (
    # values
    {"version", "receipt", "errors", "checks", "models", "requests"},
    # language
    {"wire", "convert", "archive", "limits", "lines", "perloop"},
    # dialects and other pure parts, no I/O
    {
        "providers",
        "pace",
        "outlook",
        "history",
        "watch",
        "windows",
        "journal",
        "matching",
    },
    # engines
    {
        "transport",
        "flight",
        "addresses",
        "lanes",
        "sharedlane",
        "retry",
        "agenda",
        "watchdog",
        "shortcut",
        "download",
        "partfile",
    },
    {"poller", "waits"},
    # workflows
    {
        "readers",
        "workflows",
        "submits",
        "job",
        "registry",
        "operations",
        "readings",
        "recovery",
        "reconcile",
        "delivery",
        "stepwriter",
        "keyed",
        "callbacks",
        "batch",
        "completion",
    },
    # surface
    {"client", "settings"},
    # edge
    {
        "",
        "__main__",
        "cli",
        "commands",
        "jobcommands",
        "journalcommands",
        "doctor",
        "account",
        "console",
        "results",
        "keys",
        "demo",
        "contrib",
    },
)
SIDEWAYS = {
    ("watch", "history"),
    ("waits", "poller"),
    ("workflows", "readers"),
    ("job", "readers"),
    ("errors", "receipt"),
    ("checks", "errors"),
    ("models", "checks"),
    ("models", "errors"),
    ("models", "receipt"),
    ("requests", "checks"),
    ("requests", "errors"),
    ("requests", "models"),
    ("requests", "receipt"),
    ("download", "partfile"),
    ("download", "retry"),
    ("transport", "flight"),
    ("transport", "shortcut"),
    ("transport", "watchdog"),
    ("history", "outlook"),
    ("sharedlane", "lanes"),
    ("pace", "outlook"),
    ("transport", "addresses"),
    ("download", "transport"),
    ("job", "workflows"),
    ("submits", "workflows"),
    ("registry", "workflows"),
    ("operations", "registry"),
    ("readings", "job"),
    ("readings", "workflows"),
    ("recovery", "job"),
    ("batch", "completion"),
    ("batch", "job"),
    ("completion", "job"),
    ("completion", "workflows"),
    ("batch", "keyed"),
    ("keyed", "job"),
    ("keyed", "recovery"),
    ("keyed", "submits"),
    ("keyed", "workflows"),
    ("callbacks", "reconcile"),
    ("reconcile", "workflows"),
    ("recovery", "reconcile"),
    ("keyed", "reconcile"),
    ("job", "delivery"),
    ("delivery", "workflows"),
    ("recovery", "submits"),
    ("workflows", "stepwriter"),
    ("callbacks", "workflows"),
    ("client", "settings"),
    ("recovery", "workflows"),
    ("__main__", "cli"),
    ("cli", "account"),
    ("cli", "demo"),
    ("cli", "commands"),
    ("cli", "jobcommands"),
    ("cli", "journalcommands"),
    ("cli", "doctor"),
    ("cli", "console"),
    ("demo", "console"),
    ("commands", "account"),
    ("commands", "console"),
    ("commands", "jobcommands"),
    ("commands", "results"),
    ("jobcommands", "account"),
    ("jobcommands", "console"),
    ("jobcommands", "results"),
    ("journalcommands", "account"),
    ("doctor", "account"),
    ("doctor", "keys"),
    ("account", "keys"),
}
ENGINES = {3, 4}
# Engines know calls, not dialects: of layer 2 they may see only these.
ENGINES_MAY_SEE = {"pace", "history", "watch", "windows"}
ALLOWED_OUTSIDE = {
    "aiohttp": {
        "transport",
        "flight",
        "shortcut",
        "addresses",
        "client",
        "callbacks",
        "emulator",
    },
    "backoff": {"retry"},
    "cattrs": {"convert", "archive"},
    "click": {
        "cli",
        "commands",
        "jobcommands",
        "journalcommands",
        "doctor",
        "keys",
        "account",
    },
    "keyring": {"keys"},
    "platformdirs": {"account"},
    "procrastinate": {"contrib"},
    "psycopg": {"journal"},
    "rich": {"cli", "console", "account"},
}


def module_name(path: Path) -> str:
    """Name a file's room: its top folder or its own stem."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(path: Path) -> set[str]:
    """List the dotted names of all modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


FILES = sorted(PACKAGE.rglob("*.py"))
EDGES = sorted(
    {
        (module_name(path), name.split(".")[1])
        for path in FILES
        for name in imports(path)
        if name.startswith("personakit.") and name.split(".")[1] != module_name(path)
    }
)


def floor(module: str) -> int:
    """Return the layer of a module."""
    return next(number for number, layer in enumerate(LAYERS) if module in layer)


def test_every_module_has_a_layer():
    """A new file is given its place before it is written."""
    known = set().union(*LAYERS) | {"emulator"}

    assert {module_name(path) for path in FILES} == known


def is_allowed(importer: str, imported: str) -> bool:
    """Tell whether one module may import another."""
    if "emulator" in {importer, imported}:
        return imported == "emulator" and floor(importer) == len(LAYERS) - 1
    if floor(importer) in ENGINES and floor(imported) == min(ENGINES) - 1:
        return imported in ENGINES_MAY_SEE
    return floor(imported) < floor(importer) or (importer, imported) in SIDEWAYS


def test_imports_point_up():
    """Every import leads to an earlier layer, and engines never see dialects."""
    assert EDGES
    assert [edge for edge in EDGES if not is_allowed(*edge)] == []


@pytest.mark.parametrize("edge", sorted(SIDEWAYS))
def test_no_exception_is_stale(edge):
    """Every sideways import that is allowed exists."""
    assert edge in EDGES


@pytest.mark.parametrize("library", ALLOWED_OUTSIDE)
def test_libraries_stay_in_their_rooms(library):
    """One module is the only user of each library that has a room."""
    users = {
        module_name(path)
        for path in FILES
        if any(name.split(".")[0] == library for name in imports(path))
    }

    assert users == ALLOWED_OUTSIDE[library]


def test_files_stay_small():
    """A file passing 400 lines is split."""
    lengths = {str(path): len(path.read_text().splitlines()) for path in FILES}

    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}


def test_functions_stay_short():
    """A function passing 50 lines without its docstring is rewritten."""
    lengths = {
        f"{path.stem}.{node.name}": count_lines(node)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert len(lengths) > 100
    assert {name: lines for name, lines in lengths.items() if lines > 50} == {}


def count_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a body without its docstring."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_backoff_decorates_nothing():
    """Only backoff's wait generators are used; its decorators are deprecated."""
    text = (PACKAGE / "retry.py").read_text()

    assert "@backoff" not in text
    assert "on_exception" not in text
    assert "on_predicate" not in text
