"""A message is one event however its fields are written: times, numbers, flags, nothing, order, and encoding."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from flybridge.appsflyer.fields import NAMES
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Decision, Deliver, Envelope, Filing, Filter, Hold, Media, Refuse, Source
from flybridge.system.text_encoding import line_text
from flybridge.web.body import unpacked

RECEIVED_MS = 1_773_000_000_000
GOLDEN = Path(__file__).parent.parent / "golden/postbacks"
MESSAGES = {path.stem: json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*.json"))}
TIMES = ("event_time", "install_time", "attributed_touch_time", "device_download_time", "gp_click_time")
NAMED = (
    "event_name", "media_source", "campaign", "appsflyer_id", "customer_user_id", "advertising_id", "idfa", "idfv",
    "app_id", "platform", *TIMES,
)  # fmt: skip
PASSED = ("event_value", "custom_data")
KOLKATA = timezone(timedelta(hours=5, minutes=30))

Message = dict[str, Any]


def times(write: Callable[[datetime, str], Any]) -> Callable[[Message], Message]:
    """Return what writes the times of a message anew, given a moment and how its second is divided in the message."""

    def written(message: Message) -> Message:
        found = dict(message)
        for name in TIMES:
            if text := found.get(name):
                whole = text.partition(".")[0]
                found[name] = write(datetime.fromisoformat(whole).replace(tzinfo=UTC), text[len(whole) :])
        return found

    return written


def milliseconds(moment: datetime, fraction: str) -> int:
    seconds = int(moment.timestamp())
    return seconds * 1000 + int(fraction[1:4].ljust(3, "0")) if fraction else seconds


def each(change: Callable[[str, Any], Any]) -> Callable[[Message], Message]:
    """Return what changes the value of each field."""
    return lambda message: {name: change(name, value) for name, value in message.items()}


def flags(yes: Any, no: Any) -> Callable[[Message], Message]:
    """Return what writes true and false in another way."""
    spelled = {"true": yes, "false": no}
    return each(lambda name, value: value if name in PASSED else spelled.get(str(value).lower(), value))


def filled(value: Any) -> Callable[[Message], Message]:
    """Return what gives a value to all fields that a message has not."""
    return lambda message: dict.fromkeys(NAMES, value) | message


def passed(change: Callable[[str], Any]) -> Callable[[Message], Message]:
    """Return what writes JSON in text in another way."""
    return each(lambda name, value: change(value) if name in PASSED and str(value)[:2] == '{"' else value)


SPELLED: dict[str, Callable[[Message], Message]] = {
    "times as in ISO 8601": times(lambda moment, part: f"{moment:%Y-%m-%dT%H:%M:%S}{part}Z"),
    "times of another zone": times(lambda moment, part: f"{moment.astimezone(KOLKATA):%Y-%m-%d %H:%M:%S}{part}+0530"),
    "times with slashes": times(lambda moment, part: f"{moment:%Y/%m/%d %H:%M:%S}{part}"),
    "numbers of milliseconds or seconds": times(milliseconds),
    "the same in text": times(lambda moment, part: str(milliseconds(moment, part))),
    "numbers in text": each(lambda _, value: str(value) if type(value) in (int, float) else value),
    "flags in text": each(lambda _, value: str(value) if isinstance(value, bool) else value),
    "flags as words": flags("YES", "no"),
    "flags as numbers": flags(1, 0),
    "flags as booleans": flags(yes=True, no=False),
    "null for what is absent": filled(None),
    "blanks for what is absent": filled(" "),
    "N/A for what is absent": filled("N/A"),
    "blanks around": each(lambda name, value: f"\t {value}\u00a0" if name in NAMED and value else value),
    "objects": passed(json.loads),
    "encoded twice": passed(json.dumps),
    "another order": lambda message: dict(sorted(message.items(), reverse=True)),
    "fields that are new": lambda message: message | {"brand_new": "1", "newer": {"a": [1, None]}},
}


def form(message: Message) -> bytes:
    return urlencode(each(lambda _, value: value if isinstance(value, str) else json.dumps(value))(message)).encode()


ENCODED: dict[str, Callable[[Message], tuple[bytes, Media]]] = {
    "JSON": lambda message: (json.dumps(message).encode(), Media.JSON),
    "indented": lambda message: (json.dumps(message, indent="\t").encode(), Media.JSON),
    "UTF-16": lambda message: (json.dumps(message, ensure_ascii=False).encode("utf-16"), Media.JSON),
    "UTF-8 with a mark": lambda message: (json.dumps(message, ensure_ascii=False).encode("utf-8-sig"), Media.JSON),
    "query": lambda message: (form(message), Media.QUERY),
}


def parts(message: Message) -> bytes:
    """Return a message as a form of several parts."""
    fields = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (
            (name, value if isinstance(value, str) else json.dumps(value)) for name, value in message.items()
        )
    ]
    return ("".join(fields) + "--b--\r\n").encode()


def part(message: Message) -> bytes:
    """Return a message as a file in a form."""
    head = b'--x\nContent-Type: application/json\ncontent-disposition: form-data; name="f"; filename="a.json"\n\n'
    return head + json.dumps(message, indent=1).encode() + b"\n--x--\n"


def in_halves(text: str) -> bytes:
    """Return UTF-8 in which each character beyond 16 bits is written as two."""
    units = (text[at].encode("utf-16-be") for at in range(len(text)))
    return b"".join(
        one.decode("utf-16-be").encode()
        if len(one) == 2
        else b"".join(chr(int.from_bytes(half)).encode("utf-8", "surrogatepass") for half in (one[:2], one[2:]))
        for one in units
    )


@pytest.mark.parametrize("text", ["😀", "a 😀\U00020000 b", "Łódź 😀", "é\U0010ffff"])
def test_characters_written_in_halves_are_whole(text: str) -> None:
    """As Java and old databases write UTF-8: in a message, in a query, in a form, and in a file of raw data."""
    flow = Flow({"shop": AppFlow(Rules(app="shop", platform="android"))}, Keyring(b"a secret for the tests"))
    message = {
        "app_id": "a",
        "event_name": f"n{text}",
        "customer_user_id": f"u{text}",
        "event_time": "2026-03-04 08:30:00",
    }
    message |= {"event_value": json.dumps({text: [text]}, ensure_ascii=False), "new": text}
    written = in_halves(json.dumps(message, ensure_ascii=False))
    assert written != json.dumps(message, ensure_ascii=False).encode()
    query = urlencode({name: in_halves(value) for name, value in message.items()}).encode()
    one = filed(message, ENCODED["JSON"], flow)
    for body, media in ((written, Media.JSON), (query, Media.QUERY)):
        other = filed(message, lambda _, form=(body, media): form, flow)
        assert outcome(other.decision) == outcome(one.decision)
    assert line_text(in_halves(f"{text},{text}")) == f"{text},{text}"
    assert line_text(in_halves(text) + b"\xe9") == f"{text}\ufffd"


AROUND: dict[str, Callable[[Message], tuple[bytes, Media]]] = {
    "an object": lambda message: (json.dumps({"data": message, "id": 7}).encode(), Media.JSON),
    "objects": lambda message: (json.dumps({"detail": {"payload": message}, "region": "eu"}).encode(), Media.JSON),
    "a list": lambda message: (json.dumps({"events": [message]}).encode(), Media.JSON),
    "JSON in text": lambda message: (
        json.dumps({"Type": "Notification", "Message": json.dumps(message), "Subject": None}).encode(), Media.JSON,
    ),
    "JSON in text, twice": lambda message: (
        json.dumps({"body": json.dumps(json.dumps({"data": message}))}).encode(), Media.JSON
    ),
    "one of several objects": lambda message: (
        json.dumps([{"headers": {"host": "a"}, "params": {}, "query": {}, "body": json.dumps(message)}]).encode(),
        Media.JSON,
    ),
    "a field of a form": lambda message: (urlencode({"payload": json.dumps(message)}).encode(), Media.QUERY),
    "the name of a field": lambda message: (urlencode({json.dumps(message): ""}).encode(), Media.QUERY),
    "a form of several parts": lambda message: (parts(message), Media.JSON),
    "a part of a form": lambda message: (part(message), Media.JSON),
}  # fmt: skip
"""What queues, gateways and forms put around a message."""


def filed(message: Message, encode: Callable[[Message], tuple[bytes, Media]], flow: Flow) -> Filing:
    """Return what becomes of a message."""
    body, media = encode(message)
    read = unpacked(body, lambda _: None, 1_000_000)
    assert isinstance(read, bytes)
    return flow.safe_filing(Envelope("shop", Source.PUSH, media, RECEIVED_MS, read, "r.0"))


def outcome(decision: Decision) -> tuple[Any, ...]:
    """Return what is to be the same of a decision."""
    match decision:
        case Hold():
            return ("held", decision.key_kinds, *outcome(decision.item))
        case Deliver():
            items = [json.loads(item) for item in decision.body.split(b"\n")]
            return decision.user_id, decision.device_id, decision.insert_id, items
    assert isinstance(decision, Filter | Refuse)
    return type(decision), decision.reason


@pytest.mark.parametrize("encoded", ENCODED)
@pytest.mark.parametrize("spelled", SPELLED)
def test_a_message_is_one_event_however_it_is_written(spelled: str, encoded: str) -> None:
    """Down to the id by which Amplitude knows it again. Each kind of message that AppsFlyer has."""
    assert MESSAGES
    for message in MESSAGES.values():
        platform = "ios" if str(message.get("platform")).lower() == "ios" else "android"
        flow = Flow({"shop": AppFlow(Rules(app="shop", platform=platform))}, Keyring(b"a secret for the tests"))
        one = filed(message, ENCODED["JSON"], flow)
        other = filed(SPELLED[spelled](message), ENCODED[encoded], flow)
        assert outcome(other.decision) == outcome(one.decision)
        if isinstance(one.decision, Deliver | Hold):
            assert other.key == one.key


@pytest.mark.parametrize("around", AROUND)
def test_a_message_is_the_same_within_what_is_put_around_it(around: str) -> None:
    """Nothing of the message is lost, and nothing of what stands around it is taken for its."""
    for message in MESSAGES.values():
        platform = "ios" if str(message.get("platform")).lower() == "ios" else "android"
        flow = Flow({"shop": AppFlow(Rules(app="shop", platform=platform))}, Keyring(b"a secret for the tests"))
        one, other = (filed(message, encode, flow) for encode in (ENCODED["JSON"], AROUND[around]))
        assert outcome(other.decision) == outcome(one.decision)
        if isinstance(one.decision, Deliver | Hold):
            assert other.key == one.key
