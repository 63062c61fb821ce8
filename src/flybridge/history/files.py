"""Raw-data files, on this machine and in object storage: list them, and read their rows.

`s3://`, `gs://`, `az://` and `abfss://` are read with obstore, which finds each cloud's usual credentials; Parquet is
read with pyarrow. Both come with `flybridge[history]`. What is compressed is recognised by its first bytes, and a zip
archive is read member by member. A file has a `mark` that changes when its content does: the ETag, or size and time of
modification.
"""

from __future__ import annotations

import glob
import io
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, Final, TypeVar, cast
from zipfile import BadZipFile, ZipFile

from msgspec import Struct, structs

from flybridge.appsflyer.raw_report import Report
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.history.arrow_rows import parquet_rows
from flybridge.history.column_keys import KeyedRow, KeyOwner, keyed_rows
from flybridge.history.column_prospects import Prospects, prospects_of
from flybridge.history.csv_rows import CsvReader
from flybridge.history.object_reader import ObjectReader, etag_of, first_line, said_by_store
from flybridge.history.row_times import RowTimes, timed_rows
from flybridge.history.rows import UTC_TIMES, BadRow, RawRow, Zone
from flybridge.history.unpacked import unpacked
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.system.text_encoding import as_utf8

T = TypeVar("T")

MEMBERS: Final = (".csv", ".csv.gz", ".gz", ".parquet", ".tsv")
"""What is read of an archive."""
ENDINGS: Final = (*MEMBERS, ".zip")
"""What is read of a directory or folder. A file that is named is read whatever it is called."""
SCHEMES: Final = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "azure": "az", "file": "file"} | {
    "abfs": "abfs", "abfss": "abfss",
}  # fmt: skip
AZURE: Final = "abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/path"
"""An address in Azure Storage that names its account, as Hadoop and Azure's own pages write it."""
NEEDED: Final = "pip install 'flybridge[history]'."
BUFFER: Final = 1 << 20
MOST_ARCHIVES: Final = 3
"""How deep archives may be in each other."""
_PARQUET: Final = b"PAR1"
_ZIP: Final = b"PK\x03\x04"
_WILD: Final = "*?["
_WORKBOOK: Final = "[Content_Types].xml"
_ADDRESS: Final = re.compile(r"(?:s3a?|gc?s|az|azure|abfss?|https?):/+", re.IGNORECASE)


class RawFile(Struct, frozen=True):
    """A file to be read. `bucket` is an object store, or None for this machine; `key` is its path there.

    `members` are the names that lead to it within a zip archive and archives in it.
    """

    name: str
    key: str
    size: int
    mark: str
    bucket: Any = None
    members: tuple[str, ...] = ()
    problem: str = ""

    @property
    def stored_name(self) -> str:
        """The name of the file that is stored: its own, or that of the archive it lies in."""
        return self.name.removesuffix("".join(f":{member}" for member in self.members))

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """Open its bytes as they are stored, or packed into an archive."""
        with ExitStack() as stack:
            file = stack.enter_context(self._stored())
            for member in self.members:
                file = stack.enter_context(stack.enter_context(ZipFile(file)).open(member))
            yield file

    @contextmanager
    def _stored(self) -> Iterator[IO[bytes]]:
        if self.bucket is None:
            with Path(self.key).open("rb", BUFFER) as file:
                yield file
            return
        with io.BufferedReader(ObjectReader(self.bucket, self.key, self.name), BUFFER) as file:
            yield cast("IO[bytes]", file)


def find_files(names: Sequence[str]) -> list[RawFile]:
    """Return the files of paths, patterns, directories and addresses, each once.

    Raises `ConfigError` for one that names no file, and `FlybridgeError` for an archive that can't be read. One of
    several files costs no other: it is returned with its `problem`, which is raised when it is read.
    """
    files: dict[str, RawFile] = {}
    for name in names:
        named = _remote_files(name) if "://" in name else _local_files(name)
        if not named:
            raise _nothing(name)
        files.update((one.name, one) for one in named)
    found: dict[str, RawFile] = {}
    for file in files.values():
        try:
            members = _members(file)
        except FlybridgeError as problem:
            if len(files) == 1:
                raise
            members = [structs.replace(file, problem=str(problem))]
        found.update((one.name, one) for one in members)
    return list(found.values())


def _nothing(name: str) -> ConfigError:
    """Return what is wrong with a name under which there is no file."""
    endings = f"Of directories and folders, files ending in {', '.join(ENDINGS)} are read."
    if Path(name).is_dir() or name.endswith("/"):
        return ConfigError("", f"{name} holds no file of raw data.", endings)
    if _ADDRESS.match(name) and "://" not in name:
        return ConfigError("", f"{name} is not an address.", "Write s3://, gs:// or az://, bucket and path.")
    if any(sign in name for sign in _WILD):
        return ConfigError("", f"No file matches {name}.", "Check the pattern and the directory.")
    return ConfigError("", f"There is no file {name}.", "Check its name and the directory you are in.")


