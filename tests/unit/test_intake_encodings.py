"""Whatever encoding a message comes in, each endpoint reads it, or keeps it as a dead letter: nothing is lost."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from flybridge.amplitude.streamed import read_message
from flybridge.appsflyer import postback
from flybridge.appsflyer.postback import Postback
from flybridge.config.settings import loads
from flybridge.operations.messages import read_messages
from flybridge.records import Dead, Envelope, Filing, Media, Source
from flybridge.testing.clocks import ManualClock
from flybridge.web.answers import Refusal
from flybridge.web.intake import Intake
from flybridge.wiring import build_flow, intake_apps_of

MAX_BYTES = 5_000
NOW_MS = 1_900_000_000_000
CONFIG = loads(
    """
secret = "sixteen characters or more"
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
[apps.appsflyer]
push_token = "t"
s2s_key = "key"
api_token = "key"
[apps.amplitude]
api_key = "key"
secret_key = "secret"
webhook_token = "t"
[[apps.streams]]
events = ["*"]
[[apps.audiences]]
name = "vips"
cohort = "c1"
import_key = "key"
identifier = "gaid"
""",
    Path(),
    {},
)
FLOW = build_flow(CONFIG)


class Kept:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def accept(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)


def sent(path: str, body: bytes, **headers: str) -> tuple[int, list[Filing]]:
    """Post a body with the right token; return the answer's status, and what is made of what was kept."""
    inbox = Kept()
    intake = Intake(intake_apps_of(CONFIG), inbox, ManualClock(NOW_MS), max_bytes=MAX_BYTES)
    given = {"authorization": "t"} | {name.replace("_", "-"): value for name, value in headers.items()}

    async def read() -> bytes:
        return body

    reply = asyncio.run(intake.take(path, "POST", b"", given.get, read))
    filings = [FLOW.safe_filing(envelope) for envelope in inbox.envelopes]
    return (reply.status if isinstance(reply, Refusal) else 200), filings


PUSHED = {"event_name": "install", "appsflyer_id": "1629191854863-7087037", "campaign": "Łódź für alle"}
STREAMED = {"event_type": "Łódź", "user_id": "ünal", "device_id": "d-1", "user_properties": {"appsflyer_id": "1-2"}}
COHORT = {"cohort_id": "c1", "in_cohort": True, "users": [{"user_id": "ünal"}], "cohort_name": "Łódź"}
DOORS: Mapping[str, dict] = {"/v1/push/shop": PUSHED, "/v1/stream/shop": STREAMED, "/v1/cohorts/shop": COHORT}


def read_back(filing: Filing) -> dict:
    """Return the fields of a message as they are read from what is kept."""
    envelope = filing.envelope
    assert not isinstance(filing.decision, Dead), filing.decision
    if envelope.source is not Source.PUSH:
        return read_message(envelope.body, {})
    found = postback.read(envelope.body, envelope.media)
    assert isinstance(found, Postback)
    return {name: found.get(name) for name in PUSHED}


def plain(message: dict) -> str:
    return json.dumps(message, ensure_ascii=False)


