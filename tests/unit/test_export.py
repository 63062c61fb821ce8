"""What is exported can be computed with by others: DuckDB finds the same figures in it, and in the raw messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from math import isclose
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow.parquet
import pytest
import pytest_asyncio
from typer.testing import CliRunner

from flybridge.cli.app import app
from flybridge.config.settings import loads
from flybridge.insight.metrics import HORIZONS, METRICS
from flybridge.insight.performance import Question, read_performance
from flybridge.operations.export import FILES, export
from flybridge.records import Envelope, Media, Source
from flybridge.sandbox.traffic.traffic import START_MS, TrafficApp, TrafficMessage, TrafficOptions, generate
from flybridge.sealing import Seal
from flybridge.store.performance import CostRow, date_of, day_number
from flybridge.store.sqlite.store import SqliteStore
from flybridge.wiring import build_flow, scopes_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY_MS = 86_400_000
NOW_MS = START_MS + 40 * DAY_MS
CONFIG = """
secret = "0123456789abcdef0123456789abcdef"
data_dir = "."
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
appsflyer.push_token = "push-token"
amplitude.api_key = "key"
insight.timezone = "{zone}"
insight.currency = "{currency}"
insight.rates = {{ {rates} }}
"""
OPTIONS = TrafficOptions(span_ms=30 * DAY_MS, comes_back=0.5, odd=0.0, malformed=0.01)


class Settings(NamedTuple):
    """What differs from export to export."""

    seed: int
    zone: str = "UTC"
    currency: str = "USD"
    rates: Mapping[str, float] = {}


EVERY = (
    Settings(6),
    Settings(21, "Europe/Berlin", "EUR", {"GBP": 1.165, "JPY": 0.0061}),
    Settings(34, "America/New_York", "JPY", {"USD": 151.5}),
)


class Place(NamedTuple):
    """A directory, what was written there, and what is shown by source."""

    directory: Path
    written: Mapping[str, int]
    shown: Mapping[str, Mapping[str, Any]]
    settings: Settings
    messages: Sequence[TrafficMessage]
    today: date


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=EVERY, ids=lambda one: f"{one.currency}")
async def place(request, tmp_path_factory):
    """A directory with a store in which traffic is filed, its export, and the raw messages as NDJSON."""
    chosen: Settings = request.param
    directory = tmp_path_factory.mktemp("place")
    rates = ", ".join(f"{code} = {rate}" for code, rate in chosen.rates.items())
    text = CONFIG.format(zone=chosen.zone, currency=chosen.currency, rates=rates)
    (directory / "flybridge.toml").write_text(text)
    config = loads(text, directory, {})
    messages = list(generate(chosen.seed, 1_500, [TrafficApp("shop", "android", "com.example.shop")], OPTIONS))
    flow, store = build_flow(config), SqliteStore(directory / "store.db", Seal(*config.secrets))
    await store.open()
    for start in range(0, len(messages), 100):
        filings = [
            flow.filing(Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, message.body, f"r{start}-{number}"))
            for number, message in enumerate(messages[start : start + 100])
        ]
        await store.file(filings, NOW_MS)
    day = day_number(date(2026, 1, 5))
    costs = [
        CostRow("shop", day + late, source, "", "DE", chosen.currency, 12_500_000 * late, 10 + late, impressions)
        for late in range(1, 28)
        for source, impressions in (("Facebook Ads", None), ("tiktokglobal_int", 400 * late))
    ]
    await store.replace_costs("shop", "csv", costs, days=(day, day + 28))
    scope = scopes_of(config, NOW_MS)[0]
    written = await export(store, [scope], directory / "out")
    raw = [json.loads(message.body) for message in messages]
    (directory / "raw.ndjson").write_text("\n".join(json.dumps(one) for one in raw if isinstance(one, dict)))
    answer = await read_performance(store, [scope], Question(0, scope.today + 365, ("source",)))
    await store.close()
    shown = {row.labels["media_source"]: row.as_dict() for row in answer.rows}
    return Place(directory, written, shown, chosen, messages, date_of(scope.today))


def amount(settings: Settings) -> str:
    """Return SQL for the amount of an event in the app's currency, null if there is no rate."""
    known = [f"WHEN event_revenue_currency = '{settings.currency}' THEN CAST(event_revenue AS DOUBLE)"]
    known += [f"WHEN event_revenue_currency = '{code}' THEN CAST(event_revenue AS DOUBLE) * {rate}"
              for code, rate in settings.rates.items()]  # fmt: skip
    usd = 1.0 if settings.currency == "USD" else settings.rates.get("USD")
    if usd is not None:
        known.append(f"ELSE CAST(event_revenue_usd AS DOUBLE) * {usd}")
    return f"CASE {' '.join(known)} END"