def _members(file: RawFile) -> list[RawFile]:
    """Return the members of an archive, or the file itself. Raises `FlybridgeError` if it can't be read."""
    if file.bucket is not None and not file.key.lower().endswith(".zip"):
        return [file]  # a request for each object, only to look at its first bytes, is too many
    found = _in_archive(file)
    if not found:
        raise FlybridgeError(f"{file.name} holds no file that ends in {', '.join(MEMBERS)}.")
    return found


def _in_archive(file: RawFile) -> list[RawFile]:
    """Return the members of an archive and of archives in it, or the file itself."""
    try:
        with file.opened() as stored:
            if stored.read(len(_ZIP)) != _ZIP:
                return [file]
            stored.seek(0)
            with ZipFile(stored) as archive:
                packed = archive.infolist()
    except OSError as problem:
        raise FlybridgeError(f"{file.name} can't be read: {problem.strerror or problem}.") from problem
    except (BadZipFile, RuntimeError, NotImplementedError, EOFError, zlib.error) as problem:
        raise FlybridgeError(f"{file.name} can't be read as an archive: {problem}.") from problem
    if any(one.filename == _WORKBOOK for one in packed):
        raise FlybridgeError(f"{file.name} is a workbook of a spreadsheet: save its sheet as CSV in UTF-8.")
    found = []
    for one in sorted(packed, key=lambda one: one.filename):
        name, members = f"{file.name}:{one.filename}", (*file.members, one.filename)
        member = structs.replace(file, name=name, members=members, size=one.file_size)
        if one.filename.startswith("__MACOSX/"):
            continue
        if one.filename.lower().endswith(MEMBERS):
            found.append(member)
        elif one.filename.lower().endswith(".zip") and len(members) < MOST_ARCHIVES:
            found += _in_archive(member)
    return found


def _local_files(name: str) -> list[RawFile]:
    path = Path(name)
    if path.is_dir():
        paths = sorted(one for one in path.rglob("*") if one.is_file() and one.name.lower().endswith(ENDINGS))
    elif path.is_file():
        paths = [path]
    else:
        paths = sorted(Path(one) for one in glob.glob(name, recursive=True) if Path(one).is_file())
    return [local_file(path) for path in paths]


def local_file(path: Path) -> RawFile:
    """Return a file of this machine."""
    stat = path.stat()
    return RawFile(str(path.absolute()), str(path), stat.st_size, f"{stat.st_size}-{stat.st_mtime_ns}")


def open_bucket(url: str, *, patience: timedelta | None = None) -> tuple[Any, str]:
    """Return the object store of an address and the path in it. Raises `ConfigError` if there is none.

    `patience` is how long a request is tried; None for as long as the client does, up to three minutes.
    """
    try:
        from obstore.store import from_url  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigError("", f"{url} needs a client of object storage.", NEEDED) from None
    written, _, rest = url.partition("://")
    scheme = SCHEMES.get(written.lower(), "")
    bucket, _, path = rest.partition("/")
    if not scheme or (not bucket and scheme != "file"):
        is_web = written.lower() in {"http", "https"}
        first, shown = "Download the file first, or write" if is_web else "Write", url
        if is_web:
            shown = url.partition("?")[0]  # what follows may let in whoever has it
        right = (
            AZURE
            if bucket.partition("?")[0].endswith(".core.windows.net")
            else "s3://, gs:// or az://, bucket and path"
        )
        raise ConfigError("", f"{shown} is not an address of object storage.", f"{first} {right}.")
    try:
        if scheme == "file":
            return from_url("file:///"), path
        if patience is None:
            return from_url(f"{scheme}://{bucket}"), path
        # Options of the client would replace those that the environment names, such as AWS_ALLOW_HTTP.
        return from_url(f"{scheme}://{bucket}", retry_config={"retry_timeout": patience}), path
    except Exception as problem:  # what obstore raises has no class in common
        remedy = "Check the address."
        if scheme in {"az", "abfs", "abfss"} and "@" not in bucket:
            remedy = f"Set AZURE_STORAGE_ACCOUNT_NAME, or write {AZURE}."
        raise ConfigError("", f"{url} can't be opened: {said_by_store(problem)}.", remedy) from None


def _remote_files(url: str) -> list[RawFile]:
    bucket, path = open_bucket(url)
    origin = url[: len(url) - len(path)] if path else url.rstrip("/") + "/"
    wild = min((path.find(sign) for sign in _WILD if sign in path), default=-1)
    folder = path.rstrip("/") if wild < 0 else path[:wild].rpartition("/")[0]
    files = []
    for one in list_bucket(bucket, folder, origin):
        matches = fnmatchcase(one.key, path) if wild >= 0 else one.key.lower().endswith(ENDINGS)
        # What is empty has no rows, or stands for a folder: a listing has it without its last `/`, and no such object.
        if one.size and (matches or one.key == path):
            files.append(one)
    if not files and wild < 0 and path:
        import obstore  # noqa: PLC0415

        try:
            files = [object_file(obstore.head(bucket, path), bucket, origin)]
        except Exception as problem:
            raise FlybridgeError(f"{url} can't be read: {said_by_store(problem)}.") from problem
    return sorted(files, key=lambda file: file.name)


