"""Every module has a place in the order of imports, so that none escapes the rules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest


def test_every_module_stands_in_a_layer(root):
    """A new package or top-level module is put into a layer in pyproject.toml before it is used."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    placed = {name.strip("() ") for layer in layers for name in layer.replace(":", "|").split("|")}
    source = root / "src/flybridge"
    modules = {f"flybridge.{path.stem}" for path in source.glob("*.py")} - {"flybridge.__init__"}
    modules |= {f"flybridge.{path.parent.name}" for path in source.glob("*/__init__.py")}
    assert modules == placed


def linted(root: Path, copy: Path, module: str, line: str) -> subprocess.CompletedProcess[str]:
    """Check the contracts on a copy of the code in which a module has one import more."""
    shutil.copytree(root / "src/flybridge", copy / "flybridge", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", copy)
    target = copy / "flybridge" / module
    target.write_text(target.read_text() + f"\n{line}\n")
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        capture_output=True,
        text=True,
        check=False,
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
    )


@pytest.mark.parametrize(
    ("module", "line", "name"),
    [
        ("flow/loop.py", "from flybridge.inbox.nats.inbox import JetStreamInbox", "Only the service names"),
        ("flow/loop.py", "import flybridge.config.settings", "Flow and delivery do not know"),
        ("delivery/worker.py", "import flybridge.store.postgres.store", "Only the service names"),
        ("delivery/lane.py", "import sqlite3", "Only the service names"),
        ("delivery/attempt.py", "import sqlite3", "Only the service names"),
        ("operations/replay.py", "import flybridge.store.sqlite.store", "Only the service names"),
        ("service/lifetime.py", "import flybridge.store.copy", "Only the service names"),
        ("web/app.py", "import flybridge.store.audiences.audience", "Only the service names"),
        ("cli/common.py", "import flybridge.service.data_lock", "Only the service names"),
        ("delivery/exchange.py", "import time", "The core does no I/O"),
    ],
)
def test_neither_flow_nor_worker_can_branch_on_the_backend(root, tmp_path, module, line, name):
    """A backend, or the setting that chooses it, imported there breaks the contract that says so."""
    broken = linted(root, tmp_path, module, line)
    assert broken.returncode == 1
    assert any(found.startswith(name) and "BROKEN" in found for found in broken.stdout.splitlines())
