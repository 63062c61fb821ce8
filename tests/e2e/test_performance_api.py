"""Performance over HTTP: behind the console's access rules, and with what to write instead where it has no answer."""

from __future__ import annotations

import csv
import io
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from html import unescape
from typing import Any

import pytest

from flybridge.config.console import Console
from flybridge.errors import InboxUnavailable
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.insight.metrics import METRICS
from flybridge.insight.performance import AppScope
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import DAY_MS, Envelope, Media, Source
from flybridge.sealing import Seal
from flybridge.store.performance import CostRow, date_of
from flybridge.store.sqlite.store import SqliteStore
from flybridge.system.secret import Secret
from flybridge.testing.clocks import ManualClock
from flybridge.web.console.app import ConsoleApp
from flybridge.web.console.figures import MAX_ROWS, MAX_UNDER
from flybridge.web.console.gate import ConsoleGate
from flybridge.web.console.reading import ConsoleReader
from flybridge.web.console.site import Site

NOW_MS = 1_780_000_000_000
TODAY = NOW_MS // DAY_MS


class NoInbox:
    """An inbox that nobody asks."""

    async def depth(self, _: int) -> None:
        """Be away."""
        raise InboxUnavailable("It is away.")


async def filed(store: SqliteStore, messages: Sequence[Mapping[str, Any]]) -> None:
    """File messages as those of the app."""
    flow = Flow({"shop": AppFlow(Rules(app="shop", platform="android"))}, Keyring(b"secret"))
    envelopes = [
        Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, json.dumps(one).encode(), f"{one['appsflyer_id']}-{number}")
        for number, one in enumerate(messages)
    ]
    await store.file(flow.filings(envelopes), NOW_MS)


@pytest.fixture
async def store(tmp_path) -> AsyncIterator[SqliteStore]:
    """Return a store that has counted one install and one purchase a week ago."""
    store = SqliteStore(tmp_path / "store.db", Seal(b"secret"))
    await store.open()
    came = {"install_time": f"{date_of(TODAY - 7)} 10:00:00", "appsflyer_id": "1-1", "media_source": "Facebook Ads"}
    await filed(store, [
        came | {"event_name": "install", "conversion_type": "install", "event_time": came["install_time"]},
        came
        | {
            "event_name": "af_purchase", "event_time": f"{date_of(TODAY - 6)} 11:00:00", "event_revenue_usd": 12.5,
        },
    ])  # fmt: skip
    yield store
    await store.close()


class Web:
    """The console, asked from this machine."""

    def __init__(
        self,
        store: SqliteStore,
        password: bytes | None = None,
        *,
        apps: int = 1,
        zone: str = "UTC",
        currencies: Sequence[str] = ("USD", "USD"),
    ) -> None:
        named = list(zip(("shop", "other"), currencies, strict=True))[:apps]
        scopes = [AppScope(name, currency, {}, "android", TODAY, zone) for name, currency in named]
        console = Console(password=Secret(password.decode()) if password is not None else None)
        clock = ManualClock(NOW_MS)
        gate = ConsoleGate(console, store, clock, b"a secret of sixteen characters")
        reader = ConsoleReader(NoInbox(), store, clock)
        self.console = ConsoleApp(Site(reader=reader, gate=gate, windows={}, scopes_at=lambda _: scopes))

    async def get(self, path: str, query: str = "", auth: str = "") -> tuple[int, Any]:
        """Return status and body."""
        status, kind, body = await self.answer(path, query, auth)
        assert kind == b"application/json"
        return status, json.loads(body)

    async def answer(self, path: str, query: str = "", auth: str = "") -> tuple[int, bytes, bytes]:
        """Return status, type and body."""
        sent: list[dict[str, Any]] = []
        headers = [(b"host", b"localhost")]
        if auth:
            headers.append((b"authorization", b"Basic " + b64encode(auth.encode())))
        scope = {
            "type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": headers,
            "client": ("127.0.0.1", 9), "root_path": "", "scheme": "http", "server": ("localhost", 80),
        }  # fmt: skip

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b""}

        await self.console(scope, receive, send)
        kind = dict(sent[0]["headers"])[b"content-type"]
        return sent[0]["status"], kind, b"".join(message.get("body", b"") for message in sent[1:])


