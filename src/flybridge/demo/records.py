"""What the vendors hold at the end, and its comparison with the truth and the ledger, app by app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from flybridge.demo.environment import DemoApp
from flybridge.demo.streams import StreamVerdict, evidence, judge_stream
from flybridge.demo.verdict import AppVerdict, Evidence, judge
from flybridge.records import digest_of
from flybridge.sandbox.traffic.planned import TrafficMessage
from flybridge.sandbox.traffic.products import Product
from flybridge.sandbox.vendors.appsflyer import OWN
from flybridge.store.figures import LedgerEntry

Rows = list[dict[str, Any]]


class VendorRecords(Struct, frozen=True):
    """What the sandbox holds: at Amplitude `saved` and `rejected`, at AppsFlyer `taken` and `refused`."""

    saved: Rows
    rejected: Rows
    taken: Rows
    refused: Rows


async def read_records(read: Callable[[str], Awaitable[Rows]]) -> VendorRecords:
    """Return what the sandbox holds. `read` reads the rows at a path."""
    # What Amplitude had to wait for in vain was delivered to it all the same.
    saved = [row for kind in ("saved", "waiting", "dropped") for row in await read(f"/sandbox/record?kind={kind}")]
    return VendorRecords(
        saved,
        await read("/sandbox/record?kind=rejected"),
        await read(f"{OWN}record"),
        await read(f"{OWN}rejected"),
    )


async def rows_at(session: aiohttp.ClientSession, url: str) -> Rows:
    """Return the rows of a page of the sandbox."""
    async with session.get(url) as response:
        return rows_of(await response.read())


def rows_of(body: bytes) -> Rows:
    """Return the rows of an answer of the sandbox, a line each."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    return [decode(line) for line in body.splitlines() if line]


def judge_records(
    apps: Sequence[DemoApp],
    messages: Sequence[TrafficMessage],
    made: Sequence[Product],
    *,
    ledger: Sequence[LedgerEntry],
    records: VendorRecords,
    repeats: Mapping[bytes, int],
    after_expiry: bool,
) -> tuple[list[AppVerdict], list[StreamVerdict]]:
    """Compare truth, ledger and what the vendors hold, of both directions."""
    streamed = [
        evidence(
            app.name,
            app.appsflyer_app_id,
            made,
            ledger,
            taken=records.taken,
            rejected=records.refused,
            repeats=repeats,
            after_expiry=after_expiry,
        )
        for app in apps
    ]
    ours = {digest for one in streamed for digest in one.digests}
    rest = [entry for entry in ledger if entry.digest not in ours]
    found = [
        _evidence(app, messages, rest, records=records, repeats=repeats, after_expiry=after_expiry) for app in apps
    ]
    return list(map(judge, found)), list(map(judge_stream, streamed))


def _evidence(
    app: DemoApp,
    messages: Sequence[TrafficMessage],
    ledger: Sequence[LedgerEntry],
    *,
    records: VendorRecords,
    repeats: Mapping[bytes, int],
    after_expiry: bool,
) -> Evidence:
    own = [message for message in messages if message.truth.app == app.name]
    digests = [digest_of(app.name, message.body) for message in own]
    return Evidence(
        app.name,
        app.route,
        own,
        digests,
        [entry for entry in ledger if entry.app == app.name],
        [row for row in records.saved if row["project"] == app.api_key],
        [row for row in records.rejected if row["project"] == app.api_key],
        {digest: repeats[digest] for digest in digests if digest in repeats},
        after_expiry,
    )
