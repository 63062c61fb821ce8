"""Real Spark, with two executors in processes of their own, brings in what `flybridge import` does."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from flybridge import wiring
from flybridge.cli.app import app
from flybridge.clock import SystemClock
from flybridge.config.settings import load
from flybridge.records import DAY_MS, Envelope, Media, Source, day_of
from flybridge.service import backends

pyspark = pytest.importorskip("pyspark", reason="the group `spark` is not installed")
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java 17 or newer"),
]

NOW = 1_780_000_000_000
SCRIPT = Path(__file__).parents[2] / "docs/examples/spark_import.py"
# Compiled with the quick compiler alone, which takes half the processor time of so short a run.
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
SUBMIT = (
    "--master local-cluster[2,1,1024] --conf spark.driver.bindAddress=127.0.0.1 --conf spark.driver.host=127.0.0.1 "
    "--conf spark.ui.enabled=false --conf spark.sql.shuffle.partitions=2 --conf spark.network.timeout=600s "
    f"--driver-java-options '{JAVA}' --conf 'spark.executor.extraJavaOptions={JAVA}' pyspark-shell"
)
CONFIG = """
data_dir = "./data"
secret = "0123456789abcdef0123456789abcdef"

[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"

[apps.appsflyer]
push_token = "a-token"

[apps.amplitude]
api_key = "a-key"
"""
NAMES = ["AppsFlyer ID", "Event Name", "Event Time", "Install Time", "Event Revenue", "Custom Data", "Media Source"]


def row(number: int, name: str, time: str, revenue: str = "") -> list[str]:
    """Return a row whose person Amplitude knows."""
    custom = json.dumps({"amplitude_device_id": f"device-{number:04}"})
    return [f"1-{number}", name, time, "2025-03-01 10:00:00", revenue, custom, "tiktok"]


def as_csv(rows: list[list[str]]) -> bytes:
    """Return a file that quotes every value."""
    lines = [",".join('"' + value.replace('"', '""') + '"' for value in one) for one in [NAMES, *rows]]
    return ("\n".join(lines) + "\n").encode()


def write(place: Path) -> None:
    """Write overlapping files of three kinds: equal rows, a broken one, conversions of one person in two files."""
    place.mkdir()
    events = [
        row(n % 40, "af_purchase", f"2025-03-02 10:{n // 60 % 60:02}:{n % 60:02}", str(n % 7)) for n in range(900)
    ]
    installs = [row(n, "install", "2025-03-01 10:00:00") for n in range(40)]
    again = [row(n, "re-engagement", f"2025-04-0{1 + n % 9} 10:00:00") for n in range(20)]
    (place / "events.csv").write_bytes(as_csv([*events[:600], events[5], events[5]]) + b"broken\n")
    (place / "installs.csv.gz").write_bytes(gzip.compress(as_csv([*installs, *events[500:700]])))
    columns = zip(*again, *events[650:], strict=True)
    pq.write_table(pa.table(dict(zip(NAMES, map(list, columns), strict=True))), place / "rest.parquet")


def configured(place: Path) -> Path:
    """Write a configuration."""
    place.mkdir()
    path = place / "flybridge.toml"
    path.write_text(CONFIG)
    return path


def received(config: Path) -> tuple[Counter[tuple[str, int, bool]], Counter[str]]:
    """Return what is in the inbox, each message once, and the outcomes once it is filed."""

    async def work() -> tuple[Counter[tuple[str, int, bool]], Counter[str]]:
        settings = load(config, {})
        flow = wiring.build_flow(settings)
        sent: Counter[tuple[str, int, bool]] = Counter()
        async with backends.opened(settings) as (inbox, store):
            while leased := await inbox.lease(1000, NOW, 60_000):
                sent.update((one.body.decode(), one.ordinal, one.newest) for one in leased.envelopes)
                await store.file(flow.filings(leased.envelopes), NOW)
                await inbox.ack(leased)
            assert await store.audit() == []
            outcomes: Counter[str] = Counter()
            for count in await store.counts():
                outcomes[count.outcome] += count.n
        return sent, outcomes

    return asyncio.run(work())


def submitted(config: Path, files: Path) -> subprocess.CompletedProcess[str]:
    """Import a directory with Spark."""
    environment = {
        **os.environ,
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": SUBMIT,
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    command = [sys.executable, str(SCRIPT), "--config", str(config), "--app", "shop", "--timezone", "UTC", str(files)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


def test_spark_brings_in_what_an_import_does(tmp_path):
    """The same messages with the same ordinals and marks; what is in several files comes once."""
    files = tmp_path / "files"
    write(files)
    ours, theirs = configured(tmp_path / "import"), configured(tmp_path / "spark")
    words = ["import", str(files), "--timezone", "UTC", "--yes", "--config", str(ours)]
    done = CliRunner().invoke(app, words)
    assert "broken off" not in done.output, done.output
    ran = submitted(theirs, files)
    assert ran.returncode == 0, ran.stderr[ran.stderr.find("Traceback") :][:4000]
    imported, expected = received(ours)
    mapped, outcomes = received(theirs)
    assert set(mapped) == set(imported)
    assert outcomes["pending"] == expected["pending"] == 900 + 2 + 40 + 20
    assert outcomes["dead"] == expected["dead"] == 1
    assert expected["duplicate"] == 100 + 50
    assert outcomes["duplicate"] == 0


def test_days_that_were_received_live_and_are_forgotten_are_refused(tmp_path):
    """As an import does: their events would be sent a second time."""
    config, files = configured(tmp_path / "spark"), tmp_path / "files"
    files.mkdir()
    now_ms = SystemClock().now_ms()
    forgotten = day_of(now_ms - 30 * DAY_MS)
    (files / "events.csv").write_bytes(as_csv([row(1, "af_purchase", f"{forgotten}T10:00:00Z", "1")]))

    async def receive() -> None:
        body = json.dumps({"event_name": "a", "appsflyer_id": "1-1"}).encode()
        async with backends.opened(load(config, {})) as (inbox, _):
            for at in (now_ms - 60 * DAY_MS, now_ms):
                await inbox.accept(Envelope("shop", Source.PUSH, Media.JSON, at, body))

    asyncio.run(receive())
    received(config)
    ran = submitted(config, files)
    assert ran.returncode != 0
    assert f"events of {forgotten} to {forgotten} were received live" in ran.stderr
    assert received(config)[0] == {}
