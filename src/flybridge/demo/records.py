"""What the vendors hold at the end, and its comparison with the truth and the ledger, app by app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from flybridge.demo.environment import DemoApp
from flybridge.demo.streams import StreamVerdict, judge_stream
from flybridge.demo.verdict import AppVerdict, Evidence, Row, SentT, judge
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

    def evidence(
        app: DemoApp, sent: Sequence[SentT], lines: Sequence[LedgerEntry], taken: Sequence[Row], rejected: Sequence[Row]
    ) -> Evidence[SentT]:
        own = [one for one in sent if one.truth.app == app.name]
        digests = [digest_of(app.name, one.body) for one in own]
        lines = [entry for entry in lines if entry.app == app.name]
        again = {digest: repeats[digest] for digest in digests if digest in repeats}
        return Evidence(app.name, own, digests, lines, taken, rejected, app.route, again, after_expiry)

    ours = {digest_of(product.truth.app, product.body) for product in made}
    verdicts, streams = list[AppVerdict](), list[StreamVerdict]()
    for app in apps:
        taken, refused = (_of("app", app.appsflyer_app_id, rows) for rows in (records.taken, records.refused))
        streams.append(judge_stream(evidence(app, made, [one for one in ledger if one.digest in ours], taken, refused)))
        saved, rejected = (_of("project", app.api_key, rows) for rows in (records.saved, records.rejected))
        verdicts.append(
            judge(evidence(app, messages, [one for one in ledger if one.digest not in ours], saved, rejected))
        )
    return verdicts, streams


def _of(name: str, value: str, rows: Rows) -> Rows:
    return [row for row in rows if row[name] == value]