@pytest.fixture
def db(place):
    """DuckDB with the exported files, and each message once, as AppsFlyer counts it, as `raw`."""
    with duckdb.connect() as connection:
        for name in FILES:
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM '{place.directory}/out/{name}.parquet'")
        connection.execute(
            f"""CREATE TABLE raw AS
                SELECT DISTINCT event_name, event_time, appsflyer_id, media_source, campaign, country_code,
                       {amount(place.settings)} AS amount, CAST(event_revenue AS DOUBLE) AS paid,
                       CAST(timezone('{place.settings.zone}', timezone('UTC', CAST(event_time AS TIMESTAMP))) AS DATE)
                           AS day,
                       event_name IN ('install', 'reinstall', 're-engagement', 're-attribution') AS is_conversion
                FROM read_json('{place.directory}/raw.ndjson', format='newline_delimited', union_by_name=true,
                               sample_size=-1, columns={{event_name: 'VARCHAR', event_time: 'VARCHAR',
                               appsflyer_id: 'VARCHAR', media_source: 'VARCHAR', campaign: 'VARCHAR',
                               country_code: 'VARCHAR', event_revenue: 'VARCHAR', event_revenue_currency: 'VARCHAR',
                               event_revenue_usd: 'VARCHAR', is_primary_attribution: 'VARCHAR'}})
                WHERE event_name IS NOT NULL AND coalesce(is_primary_attribution, 'true') <> 'false'"""
        )
        yield connection


def agree(found, shown, name: str) -> int:
    """Compare figures by source. Returns how many are not 0."""
    by_source = dict(found)
    for source, row in shown.items():
        true = row[name]
        if true is None:
            assert by_source.get(source) is None, (source, name)
        else:
            assert isclose(by_source.get(source) or 0, true, rel_tol=1e-9, abs_tol=1e-4), (source, name)
    return sum(bool(value) for value in by_source.values())


def counted(kinds: str) -> str:
    return f"SELECT media_source, sum(n) FROM performance WHERE kind IN ({kinds}) GROUP BY 1"


WHOLE = """WITH counts AS (
               SELECT media_source, coalesce(sum(n) FILTER (kind = 'install'), 0) AS installs,
                      coalesce(sum(n) FILTER (kind = 'install' AND media_source <> 'organic'), 0) AS attributed,
                      sum(reached) FILTER (kind = 'install') AS reached,
                      sum(revenue) FILTER (event IS NOT NULL AND media_source <> 'organic') AS paid_for
               FROM performance GROUP BY 1),
           spent AS (SELECT media_source, sum(spend) AS spend, sum(clicks) AS clicks, sum(impressions) AS impressions
                     FROM costs GROUP BY 1)
           SELECT media_source, {} FROM counts FULL JOIN spent USING (media_source)"""
