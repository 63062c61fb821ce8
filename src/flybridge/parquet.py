"""Parquet files, by way of pyarrow, which is an extra: reading rows, and writing tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from flybridge.errors import ConfigError, FlybridgeError

ROWS: Final = 65_536
"""Rows of a group, and the most that are in memory at once."""

TYPES: Final[Mapping[str, tuple[Any, ...]]] = {
    "text": ("string",),
    "day": ("date32",),
    "time": ("timestamp", "ms", "UTC"),  # from milliseconds since 1970
    "whole": ("int64",),
    "number": ("float64",),
}
"""Types of columns, and pyarrow's functions for them with their arguments."""


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow  # noqa: PLC0415 - an extra
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError:
        raise ConfigError("", "Parquet files need pyarrow.", "pip install 'flybridge[parquet]'.") from None
    return pyarrow, pyarrow.parquet


def opened_parquet(source: Path | IO[bytes]) -> Any:
    """Open a file as pyarrow's `ParquetFile`. Raises `ConfigError` without pyarrow."""
    return _pyarrow()[1].ParquetFile(source)


def read_parquet(path: Path, columns: Collection[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a file with those of these columns that it has. Raises `FlybridgeError` if it can't be read."""
    pyarrow, _ = _pyarrow()
    try:
        with opened_parquet(path) as file:
            chosen = [name for name in file.schema_arrow.names if name in columns]
            for batch in file.iter_batches(ROWS, columns=chosen):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as problem:
        raise FlybridgeError(f"{path} can't be read as Parquet ({type(problem).__name__}).") from problem


class ParquetWriter:
    """Writes one file, row by row, in groups. To be used as a context manager: on an error a file at a path is removed.

    `columns` are names and types, one of `TYPES` each.
    """

    def __init__(self, target: Path | IO[bytes], columns: Mapping[str, str]) -> None:
        pyarrow, parquet = _pyarrow()
        self._pyarrow = pyarrow
        self._target = target
        kinds = {name: TYPES[kind] for name, kind in columns.items()}
        self._schema = pyarrow.schema([(name, getattr(pyarrow, kind[0])(*kind[1:])) for name, kind in kinds.items()])
        self._file: Any = parquet.ParquetWriter(target, self._schema, compression="zstd")
        self._rows: list[Sequence[Any]] = []
        self.written = 0

    def __enter__(self) -> ParquetWriter:
        """Return itself."""
        return self

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        """Write rows, each with the values of all columns in their order."""
        for row in rows:
            self._rows.append(row)
            if len(self._rows) >= ROWS:
                self._flush()

    def _flush(self) -> None:
        if self._rows:
            arrays = [
                self._pyarrow.array(values, field.type)
                for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
            ]
            self._file.write_table(self._pyarrow.Table.from_arrays(arrays, schema=self._schema))
            self.written += len(self._rows)
            self._rows = []

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what is left and close; remove the file if there was an error."""
        try:
            if kind is None:
                self._flush()
        finally:
            self._file.close()
            if kind is not None and isinstance(self._target, Path):
                self._target.unlink(missing_ok=True)
