"""Reads Cost ETL files from a folder: a bucket that is mounted or copied, or downloaded files.

Of each day on which files were written only the last whole batch of a report is read: it has all that earlier ones had.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from flybridge.appsflyer.cost_file import COLUMNS, CostFilePlace, CostFileRow, newest, place, read_row
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.parquet import read_parquet

SUCCESS: Final = "_SUCCESS"


def is_cost_folder(path: Path) -> bool:
    """Whether a path is a folder, or a Parquet file: these are not written by hand."""
    return path.is_dir() or path.suffix == ".parquet"


def read_cost_files(path: Path) -> list[CostFileRow]:
    """Return what the files under a path say last about each app, day and source.

    Raises `ConfigError` if there is none, and `FlybridgeError` for a file that can't be read: nothing is taken then.
    """
    found = sorted(chosen(_places(path)))
    if not found:
        raise ConfigError(
            "",
            f"{path} holds no whole batch of Cost ETL files.",
            "Name a folder with cost_etl/v1/dt=.../b=.../geo/*.parquet or t=cost_etl_geo/dt=.../v=.../*.parquet in it.",
        )
    return newest((at, list(_rows(file))) for at, file in found)


def _places(path: Path) -> Iterator[tuple[CostFilePlace, Path]]:
    for file in [path] if path.is_file() else path.rglob("*.parquet"):
        if (at := place(file.absolute())) is not None and _is_whole(file):
            yield at, file


def _is_whole(file: Path) -> bool:
    """Whether a batch is written to its end. Data Locker's folders of versions have no mark of it."""
    batch = next((parent for parent in file.absolute().parents if parent.name.startswith("b=")), None)
    return batch is None or (batch / SUCCESS).exists() or (file.parent / SUCCESS).exists()


def chosen(files: Iterable[tuple[CostFilePlace, Path]]) -> list[tuple[CostFilePlace, Path]]:
    """Return the files of the last batch of each report and day of writing."""
    all_files = list(files)
    last: dict[tuple[object, str], int] = {}
    for at, _ in all_files:
        key = (at.written, at.report)
        last[key] = max(last.get(key, at.batch), at.batch)
    return [(at, file) for at, file in all_files if at.batch == last[at.written, at.report]]


def _rows(file: Path) -> Iterator[CostFileRow]:
    for values in read_parquet(file, COLUMNS):
        try:
            yield read_row(values)
        except ValueError as problem:
            raise FlybridgeError(f"{file} can't be read: {problem} Nothing was taken.") from None
