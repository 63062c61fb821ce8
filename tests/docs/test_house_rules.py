"""The rules for tests do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPING = """
import pytest

@pytest.mark.service
def test_with_a_server():
    pytest.skip("there is none")

def test_without():
    pytest.skip("for another reason")
"""


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_a_skipped_server_test_fails_where_ci_is_set(ci, code, root, tmp_path: Path):
    """On a developer's machine a missing server is a skip; in CI it is a failure, and only for such tests."""
    (tmp_path / "test_it.py").write_text(SKIPPING)
    (tmp_path / "conftest.py").write_text((root / "tests/conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = service: needs a server\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == code, run.stdout
    assert ("1 failed, 1 skipped" if ci else "2 skipped") in run.stdout