def list_bucket(bucket: Any, folder: str, origin: str) -> Iterator[RawFile]:
    """Yield the objects of a folder and of those in it. Raises `FlybridgeError` if they can't be listed."""
    import obstore  # noqa: PLC0415

    try:
        for page in obstore.list(bucket, prefix=folder or None):
            for meta in page:
                yield object_file(meta, bucket, origin)
    except Exception as problem:
        raise FlybridgeError(f"{origin}{folder} can't be listed: {said_by_store(problem)}.") from problem


def object_file(meta: Any, bucket: Any, origin: str) -> RawFile:
    """Return the file of an object, as the store describes it."""
    etag = etag_of(meta)
    modified = meta.get("last_modified")
    mark = f"{meta['size']}-{etag or (modified.isoformat() if modified else '')}"
    return RawFile(origin + meta["path"], meta["path"], meta["size"], mark, bucket)


class RawRows:
    """The rows of a file after `start`, the end of the last row that is not wanted.

    `zone` is that of its times as far as they have none; once its columns are read, UTC where these say so.

    Iterating raises `FlybridgeError` if the file can't be read, or not to its end, after the rows before.
    """

    def __init__(self, file: RawFile, zone: Zone | None, named: Report | None, start: int = 0) -> None:
        self.file = file
        self._zone, self._named, self._start = zone, named, start
        self.zone = zone or UTC_TIMES
        self._stored: IO[bytes] | None = None

    @property
    def position(self) -> int:
        """How many bytes of the file, as it is stored, have been read."""
        return self._stored.tell() if self._stored is not None and not self._stored.closed else 0

    def __iter__(self) -> Iterator[RawRow | BadRow]:
        return self._rows(iter)

    def keyed(self, owner: KeyOwner) -> Iterator[KeyedRow | RawRow | BadRow]:
        """Yield the rows, with their keys alone where the columns prove them."""
        return self._rows(lambda reader: keyed_rows(reader, owner))

    def prospects(
        self, rules: Rules, names: Sequence[str], *, reads_held: bool = False, reads_of_servers: bool = False
    ) -> Iterator[Prospects | RawRow | BadRow]:
        """Yield the rows, with what would become of them alone where the columns prove it, a block of rows at once.

        With `reads_held`, those that do not name their user are read whole, with `reads_of_servers` those that came
        to AppsFlyer from a server.
        """

        def read(reader: CsvReader) -> Iterator[Prospects | RawRow | BadRow]:
            return prospects_of(reader, rules, names, reads_held=reads_held, reads_of_servers=reads_of_servers)

        return self._rows(read)

    def timed(self) -> Iterator[RowTimes | RawRow | BadRow]:
        """Yield the rows, with their times alone where the columns prove that they are ordinary."""
        return self._rows(timed_rows)

    def _rows(self, read: Callable[[CsvReader], Iterator[T]]) -> Iterator[T | RawRow]:
        """Yield the rows of CSV as `read` gives them."""
        name = self.file.name
        if self.file.problem:
            raise FlybridgeError(self.file.problem)
        try:
            with self.file.opened() as stored:
                self._stored = stored
                for reader in self._readers(stored):
                    yield from read(reader) if isinstance(reader, CsvReader) else reader
        except FlybridgeError:
            raise
        except (OSError, EOFError, zlib.error, UnicodeError) as problem:
            raise FlybridgeError(f"{name} can't be read: {first_line(problem)}.") from problem
        except Exception as problem:
            if type(problem).__module__.partition(".")[0] in {"obstore", "pyarrow", "zipfile", "builtins"}:
                raise FlybridgeError(f"{name} can't be read: {first_line(problem)}.") from problem
            raise

    def _readers(self, stored: IO[bytes]) -> Iterator[CsvReader | Iterator[RawRow]]:
        """Yield what reads the rows; nothing for an empty file."""
        name, named, zone, start = self.file.name, self._named, self._zone, self._start
        mark = stored.read(4)
        stored.seek(0)
        if mark == _PARQUET:
            self.zone, rows = parquet_rows(stored, name, named, zone, start)
            yield rows
        elif mark:
            content = unpacked(stored, name)
            if cast("Any", content).peek(len(_PARQUET)).startswith(_PARQUET):
                raise FlybridgeError(f"{name} is a Parquet file that was packed with gzip: unpack it.")
            reader = CsvReader(as_utf8(content), name, named, zone, start)
            self.zone = reader.zone
            yield reader