def raw_deflate(body: bytes) -> bytes:
    """Compress as some clients understand `deflate`."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


ENCODED = {
    "UTF-8": lambda text: (text.encode(), {}),
    "UTF-8 with a mark": lambda text: (text.encode("utf-8-sig"), {}),
    "UTF-8, though Latin-1 is stated": lambda text: (text.encode(), {"content_type": "text/plain; charset=iso-8859-1"}),
    "UTF-8, though UTF-16 is stated": lambda text: (text.encode(), {"content_type": "text/json; charset=utf-16"}),
    "UTF-16 with a mark": lambda text: (text.encode("utf-16"), {}),
    "UTF-16, large end first, with a mark": lambda text: (b"\xfe\xff" + text.encode("utf-16-be"), {}),
    "UTF-16": lambda text: (text.encode("utf-16-le"), {"content_type": "application/json"}),
    "UTF-16, large end first": lambda text: (text.encode("utf-16-be"), {}),
    "UTF-16 behind blanks": lambda text: ("\r\n\t " .encode("utf-16-le") + text.encode("utf-16-le"), {}),
    "UTF-32 with a mark": lambda text: (text.encode("utf-32"), {}),
    "UTF-32": lambda text: (text.encode("utf-32-le"), {}),
    "UTF-32, large end first": lambda text: (text.encode("utf-32-be"), {}),
    "Latin-2, as stated": lambda text: (text.encode("iso-8859-2"), {"content_type": "text/json; charset=ISO-8859-2"}),
    "Windows-1250, as stated": lambda text: (text.encode("cp1250"), {"content_type": 'text/x; charset="cp1250"; x=1'}),
    "GB 18030, as stated": lambda text: (text.encode("gb18030"), {"content_type": "application/json;charset=GB18030"}),
    "gzip": lambda text: (gzip.compress(text.encode()), {"content_encoding": "gzip"}),
    "gzip that is not announced": lambda text: (gzip.compress(text.encode("utf-16")), {}),
    "gzip in parts": lambda text: (gzip.compress(text.encode()[:9]) + gzip.compress(text.encode()[9:]), {}),
    "gzip with something behind it": lambda text: (gzip.compress(text.encode()) + b"\0\0", {}),
    "gzip without its checksum": lambda text: (gzip.compress(text.encode())[:-8], {"content_encoding": "gzip"}),
    "no gzip, though it is announced": lambda text: (text.encode(), {"content_encoding": "gzip"}),
    "no Brotli, though it is announced": lambda text: (text.encode(), {"content_encoding": "br"}),
    "deflate": lambda text: (zlib.compress(text.encode()), {"content_encoding": "deflate"}),
    "deflate without a header": lambda text: (raw_deflate(text.encode()), {"content_encoding": "deflate"}),
    "gzip in gzip": lambda text: (gzip.compress(gzip.compress(text.encode())), {"content_encoding": "gzip, gzip"}),
    "Zstandard": lambda text: (zstandard.compress(text.encode()), {"content_encoding": "zstd"}),
    "Zstandard that is not announced": lambda text: (zstandard.compress(text.encode("utf-16")), {}),
    "Zstandard in parts": lambda text: (b"".join(map(zstandard.compress, (text.encode()[:9], text.encode()[9:]))), {}),
    "no Zstandard, though it is announced": lambda text: (text.encode(), {"content_encoding": "zstd"}),
    "a form that is JSON": lambda text: (text.encode(), {"content_type": "application/x-www-form-urlencoded"}),
    "a picture that is JSON": lambda text: (text.encode(), {"content_type": "image/png"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", [None, "text/plain", "application/json", "application/octet-stream", "*/*"])
@pytest.mark.parametrize(("before", "after"), [(b"", b""), (b"\r\n", b"\n"), (b"?", b""), (b"\xef\xbb\xbf", b"")])
def test_a_form_is_read_whatever_it_is_called(kind, before, after):
    """`explain` reads it by its bytes, too."""
    body = before + urlencode(PUSHED).encode() + after
    status, (filing,) = sent("/v1/push/shop", body, **({} if kind is None else {"content_type": kind}))
    assert (status, read_back(filing)) == (200, PUSHED)


@pytest.mark.parametrize("body", [b"a=b", b"hello=", b"eyJhIjoxfQ==", b"x=1&y=2", b"campaign", b"event_name=a b\nc"])
def test_other_text_with_a_sign_of_equality_is_no_form(body):
    """It has no field of a postback, or white space."""
    _, (filing,) = sent("/v1/push/shop", body)
    assert isinstance(filing.decision, Dead)
    assert filing.decision.reason == "not_json"


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("encode", ENCODED.values(), ids=ENCODED)
def test_each_encoding_is_read(path, encode):
    """Every field has the characters that were sent, at each endpoint."""
    body, headers = encode(plain(DOORS[path]))
    status, filings = sent(path, body, **headers)
    assert (status, len(filings)) == (200, 1)
    assert read_back(filings[0]) == DOORS[path]


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_bytes_of_windows_are_read_text_by_text(path, encoding):
    """A message has texts of several origins: what is UTF-8 stays UTF-8 beside a text that is not."""
    message = DOORS[path] | {"campaign": "Łódź", "af_sub1": "Soldes d'été", "own": {"Straße": ["Müller", "naïve"]}}
    body = plain(message).encode()
    for text in ("Soldes d'été", "Straße", "Müller", "naïve"):
        body = body.replace(text.encode(), text.encode(encoding))
    status, filings = sent(path, body)
    assert (status, len(filings)) == (200, 1)
    envelope = filings[0].envelope
    if path == "/v1/push/shop":
        found = postback.read(envelope.body, envelope.media)
        assert isinstance(found, Postback)
        read = {name: found.get(name) for name in message}
        assert any("not clean JSON" in note for note in found.notes)
    else:
        read = read_message(envelope.body, {})
    assert read == message


def test_fields_that_nobody_asks_for_may_be_of_any_bytes():
    """They are read when a condition or a template names them, and cost nothing else."""
    body = plain(PUSHED).encode()[:-1] + b', "own": "caf\xe9"}'
    _, (filing,) = sent("/v1/push/shop", body)
    found = postback.read(filing.envelope.body, filing.envelope.media)
    assert isinstance(found, Postback)
    assert (found.campaign, found.get("own")) == (PUSHED["campaign"], "café")


def test_a_form_is_a_query():
    """AppsFlyer's fields as a form, from a system in between."""
    body = b"event_name=install&appsflyer_id=1629191854863-7087037&campaign=%C5%81%C3%B3d%C5%BA+f%C3%BCr+alle"
    status, (filing,) = sent("/v1/push/shop", body, content_type="application/x-www-form-urlencoded; charset=UTF-8")
    assert (status, filing.envelope.media) == (200, Media.QUERY)
    assert read_back(filing) == PUSHED


