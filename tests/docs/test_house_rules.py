"""The rules for tests do what they say."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SERVES = re.compile(
    r"^import (?:multiprocessing|socketserver|subprocess)$|\b(?:AppRunner|TCPSite|NatsCluster|PostgresServer|Popen)\b"
    r"|\bcreate_subprocess|\bstart_server\(|import .*\brunning\b|flybridge\.testing\.(?:nats|postgres|processes)",
    re.MULTILINE,
)
"""What starts a server or a process in a test."""

SKIPPING = """
import pytest

@pytest.mark.service
def test_with_a_server():
    pytest.skip("there is none")

def test_without():
    pytest.skip("for another reason")
"""


def test_a_unit_test_starts_no_server_and_no_process(root):
    """Such a test is one of `contract` or `e2e`."""
    found = {path.name: SERVES.findall(path.read_text()) for path in (root / "tests" / "unit").rglob("*.py")}
    assert len(found) > 100
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_a_skipped_server_test_fails_where_ci_is_set(ci, code, root, tmp_path: Path):
    """On a developer's machine a missing server is a skip; in CI it is a failure, and only for such tests."""
    (tmp_path / "test_it.py").write_text(SKIPPING)
    (tmp_path / "conftest.py").write_text((root / "tests/conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = service: needs a server\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "CI": ci, "PYTHONPATH": str(root / "tests")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == code, run.stdout
    assert ("1 failed, 1 skipped" if ci else "2 skipped") in run.stdout


@pytest.mark.parametrize("packed", [gzip.compress(b"a"), gzip.compress(b"b")])
def test_a_test_is_not_named_by_bytes_that_are_no_text(request, packed):
    """What gzip writes holds the time, and processes with other names of tests refuse to share them."""
    assert request.node.name.removeprefix(request.node.originalname) in {"[packed0]", "[packed1]"}
