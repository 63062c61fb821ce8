"""Raw-data files, on this machine and in object storage: list them, and open their bytes.

`s3://`, `gs://`, `az://` and `abfss://` are read with obstore, which comes with `flybridge[history]` and finds each
cloud's usual credentials. A zip archive is read member by member. A file has a `mark` that changes when its content
does: the ETag, or size and time of modification.
"""

from __future__ import annotations

import glob
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, Final, cast
from zipfile import BadZipFile, ZipFile

from msgspec import Struct, structs

from flybridge.errors import ConfigError, FlybridgeError
from flybridge.history.object_reader import ObjectReader, etag_of, said_by_store

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