@pytest.mark.parametrize(
    "opening", ["[", '{"a":', '{"events":', '{"input":', '[{"events":', '{"events":[{"event_type":[']
)
@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("depth", [90, 150, 300])
def test_whatever_is_nested_is_accounted_for(opening, closed, depth):
    """However deep, and whether it ends or not."""
    ends = "".join({"[": "]", "{": "}"}[one] for one in reversed(opening) if one in "[{")
    body = (opening * depth + ("1" + ends * depth if closed else "")).encode()
    assert len(body) < MAX_BYTES or depth == 300
    status, filings = sent("/v1/stream/shop", body[: MAX_BYTES - 1])
    assert status == 200
    assert filings
    assert all(not isinstance(one.decision, Dead) or one.decision.reason != "fault" for one in filings)


UNREADABLE = {
    "half of JSON": b'{"event_name":',
    "an object behind a number": b'1 {"a":2}',
    "Python": b"{'a': object()}",
    "no JSON": b"hello",
    "XML": b"<xml/>",
    "nested too deep": b'{"a":' + b"[" * 2_000,
    "nested too deep, and closed": b'{"":' * 990 + b"1" + b"}" * 990,
    "half of UTF-16": '{"a":1}'.encode("utf-16")[:-1],
    "a form of many parts": b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--',
    "Brotli": b"\x8b\x03\x80{}\x03",
    "half of Zstandard": b"\x28\xb5\x2f\xfd\x04\x00\x11",
    "gzip of nothing readable": gzip.compress(b"x" * 300)[:12],
    "zeros": bytes(40),
    "a picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
}


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_a_dead_letter(path, body):
    """It is kept to be replayed, with a sentence about what is wrong and one about what to do."""
    status, filings = sent(path, body)
    assert (status, len(filings)) == (200, 1)
    decision = filings[0].decision
    assert isinstance(decision, Dead)
    assert decision.reason in {"not_json", "nested_too_deep"}
    assert decision.detail.endswith(".")
    assert decision.remedy.endswith(".")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/push/shop", ('{"event_name":"' + "\u9eba" * 2_000 + '"}').encode("utf-16")),
        ("/v1/cohorts/shop/lists/c1/add", b"\xff" * 4_900),
        ("/v1/cohorts/shop/lists/c1/add", b"\x01" * 4_900),
    ],
)
def test_what_grows_beyond_the_limit_is_too_large(path, body):
    """The inbox takes so much and no more, as UTF-8 and inside of a frame."""
    assert len(body) < MAX_BYTES
    assert sent(path, body) == (413, [])


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
sendings = st.one_of(
    st.binary(max_size=80),
    st.tuples(texts, st.sampled_from(["utf-8", "utf-16", "utf-16-be", "utf-32", "cp1252", "koi8-r", "gb18030"])).map(
        lambda of: plain({"event_name": of[0], "event_type": of[0], "user_id": "u"}).encode(of[1], "replace")
    ),
    st.tuples(st.binary(max_size=9), st.binary(max_size=9)).map(
        lambda of: b'{"event_name":"' + of[0] + b'","user_id":"' + of[1] + b'"}'
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    path=st.sampled_from([*DOORS]),
    body=sendings | sendings.map(gzip.compress) | sendings.map(zlib.compress),
    headers=st.fixed_dictionaries(
        {},
        optional={
            "content_type": st.sampled_from(
                [
                    "application/json",
                    "application/x-www-form-urlencoded",
                    "text/html; charset=koi8-r",
                    "charset=hex",
                    "é",
                ]
            ),
            "content_encoding": st.sampled_from(["gzip", "deflate", "br", "", "identity"]),
        },
    ),
)
def test_every_body_is_accounted_for(path, body, headers):
    """It is one message with one outcome that is no fault of flybridge's, or there is nothing in it."""
    status, filings = sent(path, body, **headers)
    assert (status, len(filings)) in {(200, 1), (400, 0)}
    if status == 400:
        assert gunzipped(body).strip() in {b"", b"\xff\xfe", b"\xfe\xff"}, "nothing was sent"
    for filing in filings:
        assert not (isinstance(filing.decision, Dead) and filing.decision.reason == "fault"), filing.decision


def gunzipped(body: bytes) -> bytes:
    try:
        return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else zlib.decompress(body)
    except (OSError, EOFError, zlib.error):
        return body


@pytest.mark.parametrize("name", [name for name, encode in ENCODED.items() if not encode("{}")[1] or "gzip" in name])
def test_explain_reads_the_same(name):
    """A file of the same bytes is the message that `serve` would keep."""
    body, _ = ENCODED[name](plain(STREAMED))
    _, (filing,) = sent("/v1/stream/shop", body)
    (message,) = read_messages(body)
    assert (message.source, read_message(message.body, {})) == (Source.STREAM, read_message(filing.envelope.body, {}))
