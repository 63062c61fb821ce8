"""Import a directory of raw-data files with Spark: executors read and map the files, and the driver brings them in.

    spark-submit docs/examples/spark_import.py --config flybridge.toml --app shop --timezone UTC /mnt/exports

Executors need flybridge with `flybridge[history]`, the configuration, and the files under the same paths. Each file is
a task, which may run again: it has no effect but its rows. Rows that are the same event are brought in once, and the
last conversion of each person among all files is marked. Only the driver writes: it needs the inbox, and on one machine
with files its data directory.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, functions

from flybridge.clock import SystemClock
from flybridge.config.settings import load
from flybridge.history.batches import PATH, SPARK, take_batches
from flybridge.history.files import find_files
from flybridge.operations.batch_import import map_configured
from flybridge.service.backends import opened_inbox

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


async def bring_in(rows: DataFrame, config: str, app: str) -> int:
    """Bring the rows into the inbox, a partition at a time, so that the driver's memory does not grow with them."""
    columns = ["media", "body", "ordinal", "newest"]
    found = rows.select(columns).toLocalIterator(prefetchPartitions=True)
    pages = iter(lambda: [row.asDict() for row in islice(found, PAGE)], [])
    async with opened_inbox(load(Path(config), os.environ)) as inbox:
        return await take_batches(map(pa.RecordBatch.from_pylist, pages), app, inbox.accept, SystemClock())


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
