"""Imports point down six layers; inside a layer only as written here."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "personakit"

LAYERS = (
    {
        "errors",
        "models",
        "per_loop",
        "receipt",
        "requests",
        "validation",
        "version",
    },
    {"decoding", "http", "polling", "ratelimit", "serialization"},
    {"journal", "providers"},
    {"jobs"},
    {"callbacks", "client", "environment", "operations"},
    {"", "__main__", "cli", "contrib"},
)
"""The rooms of each layer, a room being a package or a module of the top folder. A room
may import every layer below."""
SIDEWAYS = {1: {"serialization": "decoding", "polling": "ratelimit"}, 2: {}}
"""The imports between the rooms of one layer, where these are not free."""
MAY_SEE = {
    "providers": ("decoding", "http.messages", "ratelimit.limits"),
    "journal": ("serialization",),
}
"""What these two see of layer 1."""
LIBRARIES = {
    "aiohttp": {"http", "client", "callbacks", "emulator"},
    "backoff": {"http"},
    "cattrs": {"decoding", "serialization"},
    "click": {"cli"},
    "keyring": {"cli"},
    "platformdirs": {"cli"},
    "procrastinate": {"contrib"},
    "psycopg": {"journal"},
    "rich": {"cli"},
}


def find_name(path: Path) -> str:
    """Return a file's dotted name below the package; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = {find_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def list_imports(path: Path) -> set[str]:
    """Return the dotted names of all that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def find_module(name: str) -> str:
    """Return the module of a dotted name that may end with one of its members."""
    name = name.removeprefix("personakit").removeprefix(".")
    return name if name in FILES else name.rpartition(".")[0]


EDGES = {
    (importer, find_module(name))
    for importer, path in FILES.items()
    for name in list_imports(path)
    if name.partition(".")[0] == "personakit"
}


def find_room(module: str) -> str:
    """Return the package or module of the top folder that holds a module."""
    return module.partition(".")[0]


def find_layer(room: str) -> int:
    """Return the number of a room's layer."""
    return next(number for number, rooms in enumerate(LAYERS) if room in rooms)


def is_allowed(importer: str, imported: str) -> bool:
    """Return whether one module may import another."""
    importer, imported = (
        name.removeprefix("personakit").removeprefix(".")
        for name in (importer, imported)
    )
    room, other = find_room(importer), find_room(imported)
    if room == other:
        return True
    if "emulator" in {room, other}:
        return room == "cli"
    layer, below = find_layer(room), find_layer(other)
    if layer == below:
        return layer not in SIDEWAYS or SIDEWAYS[layer].get(room) == other
    if below == 1 and room in MAY_SEE:
        return imported.startswith(MAY_SEE[room])
    return below < layer


def test_every_room_has_a_layer():
    """A new module is given its place before it is written."""
    rooms = {find_room(name) for name in FILES}

    assert rooms == {"emulator"}.union(*LAYERS)


def test_imports_point_down():
    """Every import leads to a lower layer, or sideways where that is free."""
    assert len(EDGES) > 100
    assert [edge for edge in sorted(EDGES) if not is_allowed(*edge)] == []


def test_there_is_no_circle():
    """No module imports itself, by whatever way."""
    below: dict[str, set[str]] = {name: set() for name in FILES}
    for importer, imported in EDGES:
        below[importer].add(imported)

    assert len(list(TopologicalSorter(below).static_order())) == len(FILES)


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_stay_in_their_rooms(library):
    """Each library is used in the rooms that are named for it, and in no other."""
    users = {
        find_room(module)
        for module, path in FILES.items()
        if any(name.partition(".")[0] == library for name in list_imports(path))
    }

    assert users == LIBRARIES[library]


def test_files_stay_small():
    """A file passing 400 lines is split."""
    lengths = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}

    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_functions_stay_short():
    """A function passing 50 lines without its docstring is rewritten."""
    lengths = {
        f"{name}.{node.name}": count_lines(node)
        for name, path in FILES.items()
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
    text = FILES["http.retry"].read_text()

    assert "@backoff" not in text
    assert "on_exception" not in text
    assert "on_predicate" not in text