async def test_the_answer_has_rows_and_a_total(store):
    """Plain numbers, by name; what is not known is null."""
    status, found = await Web(store).get("/api/v1/performance", "by=source,country&compare=1")
    assert status == 200
    assert (found["to"], found["days"], found["complete_days"]["7"]) == (date_of(TODAY - 1).isoformat(), 28, 21)
    (row,) = found["rows"]
    assert set(row) == {"media_source", "country", "currency", *METRICS}
    assert (row["media_source"], row["country"], row["installs"], row["revenue"]) == ("Facebook Ads", None, 1, 12.5)
    assert (row["spend"], row["arpu_d1"], found["total"]["installs"]) == (None, 12.5, 1)
    assert found["before"]["rows"] == []


async def test_cohorts_are_of_one_app(store):
    """If there are several, one has to be named."""
    web = Web(store, apps=2)
    assert (await web.get("/api/v1/cohorts"))[0] == 400
    _, found = await web.get("/api/v1/cohorts", "app=shop&metric=ltv&by=source")
    ((cohort),) = found["cohorts"]
    assert (cohort["date"], cohort["media_source"], cohort["installs"]) == (
        date_of(TODAY - 7).isoformat(),
        "Facebook Ads",
        1,
    )
    assert (cohort["values"][:3], cohort["values"][6:8]) == ([0.0, 12.5, 12.5], [12.5, None])


@pytest.mark.parametrize(("horizon", "shown", "is_compared"), [(0, "60.00", True), (3, "42.50*", False)])
async def test_a_sum_without_its_last_days_is_not_compared_with_a_whole_one(store, horizon, shown, is_compared):
    """It would be less whatever happened. It is marked, as in the table."""
    for days in range(1, 15):
        at = f"{date_of(TODAY - days)} 10:00:00"
        usual = {"appsflyer_id": f"6-{days}", "media_source": "tiktok", "install_time": at, "event_time": at}
        bought = usual | {"event_name": "af_purchase", "event_revenue_usd": 0 if days == 7 else 10}
        await filed(store, [usual | {"event_name": "install", "conversion_type": "install"}, bought])
    page = (await Web(store).answer("/", f"period=7d&booking=install&horizon={horizon}"))[2].decode()
    card = page[page.index(f"Revenue D{horizon} ") :]
    assert re.findall(r'<p class="value">([^ <]*)', card)[0] == shown
    assert ('class="from"' in card[: card.index("</li>")]) is is_compared


async def test_revenue_and_cost_of_one_install_are_of_the_same_sources(store):
    """On a day for which no install of a source with a known cost is old enough, its revenue is left out, too."""
    came = [("paid", 10, 1.0), ("late", 10, 100.0), ("late", 2, 0.0)]
    for number, (source, days, revenue) in enumerate(came):
        at = f"{date_of(TODAY - days)} 10:00:00"
        usual = {"appsflyer_id": f"5-{number}", "media_source": source, "install_time": at, "event_time": at}
        bought = usual | {"event_name": "af_purchase", "event_revenue_usd": revenue}
        await filed(store, [usual | {"event_name": "install", "conversion_type": "install"}, bought])
    costs = [CostRow("shop", TODAY - days, source, "", "", "USD", spend) for source, days, spend in (
        ("paid", 10, 10_000_000), ("late", 2, 4_000_000),
    )]  # fmt: skip
    await store.replace_costs("shop", "etl", costs, days=(TODAY - 10, TODAY))
    page = (await Web(store).answer("/cohorts", "length=7"))[2].decode()
    table = page[page.index("Revenue and cost of one install") :]
    rows = re.findall(r"<tr><th[^>]*>(D\d)</th><td[^>]*>([^<]*)</td><td[^>]*>([^<]*)</td></tr>", table)
    assert rows[1:3] == [("D1", "33.67", "4.67"), ("D2", "1.00", "10.00")]


@pytest.mark.parametrize(
    "query", ["by=sources", "from=2026-13-01", "from=2026-02-01&to=2026-01-01", "from=2009-01-01", "app=none"]
)
async def test_a_question_that_can_not_be_answered_says_what_to_write(store, query):
    """Not a failure of the server."""
    status, found = await Web(store).get("/api/v1/performance", query)
    assert (status, set(found)) == (400, {"error", "remedy"})


@pytest.mark.parametrize("path", ["/api/v1/performance", "/api/v1/cohorts"])
async def test_it_is_shown_to_whom_the_console_is_shown(store, path):
    """With its password, and without it to nobody."""
    web = Web(store, b"the password")
    assert (await web.get(path))[0] == 401
    assert (await web.get(path, auth="anybody:the password"))[0] == 200


