"""How processes share the tests: what is run by one process as a whole, and what begins.

Marks of pytest-xdist could say it beside the tests. But its version 3.8 writes them into an attribute that pytest 9.2
does not read any more, and ignores every one of them without a word.
"""

from __future__ import annotations

from fnmatch import fnmatch

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "tests/crash/*": "machine",
    "tests/e2e/test_outage.py": "machine",
    "tests/browser/*": "browser",
    "tests/contract/test_command_backends.py": "nats",
    "tests/contract/test_inbox.py": "nats",
    "tests/contract/test_jetstream_inbox.py": "nats",
}
"""Which files share a process, by what they would be in each other's way for or what takes long to make: all of the
machine, a browser and weeks of traffic, or three servers."""

WHOLE = {
    "tests/docs/*",
    "tests/e2e/test_cluster.py",
    "tests/e2e/test_console_browser.py",
    "tests/property/test_intake_fuzz.py",
    "tests/unit/test_demo_performance.py",
    "tests/unit/test_export.py",
    "tests/unit/test_traffic.py",
}
"""Files that make something for all their tests, which takes longer than these."""

QUICK = ("tests/golden/", "tests/unit/", "tests/e2e/test_setup.py")
"""Where all cases of a test are run by one process: to hand out each costs more than most of them take."""

FIRST = ("crash", "e2e", "browser", "property", "contract")
"""What takes longest."""


def part_of(nodeid: str) -> str:
    """Return the name of what one process runs: a group of files, a file, a test with all its cases, or one case."""
    path = nodeid.partition("::")[0]
    for pattern, group in TOGETHER.items():
        if fnmatch(path, pattern):
            return group
    if any(fnmatch(path, pattern) for pattern in WHOLE):
        return path
    return nodeid.partition("[")[0] if path.startswith(QUICK) else nodeid


def begin_with_longest(items: list[pytest.Item]) -> None:
    """Put first what takes longest, so that no process is left alone with it."""
    items.sort(key=lambda item: FIRST.index(kind) if (kind := item.path.parent.name) in FIRST else len(FIRST))


class Parts(LoadScopeScheduling):
    """Hands out one part after the other, in the order of the tests."""

    def _split_scope(self, nodeid: str) -> str:
        return part_of(nodeid)
