"""Rules for all tests."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Turn the skip of a test that needs a server into a failure where CI is set: there it must not pass unseen."""
    report = yield
    if (
        report.skipped
        and os.environ.get("CI")
        and item.get_closest_marker("service")
        and not hasattr(report, "wasxfail")
    ):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} needs a server and was skipped, which is a failure with CI set. {reason}"
    return report