FROM_EXPORT = {
    "installs": counted("'install'"),
    "conversions": counted("'install', 're-engagement', 're-attribution'"),
    "conversions_user_acquisition": counted("'install'"),
    "conversions_retargeting": counted("'re-engagement', 're-attribution'"),
    "reinstalls": counted("'reinstall'"),
    "re_engagements": counted("'re-engagement'"),
    "re_attributions": counted("'re-attribution'"),
    "skad_installs": counted("'skadnetwork'"),
    "events": counted("'event', 'retargeted-event'"),
    "revenue": "SELECT media_source, sum(revenue) FROM performance WHERE event IS NOT NULL GROUP BY 1",
    "not_converted": "SELECT media_source, sum(not_converted) FROM performance GROUP BY 1",
    "spend": "SELECT media_source, sum(spend) FROM costs GROUP BY 1",
    "clicks": "SELECT media_source, sum(clicks) FROM costs GROUP BY 1",
    "impressions": "SELECT media_source, sum(impressions) FROM costs GROUP BY 1",
    "matched_share": WHOLE.format("reached / nullif(installs, 0)"),
    "ecpi": WHOLE.format("spend / nullif(attributed, 0)"),
    "ctr": WHOLE.format("clicks / nullif(impressions, 0)"),
    "cvr": WHOLE.format("attributed / nullif(clicks, 0)"),
    "ipm": WHOLE.format("1000 * attributed / nullif(impressions, 0)"),
    "roas": WHOLE.format("coalesce(paid_for, 0) / nullif(spend, 0)"),
}
UP_TO = """WITH installed AS (SELECT media_source, sum(n) AS installs FROM performance
                             WHERE kind = 'install' AND date + {day} < $today GROUP BY 1),
                did AS (SELECT media_source, sum(revenue) AS revenue, sum(payers) AS payers,
                               sum(active) FILTER (day = {day}) AS active
                        FROM cohorts WHERE kind = 'install' AND day <= {day} AND install_date + {day} < $today
                        GROUP BY 1),
                spent AS (SELECT media_source, sum(spend) AS spend FROM costs WHERE date + {day} < $today GROUP BY 1),
                both_ AS (SELECT media_source, installs, spend, coalesce(payers, 0) AS payers,
                                 coalesce(active, 0) AS active,
                                 CASE WHEN installs > 0 THEN coalesce(revenue, 0) END AS revenue,
                                 CASE WHEN media_source = 'organic' THEN 0 ELSE coalesce(revenue, 0) END AS paid_for
                          FROM installed FULL JOIN did USING (media_source) FULL JOIN spent USING (media_source))
           SELECT media_source, {} FROM both_"""
for day in HORIZONS:
    FROM_EXPORT |= {
        f"{name}_d{day}": UP_TO.format(value, day=day)
        for name, value in {
            "revenue": "revenue",
            "arpu": "revenue / installs",
            "arppu": "revenue / nullif(payers, 0)",
            "payer_share": "payers / installs",
            "retention": "active / installs",
            "roas": "paid_for / nullif(spend, 0)",
            "roi": "(paid_for - spend) / nullif(spend, 0)",
        }.items()
    }
LIVES = """WITH lives AS (SELECT appsflyer_id, any_value(media_source) AS came_by, min(day) AS installed
                          FROM raw WHERE event_name = 'install' GROUP BY 1)"""


def of_kind(kind: str) -> str:
    return f"SELECT media_source, count(*) FROM raw WHERE event_name = '{kind}' GROUP BY 1"


FROM_RAW = {
    "installs": of_kind("install"),
    "reinstalls": of_kind("reinstall"),
    "re_engagements": of_kind("re-engagement"),
    "re_attributions": of_kind("re-attribution"),
    "events": "SELECT media_source, count(*) FROM raw WHERE NOT is_conversion GROUP BY 1",
    "revenue": "SELECT media_source, sum(amount) FROM raw WHERE NOT is_conversion GROUP BY 1",
    "not_converted": "SELECT media_source, count(*) FROM raw WHERE paid <> 0 AND amount IS NULL GROUP BY 1",
}
for day in HORIZONS:
    known = f"FROM lives JOIN raw USING (appsflyer_id) WHERE installed + {day} < $today GROUP BY 1"
    people = "count(DISTINCT appsflyer_id)"
    FROM_RAW |= {
        f"{name}_d{day}": f"{LIVES} SELECT came_by, {value} {known}"
        for name, value in {
            "revenue": f"coalesce(sum(amount) FILTER (day - installed <= {day}), 0)",
            "retention": f"{people} FILTER (greatest(day - installed, 0) = {day}) / {people}",
            "payer_share": f"{people} FILTER (day - installed <= {day} AND paid > 0) / {people}",
        }.items()
    }


def asked(db, query: str, today: date):
    return db.execute(query, {"today": today} if "$today" in query else {}).fetchall()


