"""A browser for the tests: the distribution's Chromium, driven by Playwright.

Debian: `apt-get install chromium-headless-shell`, which opens a page in a fifth of the time, or `chromium`; Ubuntu:
`apt-get install chromium`; Fedora: `dnf install chromium`; macOS: any Chromium or Chrome, named by FLYBRIDGE_CHROMIUM.
Without one these tests are skipped, and with CI set they fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright
from weeks import Weeks, weeks

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "needs a browser: apt-get install chromium, or name one in FLYBRIDGE_CHROMIUM"


def chromium() -> str | None:
    """Return the path of a browser; None if there is none."""
    named = os.environ.get("FLYBRIDGE_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Return a browser without a window."""
    path = chromium()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    async with async_playwright() as playwright:
        # Containers have no sandbox of the kind that Chromium wants, and only our own pages are shown.
        running = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield running
        await running.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bridge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Weeks]:
    """Return a bridge that has taken weeks of traffic, with its console."""
    folder: Path = tmp_path_factory.mktemp("weeks")
    async with weeks(folder, events=1_600) as found:
        yield found
