"""Every module has a place in the order of imports, so that none escapes the rules."""

from __future__ import annotations

import os
import re
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


FORBIDDEN = [
    ("flow.loop", "flybridge.inbox.nats.inbox", "Only the service names"),
    ("flow.loop", "flybridge.config.settings", "Flow and delivery do not know"),
    ("delivery.worker", "flybridge.store.postgres.store", "Only the service names"),
    ("delivery.lane", "sqlite3", "Only the service names"),
    ("delivery.attempt", "sqlite3", "Only the service names"),
    ("operations.replay", "flybridge.store.sqlite.store", "Only the service names"),
    ("service.lifetime", "flybridge.store.copy", "Only the service names"),
    ("web.app", "flybridge.store.audiences.audience", "Only the service names"),
    ("cli.common", "flybridge.service.data_lock", "Only the service names"),
    ("delivery.exchange", "time", "The core does no I/O"),
]
"""A module, what it must not import, and the contract that says so."""


@pytest.fixture(scope="module")
def broken(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what is said of each contract where the code has all these imports more."""
    copy = tmp_path_factory.mktemp("code")
    shutil.copytree(root / "src/flybridge", copy / "flybridge", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", copy)
    for module, imported, _ in FORBIDDEN:
        with (copy / "flybridge" / f"{module.replace('.', '/')}.py").open("a") as target:
            target.write(f"\nimport {imported}\n")
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        capture_output=True,
        text=True,
        check=False,
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
    )
    assert done.returncode == 1
    _, *parts = re.split(r"^(.+)\n-+\n", done.stdout.partition("Broken contracts")[2], flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize(("module", "imported", "name"), FORBIDDEN)
def test_neither_flow_nor_worker_can_branch_on_the_backend(broken, module, imported, name):
    """A backend, or the setting that chooses it, imported there breaks the contract that says so."""
    (said,) = [text for contract, text in broken.items() if contract.startswith(name)]
    assert re.search(rf"- +flybridge\.{re.escape(module)} -> {re.escape(imported)} \(l\.", said), said
