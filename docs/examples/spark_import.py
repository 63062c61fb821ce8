"""Import a directory of raw-data files with Spark: executors read and map the files, and the driver brings them in.

    spark-submit docs/examples/spark_import.py --config flybridge.toml --app shop --timezone UTC /mnt/exports

Executors need flybridge with `flybridge[history]`, the configuration, and the files under the same paths. Each file is
a task, which may run again: it has no effect but its rows. Rows that are the same event are brought in once, and the
last conversion of each person among all files is marked. Only the driver writes: it needs the inbox and the store, and
on one machine with files its data directory. Days that were received live and are forgotten are refused, as by
`flybridge import`: their events would be sent a second time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, functions

from flybridge.clock import SystemClock
from flybridge.config.settings import load
from flybridge.history.batches import PATH, SPARK, take_batches
from flybridge.history.files import find_files
from flybridge.history.rows import happened_ms
from flybridge.operations.batch_import import map_configured
from flybridge.operations.read_history import check_live_days
from flybridge.records import day_of
from flybridge.service.backends import opened

PAGE = 2000
IDENTITY = ["key", "key_ms", "ordinal"]


def mapped(spark: SparkSession, files: list[str], job: partial[Iterator[pa.RecordBatch]]) -> DataFrame:
    """Return the rows of files, each event once, with the last conversion of each person marked."""
    named = spark.createDataFrame([(name,) for name in files], f"{PATH} string")
    rows = named.repartition(max(1, len(files))).mapInArrow(job, SPARK)
    # A row that can't be read has no identity, and becomes a dead letter of its own.
    events = rows.where("media = 'json'").dropDuplicates(IDENTITY).unionByName(rows.where("media <> 'json'"))
    last = (
        rows.where("conversion_ms IS NOT NULL").groupBy("person").agg(functions.max("conversion_ms").alias("last_ms"))
    )
    newest = functions.coalesce(functions.col("conversion_ms") == functions.col("last_ms"), functions.lit(False))
    return events.join(functions.broadcast(last), "person", "left").withColumn("newest", newest).orderBy("file", "line")


def spans(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the first and the last time of the events of each batch."""
    for batch in batches:
        read = (happened_ms(json.loads(body)) for body in batch.column("body").to_pylist())
        if times := [ms for ms in read if ms is not None]:
            yield pa.RecordBatch.from_pydict({"first_ms": [min(times)], "last_ms": [max(times)]})


def days_of(rows: DataFrame) -> tuple[str, str]:
    """Return the first and the last day of the events; empty if no row says when it happened."""
    times = rows.where("media = 'json'").select("body").mapInArrow(spans, "first_ms bigint, last_ms bigint")
    found = times.agg(functions.min("first_ms").alias("first_ms"), functions.max("last_ms").alias("last_ms")).first()
    return ("", "") if found.first_ms is None else (day_of(found.first_ms), day_of(found.last_ms))


async def bring_in(rows: DataFrame, config: str, app: str) -> int:
    """Bring the rows into the inbox, a partition at a time, so that the driver's memory does not grow with them.

    Raises `ConfigError` for days that were received live and are forgotten.
    """
    settings, clock = load(Path(config), os.environ), SystemClock()
    configured = settings.app(app)
    assert configured is not None, "the mapping has found it"
    async with opened(settings) as (inbox, store):
        more, remedy = ": those in the files would be sent a second time", "Leave files of these days out."
        days = days_of(rows)
        await check_live_days(settings, store, configured, days, clock.now_ms(), more=more, remedy=remedy)
        columns = ["media", "body", "ordinal", "newest"]
        found = rows.select(columns).toLocalIterator(prefetchPartitions=True)
        pages = iter(lambda: [row.asDict() for row in islice(found, PAGE)], [])
        return await take_batches(map(pa.RecordBatch.from_pylist, pages), app, inbox.accept, clock)


def main() -> None:
    """Import a directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--app", required=True)
    parser.add_argument("--timezone")
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    job = partial(
        map_configured,
        config=options.config,
        app=options.app,
        zone=options.timezone,
        now_ms=SystemClock().now_ms(),
    )
    spark = SparkSession.builder.appName("flybridge import").getOrCreate()
    # An archive is read as a whole.
    files = {file.stored_name for file in find_files(options.files)}
    rows = mapped(spark, sorted(files), job).cache()
    rows.groupBy("report", "outcome").count().orderBy("report", "outcome").show(100, truncate=False)
    print(f"{asyncio.run(bring_in(rows, options.config, options.app))} rows brought into the inbox")
    spark.stop()


if __name__ == "__main__":
    main()
