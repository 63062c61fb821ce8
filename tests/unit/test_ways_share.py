"""What reading device ids and Identify messages is worth, as `bench/ways.py` measures it and the documentation says."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from flybridge.amplitude import stream
from flybridge.sandbox.traffic.traffic import TrafficOptions, generate

SCRIPT = Path(__file__).parents[2] / "bench" / "ways.py"


@pytest.fixture
def ways(monkeypatch):
    """Return the script as a module."""
    spec = spec_from_file_location("ways", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "ways", module)
    spec.loader.exec_module(module)
    return module


async def test_what_amplitude_really_shows_is_worth_what_the_documentation_says(ways, monkeypatch, tmp_path):
    """About seven of ten installs on Android by user properties alone, eight with the rest; nine on iOS."""
    options = TrafficOptions(late_seen=0.3, held=0.08, malformed=0, odd=0)
    messages = list(generate(1, 3000, ways.APPS, options))
    (tmp_path / "with").mkdir()
    found = await ways.shares(messages, tmp_path / "with")
    monkeypatch.setattr(stream, "device_ids", ways.no_device_ids)
    monkeypatch.setattr(stream, "_places", ways.no_operations)
    (tmp_path / "without").mkdir()
    without = await ways.shares(messages, tmp_path / "without")
    assert {app: round(share, 1) for app, share in found.items()} == {"android": 0.8, "ios": 0.9}
    assert {app: round(share, 1) for app, share in without.items()} == {"android": 0.7, "ios": 0.7}
