"""What is exported can be computed with by others: DuckDB finds the same figures in it, and in the raw messages."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime
from math import isclose

import duckdb
import pyarrow.parquet
import pytest
import pytest_asyncio
from typer.testing import CliRunner

from flybridge.cli.app import app
from flybridge.config.settings import loads
from flybridge.insight.performance import Question, read_performance
from flybridge.operations.export import FILES, export
from flybridge.records import Envelope, Media, Source
from flybridge.sandbox.traffic.traffic import START_MS, TrafficApp, TrafficOptions, generate
from flybridge.sealing import Seal
from flybridge.store.performance import CostRow, day_number
from flybridge.store.sqlite.store import SqliteStore
from flybridge.wiring import build_flow, scopes_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY_MS = 86_400_000
NOW_MS = START_MS + 40 * DAY_MS
TODAY = datetime.fromtimestamp(NOW_MS / 1000, UTC).date()
CONFIG = """
secret = "0123456789abcdef0123456789abcdef"
data_dir = "."
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
appsflyer.push_token = "push-token"
amplitude.api_key = "key"
"""
OPTIONS = TrafficOptions(span_ms=30 * DAY_MS, comes_back=0.5, odd=0.0, malformed=0.01)
MESSAGES = list(generate(6, 2_000, [TrafficApp("shop", "android", "com.example.shop")], OPTIONS))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory):
    """A directory with a store in which the traffic is filed, its export, and the raw messages as NDJSON."""
    directory = tmp_path_factory.mktemp("place")
    (directory / "flybridge.toml").write_text(CONFIG)
    config = loads(CONFIG, directory, {})
    flow, store = build_flow(config), SqliteStore(directory / "store.db", Seal(*config.secrets))
    await store.open()
    for start in range(0, len(MESSAGES), 100):
        filings = [
            flow.filing(Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, message.body, f"r{start}-{number}"))
            for number, message in enumerate(MESSAGES[start : start + 100])
        ]
        await store.file(filings, NOW_MS)
    day = day_number(date(2026, 1, 5))
    await store.replace_costs(
        "shop", "csv", [CostRow("shop", day, "Facebook Ads", "", "DE", "USD", 12_500_000, 10, None)], days=(day, day)
    )
    scope = scopes_of(config, NOW_MS)[0]
    written = await export(store, [scope], directory / "out")
    raw = [json.loads(message.body) for message in MESSAGES]
    (directory / "raw.ndjson").write_text("\n".join(json.dumps(one) for one in raw if isinstance(one, dict)))
    answer = await read_performance(store, [scope], Question(0, scope.today + 365, ("source",)))
    await store.close()
    shown = {row.labels["media_source"]: row.as_dict() for row in answer.rows}
    return directory, written, shown


@pytest.fixture
def db(place):
    """DuckDB with the exported files, and each message once, as AppsFlyer counts it, as `raw`."""
    with duckdb.connect() as connection:
        for name in FILES:
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM '{place[0]}/out/{name}.parquet'")
        connection.execute(
            f"""CREATE TABLE raw AS
                SELECT DISTINCT event_name, event_time, appsflyer_id, media_source, campaign, country_code,
                       CAST(event_revenue_usd AS DOUBLE) AS usd, CAST(CAST(event_time AS TIMESTAMP) AS DATE) AS day,
                       event_name IN ('install', 'reinstall', 're-engagement', 're-attribution') AS is_conversion
                FROM read_json('{place[0]}/raw.ndjson', format='newline_delimited', union_by_name=true,
                               sample_size=-1, columns={{event_name: 'VARCHAR', event_time: 'VARCHAR',
                               appsflyer_id: 'VARCHAR', media_source: 'VARCHAR', campaign: 'VARCHAR',
                               country_code: 'VARCHAR', event_revenue_usd: 'VARCHAR',
                               is_primary_attribution: 'VARCHAR'}})
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