async def test_a_row_leads_to_its_own_figures(store):
    """A campaign below a source to those of that source alone, though another has one of the same name."""
    at = f"{date_of(TODAY - 3)} 10:00:00"
    usual = {"event_name": "install", "conversion_type": "install", "event_time": at, "install_time": at}
    who = [("a", "Same"), ("a", "Same"), ("b", "Same"), ("b", "Other")]
    await filed(store, [
        usual | {"appsflyer_id": f"2-{number}", "media_source": source, "campaign": campaign}
        for number, (source, campaign) in enumerate(who)
    ])  # fmt: skip
    web = Web(store)

    async def page(query: str) -> str:
        status, _, body = await web.answer("/", query)
        assert status == 200
        return body.decode()

    row = re.compile(
        r'class="depth-1">\s*<th[^>]*>\s*(?:<a class="long" href="/\?([^"]*)">)?\s*Same\b.*?</svg>(\d+)', re.DOTALL
    )
    rows = row.findall(await page(""))
    assert sorted(n for _, n in rows) == ["1", "2"]
    for query, n in rows:
        assert f'<p class="value">{n}<' in (await page(unescape(query)))


async def test_a_source_below_its_app_has_the_money_of_that_app(store):
    """Where apps have different currencies only the total has none."""
    web = Web(store, apps=2, currencies=("USD", "EUR"))
    page = (await web.answer("/", "organic=off"))[2].decode()
    money = re.findall(r'data-of="Revenue" data-plain="([^"]*)"', page)
    assert money == ["12.500000", "12.500000"]  # the app, and its source
    assert re.findall(r'class="n[^"]*" data-of="Revenue">([^<]*)<', page) == ["n/a"]


async def test_amounts_of_several_currencies_say_which_they_are_in(store):
    """At the app's row and below the table; and a headline figure that can't be made says why."""
    page = (await Web(store, apps=2, currencies=("USD", "EUR")).answer("/", ""))[2].decode()
    assert re.findall(r'<span class="remark">(money in \w+)</span>', page) == ["money in USD"]
    assert "their money is not added up (EUR: other; USD: shop)." in page
    assert [page.count(f"{why}</p>") for why in ("several currencies", "no costs known yet")] == [2, 2]
    one = (await Web(store).answer("/", ""))[2].decode()
    assert "several currencies" not in one
    assert "money in USD</span>" not in one


async def test_each_row_says_what_its_money_is_in(store):
    """A spreadsheet or program would add euros to dollars, and two long names cut at one length would be one name."""
    campaign = "a campaign whose name is longer than what fits into a row of a table of the console, and goes on"
    paid = [CostRow("shop", TODAY - 1, "Facebook Ads", campaign, "", "USD", 5_000_000)]
    await store.replace_costs("shop", "csv", paid, days=(TODAY - 1, TODAY - 1))
    web = Web(store, apps=2, currencies=("USD", "EUR"))
    _, found = await web.get("/api/v1/performance", "by=source")
    assert {(row["app"], row["currency"]) for row in found["rows"]} == {("shop", "USD")}
    rows = list(csv.DictReader(io.StringIO((await web.answer("/sources.csv"))[2].decode("utf-8-sig"))))
    assert {(row["app"], row["currency"]) for row in rows} == {("shop", "USD")}
    assert {row["campaign"] for row in rows if row["spend"]} == {campaign}
    cohorts = (await web.answer("/cohorts.csv", "app=shop&metric=ltv"))[2].decode("utf-8-sig")
    (first, *_) = csv.DictReader(io.StringIO(cohorts))
    assert (first["app"], first["currency"], first["installs"], first["d1"]) == ("shop", "USD", "1", "12.5")


async def test_a_return_without_a_known_spend_is_no_day_that_is_not_over(store):
    """The one will never be known, the other tomorrow."""
    page = (await Web(store).answer("/cohorts", "metric=roas&grain=day"))[2].decode()
    assert re.findall(r'<td class="n h0">(?=n/a<)', page)
    assert page.count("n/a: no spend is known of days of the row.") == 1
    of_revenue = (await Web(store).answer("/cohorts", "metric=revenue&grain=day"))[2].decode()
    assert ">n/a<" not in of_revenue
    assert of_revenue.count(">not over<") == page.count(">not over<") > 0


