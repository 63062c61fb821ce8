"""The tree stays one that a newcomer can hold in the head: bounds that CONTRIBUTING.md names."""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

TOP_LEVEL = 12
LAYERS = 16
SHARED_NAMES = 0
OPENINGS = ("Give ", "Gives ", "Say whether", "Says whether", "Tell whether", "Tells whether")
"""How a docstring does not begin: what is returned is named with "Return", and a question with "Whether"."""


@pytest.fixture(scope="module")
def trees(root: Path) -> dict[Path, ast.Module]:
    """Return every module of the package, parsed."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in (root / "src").rglob("*.py")}


def test_the_top_level_reads_like_a_table_of_contents(root):
    """Modules beside the packages are few: most ideas belong to a package."""
    assert len([*(root / "src/flybridge").glob("*.py")]) <= TOP_LEVEL


def test_the_layers_are_about_one_row_a_package(root):
    """Whoever needs another row has two packages that know each other too well."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert all(len(contract["layers"]) <= LAYERS for contract in contracts if contract["type"] == "layers")


def test_a_class_name_means_one_thing(trees):
    """A reader who searches for a name finds one definition of it, bar a few."""
    places = defaultdict(list)
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path.stem}:{node.lineno}")
    shared = {name: found for name, found in places.items() if len(found) > 1}
    assert len(shared) <= SHARED_NAMES, shared


def test_docstrings_return(trees):
    """The voice of the standard library."""
    wrong = []
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                if text.startswith(OPENINGS):
                    wrong.append(f"{path.name}: {text.splitlines()[0]}")
    assert not wrong
