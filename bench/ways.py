"""Measures what each way of seeing people is worth: the share of installs that find their person.

    python bench/ways.py
    python bench/ways.py --events 50000 --late 1

The traffic is that of `flybridge demo`: `--late` is the share of messages of people whom AppsFlyer's messages do not
identify, and whom only Amplitude's stream shows. Amplitude wipes advertising ids, vendor ids and App Set ids from what
it shows, so that such a person is found by a user property `appsflyer_id`, or by the device id where the app's SDK
makes that of one of them. Everything goes through the flow and a store on disk; nothing is sent.

https://amplitude.com/docs/data/destination-catalog/webhooks,
https://amplitude.com/docs/sdks/analytics/android/android-kotlin-sdk (read 2026-11-27)
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from flybridge.amplitude import stream
from flybridge.flow import AppFlow, Flow
from flybridge.identity import IdKind, Keyring
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Envelope, Media, Source
from flybridge.sandbox.traffic.planned import TrafficMessage
from flybridge.sandbox.traffic.postbacks import TrafficApp
from flybridge.sandbox.traffic.traffic import TrafficOptions, generate
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore

APPS: Final = (TrafficApp("android", "android", "com.example.shop"), TrafficApp("ios", "ios", "id499000111"))
SECRET: Final = b"the secret of the benchmark"
BATCH: Final = 200


def no_device_ids(_device_id: str, _platform: str) -> Iterator[tuple[IdKind, str]]:
    """Read no device id."""
    return iter(())


def no_operations(event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the objects that may name an identifier, without the operations of an Identify message."""
    properties = event.get("user_properties")
    return [event, properties] if isinstance(properties, Mapping) else [event]


async def shares(messages: list[TrafficMessage], directory: Path) -> dict[str, float]:
    """Return for each app the share of installs that are on their way to Amplitude when all is processed."""
    flow = Flow({app.name: AppFlow(Rules(app=app.name, platform=app.platform)) for app in APPS}, Keyring(SECRET))
    store = SqliteStore(directory / "store.db", Seal(SECRET))
    await store.open()
    try:
        for start in range(0, len(messages), BATCH):
            envelopes = [envelope_of(one, start + number) for number, one in enumerate(messages[start : start + BATCH])]
            await store.file(flow.filings(envelopes), envelopes[-1].received_ms)
        outcomes = {entry.receipt: entry.outcome async for entry in store.ledger()}
    finally:
        await store.close()
    installs, matched = Counter[str](), Counter[str]()
    for number, message in enumerate(messages):
        truth = message.truth
        if truth.kind == "install" and truth.duplicate_of is None:
            installs[truth.app] += 1
            matched[truth.app] += outcomes[f"r{number}"] == "pending"
    return {app: matched[app] / n for app, n in installs.items()}


def envelope_of(message: TrafficMessage, number: int) -> Envelope:
    """Return a message as the intake stores it."""
    _, _, door, app = message.path.split("/")
    source = Source.PUSH if door == "push" else Source.STREAM
    return Envelope(app, source, Media.JSON, message.send_ms, message.body, f"r{number}")


async def main() -> None:
    """Run the same traffic with more and more ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--late", type=float, default=0.3)
    parser.add_argument("--never", type=float, default=0.08)
    given = parser.parse_args()
    options = TrafficOptions(late_seen=given.late, held=given.never, malformed=0, odd=0)
    messages = list(generate(1, given.events, APPS, options))
    device_ids, places = stream.device_ids, stream._places
    ways = (
        ("user properties", no_device_ids, no_operations),
        ("and Identify messages", no_device_ids, places),
        ("and device ids", device_ids, places),
    )
    print(f"{'Matched by':24}" + "".join(f"{app.name:>10}" for app in APPS))
    for said, stream.device_ids, stream._places in ways:
        with tempfile.TemporaryDirectory() as directory:
            found = await shares(messages, Path(directory))
        print(f"{said:24}" + "".join(f"{found[app.name]:10.1%}" for app in APPS))


if __name__ == "__main__":
    asyncio.run(main())
