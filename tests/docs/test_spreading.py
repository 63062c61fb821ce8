"""Tests that share a process do so, and the table of them names what is there."""

from __future__ import annotations

import os
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from spreading import TOGETHER, WHOLE, part_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("pattern", sorted({*TOGETHER, *WHOLE}))
def test_the_table_names_files_that_are_there(pattern):
    files = [str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")]
    assert any(fnmatch(file, pattern) for file in files)


@pytest.mark.parametrize(
    ("nodeid", "part"),
    [
        ("tests/crash/test_kill.py::test_it", "machine"),
        ("tests/e2e/test_outage.py::test_it[1]", "machine"),
        ("tests/browser/test_pages.py::test_it[[x]]", "browser"),
        ("tests/unit/test_export.py::test_it[1]", "tests/unit/test_export.py"),
        ("tests/unit/test_flow.py::test_it[[x]]", "tests/unit/test_flow.py::test_it"),
        ("tests/unit/test_flow.py::test_it", "tests/unit/test_flow.py::test_it"),
        ("tests/e2e/test_console.py::test_it[1]", "tests/e2e/test_console.py::test_it[1]"),
    ],
)
def test_a_test_belongs_to_a_part(nodeid, part):
    assert part_of(nodeid) == part


TESTS = """
import os
import pytest

@pytest.mark.parametrize("number", range(6))
def test_one(number):
    print("RUN", os.environ["PYTEST_XDIST_WORKER"])
"""
RULES = """
from spreading import Parts

def pytest_xdist_make_scheduler(config, log):
    return Parts(config, log)
"""


def test_one_process_runs_all_that_belongs_together(tmp_path):
    """By the versions of pytest and pytest-xdist that are installed: some ignore what they are told."""
    (tmp_path / "tests" / "crash").mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_text(RULES)
    for name in ("a", "b"):
        (tmp_path / "tests" / "crash" / f"test_{name}.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "-rP", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
    )
    assert done.returncode == 0, done.stdout
    ran = [line for line in done.stdout.splitlines() if line.startswith("RUN")]
    assert len(ran) == 12
    assert len(set(ran)) == 1
