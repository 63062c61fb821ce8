"""Takes the pictures of the documentation from a bridge with weeks of traffic: `make pictures`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright
from weeks import plant_findings, weeks

from conftest import MISSING, chromium

PICTURES = {
    "sources": ("/", 940),
    "cohorts": ("/cohorts?metric=ltv", 1180),
    "differences": ("/differences", 1180),
    "flow": ("/flow", 900),
    "events": ("/events", 900),
}
WIDTH = 1360


async def take(folder: Path) -> None:
    """Take all pictures, in a light dress."""
    path = chromium()
    if path is None:
        sys.exit(f"This {MISSING}.")
    with tempfile.TemporaryDirectory() as directory:
        async with weeks(Path(directory), events=14_000) as bridge, async_playwright() as playwright:
            await plant_findings(bridge)
            browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
            for name, (page_path, height) in PICTURES.items():
                context = await browser.new_context(
                    base_url=bridge.origin, viewport={"width": WIDTH, "height": height}, color_scheme="light"
                )
                page = await context.new_page()
                await page.goto(page_path)
                if name == "flow":
                    await page.wait_for_selector("[data-state=live]")
                await page.screenshot(path=folder / f"console-{name}.png")
                await context.close()
            await browser.close()


if __name__ == "__main__":
    target = Path(__file__).parents[2] / "docs" / "pictures"
    target.mkdir(exist_ok=True)
    asyncio.run(take(target))
