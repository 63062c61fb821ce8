"""Every module has a place in the order of imports, so that none escapes the rules."""

from __future__ import annotations

import tomllib


def test_every_module_stands_in_a_layer(root):
    """A new module is put into a layer in pyproject.toml before it is used."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    placed = {name.strip("() ") for layer in layers for name in layer.replace(":", "|").split("|")}
    source = root / "src/flybridge"
    packages = {"delivery", "inbox", "store"}  # their modules stand in different layers, those of others in one
    modules = {f"flybridge.{path.stem}" for path in source.glob("*.py")} - {"flybridge.__init__"}
    modules |= {f"flybridge.{path.parent.name}" for path in source.glob("*/__init__.py")} - {
        f"flybridge.{name}" for name in packages
    }
    assert sorted(modules - placed) == []
    assert {f"flybridge.{name}.protocol" for name in ("inbox", "store")} <= placed
