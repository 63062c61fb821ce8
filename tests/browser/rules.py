"""What holds for every page: the rules of accessibility in two looks, and that all of it is reached by keyboard."""

from __future__ import annotations

from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import Page

LOOKS = [(1440, False), (390, True)]
"""Width, and whether it is dark: colours do not depend on the width, nor the order on the colours."""

NARROWEST = 320
"""A page 1280 wide at 400 %: all of it has to be there without scrolling to the side."""
TABLET = 850
"""About the narrowest at which tables are no cards."""

COVERED = """() => [...document.querySelectorAll("table")].flatMap(table => {
    const name = [...table.querySelectorAll("tbody th")].find(one => getComputedStyle(one).position === "sticky");
    const room = table.parentElement.clientWidth;
    return name && name.offsetWidth > 0.6 * room ? [`${name.offsetWidth} of ${room}: ${name.textContent.trim()}`] : [];
})"""
"""Names of rows that stay in sight and leave no room for figures."""
CUT = """() => [...document.querySelectorAll(".chart text, .kpis .value, .kpis .change")].filter(one => {
    if (!one.checkVisibility()) return false;
    const chart = one.closest("svg"), edge = one.closest(".panel").getBoundingClientRect().right;
    const hides = chart && getComputedStyle(chart).overflow !== "visible" ? chart.getBoundingClientRect().right : edge;
    return one.scrollWidth > one.clientWidth + 1 || one.getBoundingClientRect().right > Math.min(edge, hides) + 1;
}).map(one => one.textContent.trim())"""
"""Marks of axes, headline figures and their changes of which a part is out of sight."""
SQUEEZED = """() => [...document.querySelectorAll(".scroll td, .scroll tbody th")].filter(one => {
    const text = document.createRange();
    text.selectNodeContents(one);
    return one.textContent.trim().length < 160 && text.getBoundingClientRect().height > 8 * 22;
}).map(one => [one.clientWidth, one.textContent.trim()])"""
"""Cells whose few words take more than eight lines, because other columns leave them no room."""

STOPS = "a[href], button, select, summary, textarea, input:not([type=hidden]), [tabindex='0']"
NUMBER = f"""() => {{
    // Live parts are put in place of themselves while the keys are pressed: the stops are looked for each time.
    const stops = () => [...document.querySelectorAll("{STOPS}")].filter(
        one => one.checkVisibility({{visibilityProperty: true}}) && one.tabIndex >= 0 && !one.disabled);
    window.reached = {{}};
    document.addEventListener("focusin", event => {{
        const one = event.target, at = stops().indexOf(one);
        if (at >= 0) reached[at] ||= getComputedStyle(one).outlineStyle !== "none";
    }});
    document.body.focus();
    return stops().map(one => one.outerHTML.slice(0, 200));
}}"""
AT_ONCE = 8
AXE = AXE_FILE_PATH.read_text()
THIN_OUT = """() => {
    const built = row => [row, ...row.querySelectorAll("*")].map(one => one.tagName + one.getAttribute("class")).join();
    for (const body of document.querySelectorAll("tbody")) {
        const seen = {};
        for (const row of [...body.rows])
            if ((seen[built(row)] = (seen[built(row)] ?? 0) + 1) > 2) row.remove();
    }
}"""
"""Of rows that are made of the same elements and classes two stay: axe would judge hundreds of them alike."""


async def without_violation(page: Page) -> None:
    """Wide and light, narrow and dark: by axe, with everything open; nothing is wider than the screen."""
    await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    for width in (*(width for width, _ in LOOKS), TABLET, NARROWEST):
        await page.set_viewport_size({"width": width, "height": 900})
        wider = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, width
        assert await page.evaluate(COVERED) == [], width
        cut = await page.evaluate(CUT)
        assert cut == [], (width, cut)
        if width >= TABLET:
            squeezed = await page.evaluate(SQUEEZED)
            assert squeezed == [], (width, squeezed)
    await page.evaluate(THIN_OUT)
    # The policy of the pages forbids scripts of others; the debugger's own are not bound by it.
    await page.evaluate(AXE)
    for width, dark in LOOKS:
        await page.set_viewport_size({"width": width, "height": 900})
        await page.emulate_media(color_scheme="dark" if dark else "light")
        found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        broken = [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in found["violations"]]
        assert broken == [], (width, dark)


async def by_keyboard(page: Page) -> None:
    """The tab key leads to every stop, from the first to the last, and no trap is in between; each shows its focus."""
    stops = await page.evaluate(NUMBER)
    for _ in range(0, len(stops) * 2 + 20, AT_ONCE):  # the fields of a date are several stops
        for _ in range(AT_ONCE):
            await page.keyboard.press("Tab")
        reached = await page.evaluate("reached")
        if len(reached) == len(stops):
            break
    assert [stop for at, stop in enumerate(stops) if str(at) not in reached] == []
    assert [stop for at, stop in enumerate(stops) if not reached[str(at)]] == []