async def test_a_period_that_begins_with_a_day_without_a_spend_leaves_its_installs_in_the_return(store):
    """What was reported of the days before and after has that day, too; else the page Sources has another ROAS."""
    days = (TODAY - 8, TODAY - 5)
    spent = [CostRow("shop", day, "Facebook Ads", "", "", "USD", 5_000_000) for day in days]
    await store.replace_costs("shop", "csv", spent, days=(TODAY - 9, TODAY - 1))
    period = f"from={date_of(TODAY - 7).isoformat()}&to={date_of(TODAY - 5).isoformat()}"
    _, cohorts = await Web(store).get("/api/v1/cohorts", f"metric=roas&{period}")
    _, whole = await Web(store).get("/api/v1/performance", period)
    assert (cohorts["counted"][1], cohorts["total"][1]) == (1, whole["total"]["roas_d1"]) == (1, 2.5)
    await store.replace_costs("shop", "csv", spent[1:], days=(TODAY - 9, TODAY - 1))
    _, cohorts = await Web(store).get("/api/v1/cohorts", f"metric=roas&{period}")
    assert cohorts["counted"][1] == 0


async def test_refunds_beyond_the_revenue_pay_nothing_back(store):
    """A share of the cost below 0 would say nothing."""
    day = TODAY - 7
    await store.replace_costs(
        "shop", "csv", [CostRow("shop", day, "Facebook Ads", "", "", "USD", 5_000_000)], days=(day, day)
    )
    page = (await Web(store).answer("/cohorts", "metric=ltv"))[2].decode()
    assert "Paid back on day 1" in page
    refund = {
        "event_name": "refund", "event_time": f"{date_of(day)} 12:00:00", "appsflyer_id": "1-1",
        "install_time": f"{date_of(day)} 10:00:00", "media_source": "Facebook Ads", "event_revenue_usd": -20.0,
    }  # fmt: skip
    await filed(store, [refund] * 3)  # the first two have the receipts of what is filed already
    page = (await Web(store).answer("/cohorts", "metric=ltv"))[2].decode()
    assert "Not paid back by day 6: refunds are more than the revenue." in page


async def test_spend_that_brought_nothing_is_no_row_that_a_long_table_leaves_out(store):
    """It is the smallest by its installs, and the first to be looked for. The others still add up."""
    at = f"{date_of(TODAY - 3)} 10:00:00"
    usual = {"event_name": "install", "conversion_type": "install", "event_time": at, "install_time": at}
    await filed(store, [
        usual | {"appsflyer_id": f"4-{number}", "media_source": "Ads", "campaign": f"campaign-{number}"}
        for number in range(MAX_ROWS + 30)
    ])  # fmt: skip
    day = TODAY - 3
    spent = [CostRow("shop", day, "Ads", f"vain-{n}", "", "USD", n * 1_000_000) for n in range(1, MAX_ROWS)]
    await store.replace_costs("shop", "csv", spent, days=(day, day))
    for query, most in (("media_source=Ads", MAX_ROWS), ("", MAX_UNDER)):
        page = (await Web(store).answer("/", query))[2].decode()
        shown = re.findall(r">(vain-[0-9]+)<", page)
        assert shown == [f"vain-{n}" for n in range(MAX_ROWS - 1, MAX_ROWS - 1 - most // 5, -1)]
        assert page.count(">campaign-") == most - most // 5
        assert f">{MAX_ROWS + 30 + MAX_ROWS - 1 - most} more<" in page


async def test_the_search_finds_what_a_long_table_leaves_out(store):
    """By source and by campaign below one. Without a search the largest stand in the table, and how many do not."""
    at = f"{date_of(TODAY - 3)} 10:00:00"
    usual = {"event_name": "install", "conversion_type": "install", "event_time": at, "install_time": at}
    installs = [(f"source-{number}", f"campaign-{number}") for number in range(MAX_ROWS + 30)]
    installs += [("source-0", f"more-{number}") for number in range(MAX_UNDER + 5)]
    await filed(store, [
        usual | {"appsflyer_id": f"3-{number}", "media_source": source, "campaign": campaign}
        for number, (source, campaign) in enumerate(installs)
    ])  # fmt: skip
    web = Web(store)

    async def page(query: str = "") -> str:
        return (await web.answer("/", query))[2].decode()

    whole = await page()
    assert "31 smaller rows stand together in one; the search finds them when Enter is pressed" in whole
    left_out = [campaign for source, campaign in installs if f">{source}<" not in whole or f">{campaign}<" not in whole]
    assert len(left_out) == 31 + 6
    for campaign in (left_out[0], left_out[-1]):
        assert f">{campaign}<" in await page(f"search={campaign.upper()}+")