async def test_another_database_computes_the_same_from_the_export(place, db):
    """Every metric that there is, from the Parquet files alone."""
    assert set(FROM_EXPORT) == set(METRICS)
    told = {name: agree(asked(db, query, place.today), place.shown, name) for name, query in FROM_EXPORT.items()}
    empty = {name for name, n in told.items() if not n and not name.endswith(("_d30", "_d90"))}
    assert empty <= {"skad_installs", "not_converted"}


async def test_another_database_computes_the_same_from_the_raw_messages(place, db):
    """What messages tell, without anything of flybridge's."""
    told = {name: agree(asked(db, query, place.today), place.shown, name) for name, query in FROM_RAW.items()}
    empty = {name for name, n in told.items() if not n and not name.endswith(("_d30", "_d90"))}
    assert empty <= {"not_converted"}
    assert (told["not_converted"] > 0) == ("USD" not in {place.settings.currency, *place.settings.rates})


async def test_every_message_is_in_the_ledger_of_the_export(place, db):
    assert asked(db, "SELECT count(*) FROM ledger", place.today) == [(len(place.messages),)]
    assert {outcome for (outcome,) in asked(db, "SELECT DISTINCT outcome FROM ledger", place.today)} >= {
        "duplicate",
        "dead",
        "held",
    }
    ((first, last),) = asked(db, "SELECT min(received), max(received) FROM ledger", place.today)
    assert first == last == datetime.fromtimestamp(NOW_MS / 1000, UTC)


async def test_nothing_in_it_identifies_anybody(place):
    identifiers = set()
    for message in place.messages:
        body = json.loads(message.body)
        body = body if isinstance(body, dict) else body[0]
        for name in ("appsflyer_id", "advertising_id", "android_id", "customer_user_id", "ip"):
            identifiers.add(str(body.get(name) or "nobody"))
        identifiers.add(str(message.truth.device_id or "nobody"))
    assert len(identifiers) > 500
    for name, columns in FILES.items():
        table = pyarrow.parquet.read_table(place.directory / "out" / f"{name}.parquet")
        assert table.column_names == list(columns)
        for column in table.columns:
            for value in set(map(str, column.to_pylist())):
                assert not any(one in value for one in identifiers), (name, value)


async def test_the_command_replaces_a_former_export_and_takes_days(place):
    directory, written, *_ = place
    assert written["ledger"] == len(place.messages)

    def run(*words: str):
        return CliRunner().invoke(
            app, ["export", str(directory / "again"), "-c", str(directory / "flybridge.toml"), *words]
        )

    result = await asyncio.to_thread(run, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output) == written
    result = await asyncio.to_thread(run, "--json", "--from", "2026-01-03", "--to", "2026-01-04")
    assert 0 < json.loads(result.output)["performance"] < written["performance"]
    table = pyarrow.parquet.read_table(directory / "again" / "performance.parquet")
    assert set(table["date"].to_pylist()) == {date(2026, 1, 3), date(2026, 1, 4)}
    assert sorted(path.name for path in (directory / "again").iterdir()) == sorted(f"{name}.parquet" for name in FILES)
    for wrong in (("--from", "soon"), ("--from", "2026-01-04", "--to", "2026-01-03")):
        result = await asyncio.to_thread(run, *wrong)
        assert result.exit_code != 0, wrong
    again = pyarrow.parquet.read_table(directory / "again" / "performance.parquet")
    assert again.equals(table)


async def test_of_two_exports_into_one_directory_the_second_is_refused(place):
    """They would write the same files. Elsewhere, and afterwards, it goes on."""
    directory, written, *_ = place
    config = loads((directory / "flybridge.toml").read_text(), directory, {})
    scopes, store = scopes_of(config, NOW_MS), SqliteStore(directory / "store.db", Seal(*config.secrets))
    await store.open()
    try:
        places = [directory / name for name in ("both", "both", "other")]
        made = await asyncio.gather(*(export(store, scopes, one) for one in places), return_exceptions=True)
        assert (made[0], made[2]) == (written, written)
        assert "Another export writes into" in str(made[1])
        assert await export(store, scopes, directory / "both") == written
    finally:
        await store.close()
