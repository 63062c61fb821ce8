"""The folders of a Data Locker, in a bucket or in a directory that holds a copy of one.

Keys hold `t=<report>`, `dt=<day>` and `h=<hour>` somewhere; what stands before, and how a connection is called, is each
customer's. Hours are not padded (`h=2` comes after `h=10` in a listing) and there is `h=late`. The hour is when
AppsFlyer processed an event, in UTC. A folder is complete with `_SUCCESS`. A bucket may hold an hour several times: for
each connection that writes into it, and for each app where data is segregated. Each is a folder of its own.

https://support.appsflyer.com/hc/en-us/articles/360000877538 (read 2026-11-27). In an account of July 2026 (a public
loader of Data Lockers) data segregated by app stood in `h=10/app_id=com.example.shop/part-00000-<UUID>.c000.parquet`,
with a UUID for each time of writing, and ad revenue, written again for the same day, in `version=2/app_id=.../`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec import Struct, field

from flybridge.appsflyer.raw_report import ORDER, TAKEN, Report, report_named
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.history.files import RawFile, local_file, object_file, open_bucket
from flybridge.history.object_reader import said_by_store
from flybridge.history.rows import is_path_of_app

T = TypeVar("T")

SUCCESS: Final = "_SUCCESS"
PATIENCE: Final = timedelta(seconds=20)
"""How long a request is tried: it comes again with the next look, and a process that is to end waits for it."""

_PART: Final = re.compile(r"(?:^|/)(t|dt|h)=([^/]+)")
_VERSION: Final = re.compile(r"(?:^|/)v(?:ersion)?=(\d+)(?=/|$)")
_WRITING: Final = re.compile(r"part-\d+-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")

_COPYING: Final = re.compile(r"(?:\.(?:gz|csv|parquet)\.[0-9a-fA-F]{8}|_\.gstmp|\.partial|\.tmp)$")
"""How files are called while the AWS CLI, gsutil or rclone copies them, and for good if that was broken off."""


class LockerFolder(Struct):
    """The files of one report and hour in one directory that were written together.

    `newest_ms` is when the newest of them was written. `former` are the files of earlier versions.
    """

    report: str
    day: str
    hour: str
    place: str = ""
    writing: str = ""
    files: list[RawFile] = field(default_factory=list)
    is_complete: bool = False
    newest_ms: int = 0
    former: list[RawFile] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its place: report, day and hour."""
        return f"{self.report} {self.day} {self.hour}"

    @property
    def order(self) -> tuple[str, int, int, str, str, str]:
        """Conversions of a day before its in-app events, hours as numbers, `late` at last."""
        report = _report_of(self.report)
        rank = ORDER.index(report) if report is not None else len(ORDER)
        return self.day, int(self.hour) if self.hour.isdecimal() else 99, rank, self.report, self.place, self.writing

    def may_be_of(self, app_id: str) -> bool:
        """Whether its rows may be of this app."""
        return is_path_of_app(f"{self.place}/", app_id)


def place_of(key: str) -> tuple[str, str, str] | None:
    """Return report, day and hour of a key; None if it names no report and day."""
    parts = dict(_PART.findall(key))
    if "t" not in parts or "dt" not in parts:
        return None
    return parts["t"], parts["dt"], parts.get("h", "")


def folder_of(name: str) -> tuple[str, str]:
    """Return the directory of a file, and the UUID of the writing that it came with; empty if its name has none.

    While a folder is written anew, files of both writings may be there. Each event of theirs is in both.
    """
    place, _, file = name.rpartition("/")
    writing = _WRITING.match(file)
    return place, writing[1] if writing is not None else ""


@lru_cache(1024)
def _report_of(name: str) -> Report | None:
    return report_named(f"t={name}/")


def _hour_of(place: str, first_day: str) -> tuple[str, str, str] | None:
    """Return report, day and hour of a directory whose files are read; None of another.

    Files below `_temporary`, and other folders of a writer's own, are not finished.
    """
    end = max((part.end() for part in _PART.finditer(place)), default=0)
    if not _may_matter(place, first_day) or any(one[:1] in {"_", "."} for one in place[end:].split("/") if one):
        return None
    return place_of(place)


def _is_passing(name: str) -> bool:
    """Whether a file is one that is being written or copied, or is hidden: its rows are in another one."""
    return name[:1] in {"_", "."} or _COPYING.search(name) is not None


def _may_matter(prefix: str, first_day: str) -> bool:
    """Whether a folder may hold files that are read: of a report with messages, and not too old."""
    parts = dict(_PART.findall(prefix))
    if "t" in parts and _report_of(parts["t"]) not in TAKEN:
        return False
    return str(parts.get("dt", first_day)) >= first_day


def unversioned(place: str) -> str:
    """Return a directory without the version in it."""
    return _VERSION.sub("", place)


def version_of(place: str) -> int:
    """Return the version of a directory, 0 if it has none."""
    found = _VERSION.search(place)
    return int(found[1]) if found is not None else 0


