"""What the vendors hold at the end, and its comparison with the truth and the ledger, app by app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from flybridge.demo.environment import DemoApp
from flybridge.demo.streams import StreamVerdict, judge_stream
from flybridge.demo.verdict import AppVerdict, Evidence, Row, SentT, judge
from flybridge.records import digest_of
from flybridge.sandbox.client import Rows, SandboxClient
from flybridge.sandbox.traffic.planned import TrafficMessage
from flybridge.sandbox.traffic.products import Product
from flybridge.store.figures import LedgerEntry


class VendorRecords(Struct, frozen=True):
    """What the sandbox holds: at Amplitude `saved` and `rejected`, at AppsFlyer `taken` and `refused`."""

    saved: Rows
    rejected: Rows
    taken: Rows
    refused: Rows


async def read_records(sandbox: SandboxClient) -> VendorRecords:
    """Return what the sandbox holds."""
    return VendorRecords(
        # What Amplitude had to wait for in vain was delivered to it all the same.
        await sandbox.record("saved", "waiting", "dropped"),
        await sandbox.record("rejected"),
        await sandbox.rows("appsflyer/record"),
        await sandbox.rows("appsflyer/rejected"),
    )


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
