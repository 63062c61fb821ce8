"""Measures the mapping of postback bytes to Amplitude JSON with identity, in events per CPU-second.

    python bench/transform.py [--rudderstack CHECKOUT]

Reads realistic Push API v2 messages of about 2.3 KB, maps them, and splices the ids in; then does the least that any
program must do with the same bytes in plain Python (json.loads, copy the fields to another dict, json.dumps), so that
the ratio means the same on every machine, and what the library for JSON takes by itself: below that no mapping comes.
Keys stand in the order of AppsFlyer's example messages; a line shows the cost of any other order. Uses one core; the
best of several rounds counts.

With --rudderstack the same messages go through RudderStack's AppsFlyer source and Amplitude destination as well, in
process, with Node.js: CHECKOUT is a clone of https://github.com/rudderlabs/rudder-transformer after `npm install
--ignore-scripts`. It writes one event for each message, without deduplication, first touch or notes.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time

import msgspec

from flybridge.amplitude.event import with_identity
from flybridge.appsflyer.postback import Postback, read
from flybridge.mapping.to_amplitude.facts import facts_of
from flybridge.mapping.to_amplitude.map import Mapped, Rules, map_facts
from flybridge.records import Media

EVENTS = 1000
BATCH = 250
ROUNDS = 15
RECEIVED_MS = 1_769_903_999_123

RULES = Rules(app="shop-android", platform="android")


def message(number: int, chance: random.Random) -> dict[str, object]:
    """Build one message as AppsFlyer sends it: every fifth an install, the others in-app events."""
    install = number % 5 == 0
    second = f"{number // 60 % 60:02d}:{number % 60:02d}"
    gaid = f"{chance.getrandbits(128):032x}"
    gaid = f"{gaid[:8]}-{gaid[8:12]}-{gaid[12:16]}-{gaid[16:20]}-{gaid[20:]}"
    fields: dict[str, object] = {
        "idfv": None,
        "device_category": "phone",
        "af_sub1": "spring|lookalike|7",
        "customer_user_id": f"user-{chance.getrandbits(40):010d}",
        "bundle_id": "com.example.shop",
        "event_value": ""
        if install
        else json.dumps(
            {
                "af_content_id": f"sku-{chance.randrange(9999)}",
                "af_quantity": 1 + number % 3,
                "af_price": "12.95",
                "af_currency": "EUR",
                "category": "running shoes",
                "checkout_step": "paid",
                "amplitude_device_id": f"{chance.getrandbits(64):016x}R",
                "amplitude_session_id": 1_769_900_000_000 + number,
            }
        ),
        "app_version": "4.21.0",
        "city": "Hamburg",
        "device_model": "samsung::SM-G991B",
        "af_c_id": f"{chance.randrange(40) + 23854961230000400}",
        "attributed_touch_time_selected_timezone": f"2026-01-31 11:58:0{number % 10}.000+0000",
        "selected_currency": "USD",
        "app_name": "Example Shop: shoes and more",
        "install_time_selected_timezone": f"2026-01-31 12:{second}.311+0000",
        "postal_code": "20095",
        "wifi": number % 3 > 0,
        "install_time": f"2026-01-31 12:{second}.311",
        "operator": "Telekom.de",
        "attributed_touch_type": "click",
        "af_attribution_lookback": "7d",
        "campaign_type": "ua",
        "keyword_match_type": None,
        "af_adset_id": f"{chance.randrange(90) + 23854961230000800}",
        "device_download_time_selected_timezone": f"2026-01-31 11:59:{number % 60:02d}.000+0000",
        "conversion_type": "install",
        "api_version": "2.0",
        "attributed_touch_time": f"2026-01-31 11:58:0{number % 10}.000",
        "is_retargeting": False,
        "country_code": "DE",
        "match_type": "gp_referrer",
        "appsflyer_id": f"17698{number:08d}-{chance.getrandbits(50)}",
        "dma": "276005",
        "http_referrer": "android-app://com.android.vending",
        "af_prt": "exampleagency",
        "event_revenue_currency": "EUR",
        "store_reinstall": None,
        "install_app_store": "google_play",
        "media_source": chance.choice(("googleadwords_int", "tiktokglobal_int", "applovin_int", "newsletter")),
        "deeplink_url": None,
        "campaign": f"DE_Android_Shoes_Broad_{chance.randrange(40)}",
        "af_keywords": "running shoes",
        "region": "EU",
        "ip": f"203.0.113.{number % 250}",
        "event_time": f"2026-01-31 12:{second}.{number % 1000:03d}",
        "is_receipt_validated": None,
        "contributor_1_media_source": "applovin_int",
        "contributor_1_campaign": "DE_Android_Shoes_Video",
        "contributor_1_touch_type": "impression",
        "contributor_1_touch_time": "2026-01-30 21:13:45.000",
        "gp_referrer": "utm_source=google-play&utm_medium=organic&gclid=Cj0KCQiA" + "x" * 40,
        "gp_click_time": "2026-01-31 11:58:02.000",
        "gp_install_begin": "2026-01-31 11:58:40.000",
        "user_agent": "Dalvik/2.1.0 (Linux; U; Android 14; SM-G991B Build/UP1A.231005.007)",
        "event_source": "SDK",
        "os_version": "14",
        "sdk_version": "v6.14.2",
        "advertising_id": gaid,
        "af_channel": "ACI_Search",
        "af_siteid": f"site-{chance.randrange(500)}",
        "af_adset": f"Broad 25-44 {chance.randrange(90)}",
        "af_ad": f"video_{chance.randrange(30)}_1080x1920.mp4",
        "af_ad_id": f"{chance.randrange(300) + 23854961230000900}",
        "language": "de-DE",
        "app_id": "com.example.shop",
        "event_name": "install" if install else chance.choice(("af_purchase", "af_add_to_cart", "level_done")),
        "is_primary_attribution": True,
        "platform": "android",
        "is_lat": False,
        "selected_timezone": "UTC",
        "event_revenue": None if install else 12.95 + number % 7,
        "event_revenue_usd": None if install else 14.03 + number % 7,
    }
    return {name: value for name, value in fields.items() if value is not None and value != ""}


def ours(bodies: list[bytes]) -> int:
    """Read, map and write every message, in batches and step by step as `flow` does; give the bytes written."""
    written = 0
    for start in range(0, len(bodies), BATCH):
        postbacks = [read(body, Media.JSON) for body in bodies[start : start + BATCH]]
        facts = [facts_of(postback, RULES, RECEIVED_MS) for postback in postbacks]  # type: ignore[arg-type]
        for mapped in [map_facts(said, RULES) for said in facts]:
            if not isinstance(mapped, Mapped):
                sys.exit(f"The benchmark's own message was not mapped: {mapped}")
            written += len(with_identity(mapped.body, mapped.user_id, mapped.device_id))
    return written


def plain(bodies: list[bytes]) -> int:
    """Copy every message to another dict with the standard library; give the bytes written."""
    written = 0
    for body in bodies:
        properties = {name: value for name, value in json.loads(body).items() if value is not None}
        written += len(json.dumps({"event_type": properties["event_name"], "event_properties": properties}))
    return written


def coded(bodies: list[bytes]) -> int:
    """Decode every message into its fields and write them again, without a look at them; give the bytes written."""
    decode, encode = msgspec.json.Decoder(Postback, strict=False).decode, msgspec.json.Encoder().encode
    return sum(len(encode(decode(body))) for body in bodies)


def best(*works: tuple[Callable[[list[bytes]], int], list[bytes]]) -> list[float]:
    """Return events per CPU-second of each function in its best round. They take turns: a busy time slows all alike."""
    times = [float("inf")] * len(works)
    for _ in range(ROUNDS):
        for number, (work, bodies) in enumerate(works):
            start = process_time()
            work(bodies)
            times[number] = min(times[number], process_time() - start)
    return [len(bodies) / time for (_, bodies), time in zip(works, times, strict=True)]


def written(fields: dict[str, object]) -> bytes:
    """Write a message without blanks between its parts, as AppsFlyer does."""
    return json.dumps(fields, separators=(",", ":")).encode()


def rudderstack(checkout: Path, messages: list[bytes]) -> float:
    """Return events per CPU-second of RudderStack's transformer."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(b"\n".join(messages))
        file.flush()
        command = ("node", str(Path(__file__).with_name("_rudderstack.js")), str(checkout), file.name)
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rudderstack", type=Path, metavar="CHECKOUT")
    options = parser.parse_args()
    chance = random.Random(7)
    messages = [message(number, chance) for number in range(EVENTS)]
    bodies = [written(fields) for fields in messages]
    shuffled = [written(dict(chance.sample(list(fields.items()), len(fields)))) for fields in messages]
    size = sum(map(len, bodies)) / len(bodies)
    mapped, copied, least, other = best((ours, bodies), (plain, bodies), (coded, bodies), (ours, shuffled))
    print(f"messages             {len(bodies)} of {size:,.0f} bytes on average")
    print(f"read, map, write     {mapped:>10,.0f} events per CPU-second   {1e6 / mapped:6.1f} microseconds each")
    print(f"plain json copy      {copied:>10,.0f} events per CPU-second   {1e6 / copied:6.1f} microseconds each")
    print(f"decode, encode alone {least:>10,.0f} events per CPU-second   {1e6 / least:6.1f} microseconds each")
    print(f"ratio to plain copy  {mapped / copied:>10.2f}")
    print(f"keys in random order {other:>10,.0f} events per CPU-second   {1e6 / other:6.1f} microseconds each")
    if options.rudderstack is not None:
        theirs = rudderstack(options.rudderstack, bodies)
        print(f"RudderStack          {theirs:>10,.0f} events per CPU-second   {mapped / theirs:.2f} times as many here")


if __name__ == "__main__":
    main()
