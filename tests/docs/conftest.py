"""What the checks of the documents share: the files of the repository and the parts of a page."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the directory of the repository."""
    return ROOT


NOT_OURS = {".venv", "data", "dist", ".git", "node_modules"}
"""Directories at the top that a source archive, or a copy without its history, has beside what is ours."""


@pytest.fixture(scope="session")
def files() -> list[Path]:
    """Return every file that is, or is about to be, part of the repository."""
    return _listed(ROOT)


@pytest.fixture(scope="session")
def listed() -> Callable[[Path], list[Path]]:
    """Return the function that lists the files of a tree."""
    return _listed


def _listed(root: Path) -> list[Path]:
    """Return the files of a tree: those that git knows or does not ignore, or without git all but what tools left."""
    if (root / ".git").exists() and shutil.which("git"):
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")
        return [path for name in sorted(set(names)) if name and (path := root / name).is_file()]
    return [path for path in sorted(root.rglob("*")) if path.is_file() and _is_ours(path.relative_to(root))]


def _is_ours(path: Path) -> bool:
    made = {"__pycache__", *(part for part in path.parts if part.endswith("_cache"))}
    top = path.parts[0]
    hidden = top.startswith(".") and top not in {".ci", ".gitignore", ".pre-commit-config.yaml"}
    return not (hidden or top in NOT_OURS or made.intersection(path.parts) or path.suffix in {".pyc", ".db"})
