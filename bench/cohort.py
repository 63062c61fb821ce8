"""Measures keeping a large cohort in step: a whole download against what AppsFlyer has, of which 2 % has changed.

    python bench/cohort.py                   # 200 thousand members, and a fifth of it before
    python bench/cohort.py --members 5M      # the size that memory is promised for
    python bench/cohort.py --members 1M --change 10
    python bench/cohort.py --postgres        # on a PostgreSQL server that it starts

Everything is flybridge's own: the file is read in pieces of 256 KB, people and identifiers are hashed, rows are staged,
compared by SQL, taken over, and what differs is sent in requests of 10,000. Only the vendors are missing: the file is
made as it is read, and AppsFlyer accepts everything at once. Each size runs in a process of its own; its memory is the
most that was ever resident, as the system counts it. Time must grow as the members do, memory must not.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import msgspec
from msgspec import Struct

from flybridge.amplitude.cohort import Credentials
from flybridge.appsflyer.audience import ImportTarget
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.audiences.plan import AudiencePlan
from flybridge.audiences.rules import AudienceRule
from flybridge.audiences.run import Runner
from flybridge.audiences.schedule import targets
from flybridge.audiences.settings import AudienceSettings
from flybridge.clock import SystemClock
from flybridge.delivery.exchange import HttpRequest, HttpResponse, Limits
from flybridge.identity import Keyring
from flybridge.sealing import Seal
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.postgres.store import PostgresCohorts
from flybridge.store.sqlite.store import SqliteCohorts
from flybridge.testing.postgres import postgres

SECRET = b"the secret of the benchmark"
PIECE = 1 << 18
UNITS = {"k": 1_000, "M": 1_000_000}


class Round(Struct):
    """One snapshot: seconds until it was taken over, and until all of it was sent."""

    members: int
    joined: int
    left: int
    taken_s: float
    sent_s: float
    requests: int


class Measured(Struct):
    """One size."""

    rounds: list[Round]
    peak_mb: float
    store_mb: float


def number(text: str) -> int:
    """Read 5M or 200k."""
    return int(text[:-1]) * UNITS[text[-1]] if text[-1:] in UNITS else int(text)


class Vendors:
    """Amplitude with a cohort of people numbered from `first` on, and an AppsFlyer that accepts everything."""

    def __init__(self) -> None:
        self.first = self.members = self.requests = 0
        self.taken_over_at = 0.0
        self._asked = ""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Answer at once."""
        if "request-status" in request.url:
            return HttpResponse(200, {}, b'{"async_status":"JOB COMPLETED"}')
        if "/api/5/" in request.url:
            return HttpResponse(202, {}, b'{"request_id":"r","cohort_id":"c"}')
        if request.method == "GET":
            return HttpResponse(200, {}, b"{}")
        self.taken_over_at = self.taken_over_at or perf_counter()
        self.requests += 1
        return HttpResponse(200, {}, b'{"message":"The request was successful"}')

    @asynccontextmanager
    async def open(self, request: HttpRequest) -> AsyncIterator[Vendors]:
        """Answer with the file, or with the list of cohorts, which has none."""
        self._asked = request.url
        yield self

    async def close(self) -> None:
        """There is nothing to close."""

    status = 200
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed

    async def pieces(self) -> AsyncIterator[bytes]:
        """Return the file in pieces, people in no order."""
        if "/request/" not in self._asked:
            yield b'{"cohorts":[]}'
            return
        held = b"amplitude_id,user_id,adid\n"
        for row in self._rows():
            held += row
            if len(held) >= PIECE:
                yield held
                held = b""
        yield held

    def _rows(self) -> Iterator[bytes]:
        # A step that has no factor in common with the number visits everybody once.
        step = next(n for n in range(7919, 8400) if self.members % n)
        for i in range(self.members):
            n = self.first + i * step % self.members
            yield b"%d,user-%010d@example.com,%08x-8cf0-41bd-b23e-%012x\n" % (n, n, n * 2654435761 & 0xFFFFFFFF, n)


@asynccontextmanager
async def place(on_postgres: bool) -> AsyncIterator[tuple[CohortStore, Path]]:
    """Return an empty store, and the directory it grows in."""
    with tempfile.TemporaryDirectory(prefix="flybridge-bench-") as directory:
        path = Path(directory) / "store"
        if on_postgres:
            async with postgres(path) as server:
                yield PostgresCohorts(server.dsn(), Seal(SECRET)), path
        else:
            path.mkdir()
            yield SqliteCohorts(path / "store.db", Seal(SECRET)), path


async def measure(members: int, change: float, on_postgres: bool) -> Measured:
    """Take a cohort over, then one that has changed."""
    async with place(on_postgres) as (store, directory):
        vendors, clock = Vendors(), SystemClock()
        await store.open()
        plan = AudiencePlan(
            AudienceRule("shop", AudienceSettings(cohort="c", name="big", identifier="gaid", cadence="hourly")),
            ImportTarget(AppsFlyerAccount("com.example.shop", "token"), "android", "key"),
            Credentials("https://localhost", "key", "secret"),
            limits=Limits(10_000, 5_000_000, 1),
        )
        await store.keep(targets({("shop", "big"): plan}, clock.now_ms()))
        runner = Runner(store, vendors, vendors, clock, Keyring(SECRET))
        rounds = []
        for moved in (0, int(members * change / 200)):
            vendors.members, vendors.first = members, moved
            vendors.requests, vendors.taken_over_at = 0, 0.0
            began = perf_counter()
            run = await runner.run(plan)
            ended = perf_counter()
            assert run is not None
            assert run.outcome == "done", run
            taken_s = (vendors.taken_over_at or ended) - began
            rounds.append(Round(run.rows, run.joined, run.left, taken_s, ended - began - taken_s, run.requests))
        assert await store.audit() == []
        await store.close()
        size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Measured(rounds, peak, size / 2**20)


def in_a_process(members: int, change: float, on_postgres: bool) -> Measured:
    """Measure one size in a fresh process."""
    words = [sys.executable, __file__, "--one", str(members), "--change", str(change)]
    words += ["--postgres"] if on_postgres else []
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(done.stdout, type=Measured)


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=number, default=200_000, help="the larger of two sizes, such as 5M")
    parser.add_argument("--change", type=float, default=2.0, help="percent: half of it leaves, half of it joins")
    parser.add_argument("--postgres", action="store_true", help="keep it in PostgreSQL; its memory is not counted")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        sys.stdout.write(
            msgspec.json.encode(asyncio.run(measure(options.one, options.change, options.postgres))).decode()
        )
        return
    columns = ("members", "snapshot", "joined", "left", "taken over s", "µs/member", "sent s", "requests", "peak MB")
    print(" ".join(f"{name:>12}" for name in columns))
    for members in (options.members // 5, options.members):
        found = in_a_process(members, options.change, options.postgres)
        for name, one in zip(("first", "changed"), found.rounds, strict=True):
            figures = (
                f"{members:,}", name, f"{one.joined:,}", f"{one.left:,}", f"{one.taken_s:.1f}",
                f"{one.taken_s / members * 1e6:.2f}", f"{one.sent_s:.1f}", str(one.requests), f"{found.peak_mb:.0f}",
            )  # fmt: skip
            print(" ".join(f"{figure:>12}" for figure in figures), flush=True)
        print(f"{'':>12} store: {found.store_mb:.0f} MB, {found.store_mb * 2**20 / members:.0f} bytes per member")


if __name__ == "__main__":
    main()
