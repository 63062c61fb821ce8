"""The console in a browser: figures against the generator's truth, and pages that everybody can use."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, Route, expect
from rules import CUT, by_keyboard, without_violation
from weeks import DAYS, Weeks, plant_findings, weeks

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

PAGES = {
    "sources": "/",
    "sources of an install day": "/?booking=install&view=unified&media_source=Facebook+Ads",
    "sources, nothing there": "/?from=2020-01-01&to=2020-01-31",
    "cohorts": "/cohorts",
    "cohorts by day": "/cohorts?metric=roas&grain=day&length=14",
    "differences": "/differences",
    "differences by source": "/differences?by=media_source&event=event:af_purchase",
    "flow": "/flow",
    "account": "/account",
    "a question that can't be answered": "/?period=never",
}


LINES = """one => {
    const range = document.createRange(), lines = [];
    let bottom = 0;
    for (const node of [...one.childNodes].filter(each => each.nodeType === Node.TEXT_NODE))
        for (let at = 0; at < node.data.trimEnd().length; at++) {
            range.setStart(node, at);
            range.setEnd(node, at + 1);
            const box = range.getBoundingClientRect();
            if (box.top >= bottom) lines.push(""), bottom = box.bottom;
            lines[lines.length - 1] += node.data[at];
        }
    return lines;
}"""
"""What stands in each line of a headline figure, without its unit."""


@asynccontextmanager
async def opened(browser: Browser, bridge: Weeks, path: str, *, script: bool = True) -> AsyncIterator[Page]:
    """Open a page; what its scripts complain about fails the test."""
    context = await browser.new_context(
        base_url=bridge.origin, viewport={"width": 1440, "height": 900}, java_script_enabled=script,
        color_scheme="light", accept_downloads=True,
    )  # fmt: skip
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda problem: complaints.append(str(problem)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
    await page.goto(path)
    yield page
    assert complaints == []
    await context.close()


def number(text: str) -> float:
    """Return the number of a card or cell."""
    return float(text.split(maxsplit=1)[0].replace(",", ""))


async def card(page: Page, title: str) -> float:
    """Return a headline figure."""
    named = page.locator(".what").filter(has_text=re.compile(rf"^\s*{title}\s*\?"))
    return number(await page.locator(".kpis li").filter(has=named).locator(".value").inner_text())


@pytest.mark.parametrize(("period", "days"), [("7d", 7), ("28d", 28)])
@pytest.mark.parametrize("app", [None, "shop-ios"])
async def test_headline_figures_are_the_truth(browser, bridge, period, days, app):
    """Installs, spend, revenue and what is made of them, for all apps and for one."""
    async with opened(browser, bridge, f"/?period={period}" + (f"&app={app}" if app else "")) as page:
        found = {title: await card(page, title) for title in ("Installs", "Spend", "Revenue", "eCPI", "ROAS")}
    installs, spend = bridge.total(bridge.installs, days, app=app), bridge.total(bridge.spend, days, app=app)
    paid = installs - bridge.total(bridge.installs, days, app=app, source="organic")
    revenue = bridge.total(bridge.revenue, days, app=app)
    attributed = revenue - bridge.total(bridge.revenue, days, app=app, source="organic")
    assert found["Installs"] == installs > 0
    assert found["Spend"] == pytest.approx(spend, abs=0.5)
    assert found["eCPI"] == pytest.approx(spend / paid, abs=0.01)
    assert found["Revenue"] == pytest.approx(revenue, rel=0.002)
    assert found["ROAS"] == pytest.approx(100 * attributed / spend, rel=0.003)


async def test_a_large_headline_figure_is_broken_after_a_comma_only(tmp_path, browser):
    """Amounts in rupiah or yen have ten digits and more: two lines of any other digits are two numbers."""

    def dearer(body: bytes) -> bytes:
        return re.sub(rb'("event_revenue(?:_usd)?": ?"?)(\d)', rb"\g<1>12345678\2", body)

    async with weeks(tmp_path, events=600, changed=dearer) as found, opened(browser, found, "/") as page:
        value = page.locator(".kpis li", has_text="Revenue").locator(".value")
        assert number(await value.inner_text()) > 10**9
        for width in (1360, 390, 320):
            await page.set_viewport_size({"width": width, "height": 900})
            assert await page.evaluate(CUT) == [], width
            lines = await value.evaluate(LINES)
            assert [line[-1] for line in lines[:-1]] == [","] * (len(lines) - 1), (width, lines)


async def test_the_table_has_each_source_and_its_sum(browser, bridge):
    """Organic and restricted as rows of their own, with a word on what they are."""
    async with opened(browser, bridge, "/?period=28d") as page:
        rows = page.locator("#sources-table tbody tr.depth-0")
        found = {}
        for row in await rows.all():
            name = (await row.locator("th").inner_text()).strip().splitlines()[0].strip()
            found[name.lower()] = number((await row.locator("td").first.inner_text()).strip())
        total = number(await page.locator("#sources-table tfoot td").first.inner_text())
        await expect(page.locator("#sources-table tbody")).to_contain_text("came without an ad")
        await expect(page.locator("#sources-table tbody")).to_contain_text("may not be named")
    truth = {source for (_, _, source) in bridge.installs}
    for source in truth:
        assert found[source.lower()] == bridge.total(bridge.installs, 28, source=source)
    assert total == sum(found.values()) == bridge.total(bridge.installs, 28)


async def test_a_click_goes_down_to_campaigns_and_back(browser, bridge):
    """The filter stands in the address and can be taken off."""
    async with opened(browser, bridge, "/?period=28d") as page:
        await page.get_by_role("link", name="Facebook Ads").first.click()
        await expect(page).to_have_url(f"{bridge.origin}/?media_source=Facebook+Ads")
        assert await card(page, "Installs") == bridge.total(bridge.installs, 28, source="Facebook Ads")
        await expect(page.locator("#table")).to_have_text("By campaign")
        await page.get_by_role("link", name="Remove the filter Source Facebook Ads").click()
        assert await card(page, "Installs") == bridge.total(bridge.installs, 28)


async def test_one_source_is_not_said_to_have_brought_the_most(browser, bridge):
    """Of several it is."""
    for path, said in (("/", 1), ("/?media_source=Facebook+Ads", 0)):
        async with opened(browser, bridge, path) as page:
            await expect(page.get_by_text("in all.").first).to_be_visible()
            assert await page.get_by_text("brought the most").count() == said, path


async def test_organic_can_be_left_out(browser, bridge):
    """From cards and table alike."""
    async with opened(browser, bridge, "/?period=28d&organic=off") as page:
        organic = bridge.total(bridge.installs, 28, source="organic")
        assert await card(page, "Installs") == bridge.total(bridge.installs, 28) - organic
        await expect(page.locator("#sources-table")).not_to_contain_text("Organic")


async def test_the_table_is_sorted_and_searched_without_reloading(browser, bridge):
    """And the address says how, so that it can be sent to somebody."""
    async with opened(browser, bridge, "/?period=28d") as page:
        await page.evaluate("window.same = true")
        installs = page.locator("#sources-table tbody tr.depth-0:not([hidden]) td:nth-of-type(1)")
        await page.locator("th[data-key=installs] button.sort").click()
        await page.locator("th[data-key=installs] button.sort").click()
        shown = [number(text) for text in await installs.all_inner_texts()]
        assert shown == sorted(shown)
        await page.get_by_label("Search the table").fill("tiktok")
        assert await installs.count() == 1
        await page.get_by_role("button", name="Open tiktokglobal_int").click()
        assert await page.locator("#sources-table tbody tr.depth-1:not([hidden])").count() > 0
        assert "search=tiktok" in page.url
        assert "sort=installs" in page.url
        assert await page.evaluate("window.same") is True
        await page.reload()
        assert await installs.count() == 1


async def test_a_filter_is_asked_for_as_soon_as_it_is_chosen(browser, bridge):
    """Without the button, which is for those without a script."""
    async with opened(browser, bridge, "/") as page:
        await page.get_by_label("App", exact=True).select_option("shop-android")
        await page.wait_for_url("**app=shop-android**")
        assert await card(page, "Installs") == bridge.total(bridge.installs, 28, app="shop-android")


async def test_every_metric_is_explained_one_click_away(browser, bridge):
    """In words and as a formula."""
    async with opened(browser, bridge, "/") as page:
        await page.locator(".kpis").get_by_label("What is ROAS?").click()
        await expect(page.locator("#about-roas")).to_be_visible()
        await expect(page.locator("#about-roas")).to_contain_text("revenue without organic / spend")


async def test_csv_has_the_figures_of_the_page(browser, bridge):
    """Plain numbers, by source, campaign and country."""
    async with opened(browser, bridge, "/?period=28d") as page:
        address = await page.get_by_role("link", name="Download CSV").get_attribute("href")
        answer = await page.request.get(address)
        assert "attachment" in answer.headers["content-disposition"]
        rows = list(csv.DictReader(io.StringIO(await answer.text())))
    assert sum(float(row["installs"]) for row in rows) == bridge.total(bridge.installs, 28)
    assert {row["media_source"] for row in rows if row["installs"] != "0"} == {s for _, _, s in bridge.installs}


async def test_charts_have_the_table_that_they_are_made_of(browser, bridge):
    """The columns of the first chart add up to the truth of each day."""
    async with opened(browser, bridge, "/?period=28d") as page:
        await page.locator(".figure").first.get_by_text("Show as a table").click()
        rows = await page.locator(".figure").first.locator("tbody tr").all()
        assert len(rows) == 28
        for at, row in enumerate(rows):
            day = bridge.today - 28 + at
            truth = sum(n for (_, of, _), n in bridge.installs.items() if of == day)
            assert number((await row.locator("td").all_inner_texts())[-1]) == truth


async def test_cohorts_begin_with_all_and_leave_open_days_empty(browser, bridge):
    """The installs of all rows are the truth, D0 is 100 %, and what is not over is said to be."""
    async with opened(browser, bridge, "/cohorts?grain=day&app=shop-ios&period=28d&length=30") as page:
        rows = page.locator(".heat tbody tr")
        sizes = [number(await row.locator("td").first.inner_text()) for row in await rows.all()]
        assert sum(sizes) == bridge.total(bridge.installs, 28, app="shop-ios")
        yesterday = rows.first.locator("td")
        await expect(yesterday.nth(1)).to_have_text("100.0 %")
        await expect(yesterday.nth(3)).to_have_text("not over")


@pytest.mark.parametrize("grain", ["day", "week", "month"])
async def test_the_last_row_of_cohorts_is_the_curve_of_all(browser, bridge, grain):
    """A page that gives one figure twice gives the same, however installs are put together."""
    async with opened(browser, bridge, f"/cohorts?metric=ltv&app=shop-ios&length=30&grain={grain}") as page:
        cells = await page.locator(".heat tfoot td").all_inner_texts()
        said = await page.locator(".figure .note").first.inner_text()
    value, installs = cells[-1].split()
    assert said == f"{value} on day 30, which is over for {installs} installations."


async def test_differences_name_what_was_planted(browser, bridge):
    """Twelve installs are missing in each app: unexplained, in the waterfall, in the table and as a finding."""
    await plant_findings(bridge)
    async with opened(browser, bridge, "/differences") as page:
        await expect(page.locator(".waterfall tr.unexplained td").first).to_have_text("-24")
        await expect(page.locator("#differences-table tfoot .flag")).to_have_text("24")
        bases = await page.locator(".waterfall tr.base td:nth-of-type(1)").all_inner_texts()
        truth = bridge.total(bridge.installs, 7)
        assert [number(text) for text in bases][:2] == [truth + 24, truth]
        unexplained = page.locator(".finding", has_text="A difference that nothing explains")
        assert await unexplained.count() == 2
        await expect(page.get_by_text("3 days of this period can still change at AppsFlyer.")).to_be_visible()


async def test_the_first_page_names_what_is_worth_a_look(browser, bridge):
    """Whoever opens the console need not know that it is found on another page."""
    await plant_findings(bridge)
    async with opened(browser, bridge, "/?app=shop-ios") as page:
        await expect(page.locator("p.bad")).to_contain_text("A difference that nothing explains (shop-ios).")
        await without_violation(page)
    async with opened(browser, bridge, "/") as page:
        await expect(page.locator("p.bad")).to_contain_text("nothing explains (shop-android, shop-ios).")
        await page.get_by_role("link", name="See the figures, and what to do").click()
        await expect(page.locator("h1")).to_have_text("Differences")


async def test_the_flow_goes_on_without_reloading(browser, bridge):
    """Rates are known after a second look."""
    async with opened(browser, bridge, "/flow") as page:
        await expect(page.locator("[data-live-part]")).to_have_attribute("data-state", "live", timeout=15_000)
        await expect(page.locator(".kpis li").first).to_contain_text("over", timeout=15_000)


async def test_the_flow_leaves_the_focus_where_it_is(browser, bridge):
    """Also if it came while the part was asked for."""
    asked, answers = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        asked.set()
        await answers.wait()
        await route.continue_()

    async with opened(browser, bridge, "/flow") as page:
        await page.route("**/flow/live", late)
        async with asyncio.timeout(20):
            await asked.wait()
        link = page.locator("[data-live-part] a").first
        await link.focus()
        async with page.expect_response("**/flow/live"):
            answers.set()
        await expect(page.locator("[data-live-part]")).to_have_attribute("data-state", "live", timeout=15_000)
        await expect(link).to_be_focused()


@pytest.mark.parametrize("name", PAGES)
async def test_every_page_is_for_everybody(browser, bridge, name):
    """By axe, in two looks, and by keyboard; nothing is wider than the screen."""
    async with opened(browser, bridge, PAGES[name]) as page:
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        await by_keyboard(page)
        await without_violation(page)


@pytest.mark.parametrize("name", PAGES)
async def test_every_page_can_be_read_without_a_script(browser, bridge, name):
    """All there is to read is there; what needs the script is not."""
    async with opened(browser, bridge, PAGES[name], script=False) as page:
        await expect(page.locator("h1")).to_be_visible()
        assert await page.locator("button.sort, button.toggle, .tip").count() == 0
        assert not await page.locator("[data-search]").first.is_visible()


async def test_paper_has_the_figures_and_not_the_controls(browser, bridge):
    """As printed: no navigation and no filters, the whole table."""
    async with opened(browser, bridge, "/") as page:
        await page.emulate_media(media="print")
        await expect(page.locator(".side")).to_be_hidden()
        await expect(page.locator(".filters")).to_be_hidden()
        await expect(page.locator(".presets")).to_be_hidden()
        await expect(page.locator("#sources-table tfoot")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/cohorts?metric=roas&length=90", "/differences", "/account"])
async def test_a_sheet_of_paper_is_no_phone(browser, bridge, path):
    """A4 upright is as narrow as a tablet: tables stay tables, all of their columns fit, and ink is dark."""
    async with opened(browser, bridge, path) as page:
        await page.set_viewport_size({"width": 718, "height": 1000})
        await page.emulate_media(media="print", color_scheme="dark")
        shown = "[...document.querySelectorAll('table')].filter(one => one.checkVisibility())"
        assert set(await page.evaluate(f"{shown}.map(one => getComputedStyle(one).display)")) == {"table"}
        assert await page.evaluate("document.documentElement.scrollWidth") <= 718
        assert await page.evaluate("getComputedStyle(document.body).color") == "rgb(23, 27, 33)"


async def test_there_are_weeks_to_look_at(bridge):
    """The truth itself covers the periods that the tests ask about."""
    days = {day for _, day, _ in bridge.installs}
    assert len([day for day in days if bridge.today - DAYS <= day < bridge.today]) > 50