def newest_files(files: Sequence[RawFile]) -> list[RawFile]:
    """Return files without those in a Data Locker's folder of which a later version is among them."""
    return _newest_versions(files, lambda file: file.name.rpartition("/")[0])


def _newest_versions(items: Iterable[T], place: Callable[[T], str]) -> list[T]:
    """Return what does not lie in a folder of which there is a later version: it has all of the earlier one."""
    newest: dict[str, int] = {}
    versions = list[tuple[T, str, int]]()
    for one in items:
        of, version = place(one), 0
        if (found := _VERSION.search(of)) is not None and place_of(of) is not None:
            of, version = _VERSION.sub("", of), int(found[1])
        newest[of] = max(newest.get(of, version), version)
        versions.append((one, of, version))
    return [one for one, of, version in versions if version == newest[of]]


def _add_former(newest: Iterable[LockerFolder], folders: Iterable[LockerFolder]) -> None:
    """Note with each folder the files of its earlier versions."""
    files: dict[tuple[str, str], list[RawFile]] = {}
    for folder in folders:
        files.setdefault((folder.name, unversioned(folder.place)), []).extend(folder.files)
    for folder in newest:
        own = {file.name for file in folder.files}
        folder.former = [
            file
            for file in files[folder.name, unversioned(folder.place)]
            if file.name not in own and folder_of(file.key)[0] != folder.place
        ]


class Locker:
    """One Data Locker: a bucket, or a directory that holds a copy of one."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._bucket: Any = None
        self._folder = address
        if "://" in address:
            self._bucket, self._folder = open_bucket(address, patience=PATIENCE)

    async def listed(self, first_day: str) -> list[LockerFolder]:
        """Return the folders since a day, and let the event loop go on meanwhile: a listing takes many requests."""
        return await asyncio.to_thread(self.folders, first_day)

    def folders(self, first_day: str) -> list[LockerFolder]:
        """Return the folders since a day, in the order in which they are read."""
        found: dict[tuple[tuple[str, str, str], str, str], LockerFolder] = {}
        marked = set[tuple[tuple[str, str, str], str]]()
        hours: dict[str, tuple[str, str, str] | None] = {}
        for file, written_ms in self._files(first_day):
            place, writing = folder_of(file.key)
            if place not in hours:
                hours[place] = _hour_of(place, first_day)
            hour, name = hours[place], file.key[len(place) + 1 :]
            is_mark = name == SUCCESS
            # What is empty has no rows, or stands for a folder, as consoles of clouds make them.
            if hour is None or not (is_mark or file.size) or (_is_passing(name) and not is_mark):
                continue
            folder = found.setdefault((hour, place, writing), LockerFolder(*hour, place, writing))
            folder.newest_ms = max(folder.newest_ms, written_ms)
            if is_mark:
                marked.add((hour, place))
            else:
                folder.files.append(file)
        for (hour, place, _), folder in found.items():
            # The mark of a folder holds for those in it.
            above = (place[:end] for end in range(len(place) + 1) if end == len(place) or place[end] == "/")
            folder.is_complete = any((hour, one) in marked for one in above)
        newest = _newest_versions(found.values(), lambda folder: folder.place)
        if len(newest) < len(found):
            _add_former(newest, found.values())
        return sorted(newest, key=lambda folder: folder.order)

    def _files(self, first_day: str) -> Iterator[tuple[RawFile, int]]:
        if self._bucket is None:
            root = Path(self._folder)
            if not root.is_dir():
                raise ConfigError(
                    "apps.history.locker", f"there is no directory {root}.", "Name a bucket or directory."
                )
            for path in sorted(root.rglob("*")):
                if path.is_file():
                    yield local_file(path), int(path.stat().st_mtime * 1000)
            return
        origin = (
            self.address[: len(self.address) - len(self._folder)] if self._folder else self.address.rstrip("/") + "/"
        )
        pending = [self._folder.rstrip("/")]
        while pending:
            prefix = pending.pop()
            try:
                objects, folders = self._page(f"{prefix}/" if prefix else "")
            except Exception as problem:  # what obstore raises has no class in common
                raise FlybridgeError(f"{origin}{prefix} can't be listed: {said_by_store(problem)}.") from problem
            for meta in objects:
                yield object_file(meta, self._bucket, origin), round(meta["last_modified"].timestamp() * 1000)
            pending += [one for one in folders if _may_matter(f"{one}/", first_day)]

    def _page(self, prefix: str) -> tuple[list[Any], list[str]]:
        """Return the objects and folders of a folder; all objects below one of a report and day, in few requests."""
        import obstore  # noqa: PLC0415 - an extra

        if place_of(prefix) is not None:
            return [meta for page in obstore.list(self._bucket, prefix=prefix) for meta in page], []
        page: Any = obstore.list_with_delimiter(self._bucket, prefix=prefix or None)
        return page["objects"], page["common_prefixes"]