FROM_EXPORT = {
    "installs": "SELECT media_source, sum(n) FROM performance WHERE kind = 'install' GROUP BY 1",
    "re_engagements": "SELECT media_source, sum(n) FROM performance WHERE kind = 're-engagement' GROUP BY 1",
    "events": "SELECT media_source, sum(n) FROM performance WHERE kind IN ('event', 'retargeted-event') GROUP BY 1",
    "revenue": "SELECT media_source, sum(revenue) FROM performance WHERE event IS NOT NULL GROUP BY 1",
    "spend": "SELECT media_source, sum(spend) FROM costs GROUP BY 1",
    "revenue_d7": """SELECT media_source, sum(revenue) FROM cohorts
                     WHERE kind = 'install' AND day <= 7 AND install_date + 7 < $today GROUP BY 1""",
    "retention_d3": """SELECT media_source, active / installs
                       FROM (SELECT media_source, sum(active) AS active FROM cohorts
                             WHERE kind = 'install' AND day = 3 AND install_date + 3 < $today GROUP BY 1)
                       JOIN (SELECT media_source, sum(n) AS installs FROM performance
                             WHERE kind = 'install' AND date + 3 < $today GROUP BY 1) USING (media_source)""",
    "payer_share_d14": """SELECT media_source, coalesce(payers, 0) / installs
                          FROM (SELECT media_source, sum(n) AS installs FROM performance
                                WHERE kind = 'install' AND date + 14 < $today GROUP BY 1)
                          LEFT JOIN (SELECT media_source, sum(payers) AS payers FROM cohorts
                                     WHERE kind = 'install' AND day <= 14 AND install_date + 14 < $today
                                     GROUP BY 1) USING (media_source)""",
}
LIVES = """WITH lives AS (SELECT appsflyer_id, any_value(media_source) AS came_by, min(day) AS installed
                          FROM raw WHERE event_name = 'install' GROUP BY 1)"""
FROM_RAW = {
    "installs": "SELECT media_source, count(*) FROM raw WHERE event_name = 'install' GROUP BY 1",
    "re_engagements": "SELECT media_source, count(*) FROM raw WHERE event_name = 're-engagement' GROUP BY 1",
    "events": "SELECT media_source, count(*) FROM raw WHERE NOT is_conversion GROUP BY 1",
    "revenue": "SELECT media_source, sum(usd) FROM raw WHERE NOT is_conversion GROUP BY 1",
    "revenue_d7": f"""{LIVES} SELECT came_by, coalesce(sum(usd), 0) FROM lives LEFT JOIN raw USING (appsflyer_id)
                      WHERE day - installed <= 7 AND installed + 7 < $today GROUP BY 1""",
    "retention_d3": f"""{LIVES} SELECT came_by, count(DISTINCT CASE WHEN day - installed = 3 THEN appsflyer_id END)
                                              / count(DISTINCT appsflyer_id)
                        FROM lives JOIN raw USING (appsflyer_id) WHERE installed + 3 < $today GROUP BY 1""",
    "payer_share_d14": f"""{LIVES} SELECT came_by, count(DISTINCT CASE WHEN day - installed <= 14 AND usd > 0
                                                                      THEN appsflyer_id END)
                                                 / count(DISTINCT appsflyer_id)
                           FROM lives JOIN raw USING (appsflyer_id) WHERE installed + 14 < $today GROUP BY 1""",
}


def asked(db, query: str):
    return db.execute(query, {"today": TODAY} if "$today" in query else {}).fetchall()


@pytest.mark.parametrize("metric", FROM_EXPORT)
async def test_another_database_computes_the_same_from_the_export(place, db, metric):
    assert agree(asked(db, FROM_EXPORT[metric]), place[2], metric) > 0


@pytest.mark.parametrize("metric", FROM_RAW)
async def test_another_database_computes_the_same_from_the_raw_messages(place, db, metric):
    assert agree(asked(db, FROM_RAW[metric]), place[2], metric) > 2


async def test_every_message_is_in_the_ledger_of_the_export(place, db):
    assert asked(db, "SELECT count(*) FROM ledger") == [(len(MESSAGES),)]
    assert {outcome for (outcome,) in asked(db, "SELECT DISTINCT outcome FROM ledger")} >= {"duplicate", "dead", "held"}
    ((first, last),) = asked(db, "SELECT min(received), max(received) FROM ledger")
    assert first == last == datetime.fromtimestamp(NOW_MS / 1000, UTC)


async def test_nothing_in_it_identifies_anybody(place):
    identifiers = set()
    for message in MESSAGES:
        body = json.loads(message.body)
        body = body if isinstance(body, dict) else body[0]
        for name in ("appsflyer_id", "advertising_id", "android_id", "customer_user_id", "ip"):
            identifiers.add(str(body.get(name) or "nobody"))
        identifiers.add(str(message.truth.device_id or "nobody"))
    assert len(identifiers) > 500
    for name, columns in FILES.items():
        table = pyarrow.parquet.read_table(place[0] / "out" / f"{name}.parquet")
        assert table.column_names == list(columns)
        for column in table.columns:
            for value in set(map(str, column.to_pylist())):
                assert not any(one in value for one in identifiers), (name, value)


async def test_the_command_replaces_a_former_export_and_takes_days(place):
    directory, written, _ = place
    assert written["ledger"] == len(MESSAGES)

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
    result = await asyncio.to_thread(run, "--from", "soon")
    assert result.exit_code != 0
