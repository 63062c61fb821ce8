"""`explain` says what `serve` does: of every message in the repository, and of any bytes at all."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from empty_stores import write_empty_store
from flybridge.config.settings import loads
from flybridge.errors import ConfigError
from flybridge.history.progress import Progress
from flybridge.lenient_json import decode
from flybridge.operations.explain import MAX_ROWS, app_of, explain
from flybridge.operations.messages import read_messages
from flybridge.records import Apply, Dead, Deliver, Envelope, Filter, Hold, Media, Refuse, Source
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.clocks import ManualClock
from flybridge.web.intake import Intake
from flybridge.wiring import build_flow, intake_apps_of

GOLDEN = Path(__file__).parents[1] / "golden"
NOW_MS = 1_790_000_000_000
CONFIG = """
secret = "0123456789abcdef0123456789abcdef"
[[apps]]
name = "shop"
appsflyer_app_id = "{app_id}"
platform = "{platform}"
route = "{route}"
appsflyer.push_token = "a-token"
appsflyer.s2s_key = "a-key"
amplitude.api_key = "a-key"
amplitude.webhook_token = "a-token"
{streams}
"""
STREAMS = """
[[apps.streams]]
events = ["*"]
wait_hours = {}
properties.appsflyer_id = "user_properties.appsflyer_id"
"""
CONFIGS = [
    (platform, route, streams)
    for platform, app_id in (("android", "com.example.shop"), ("ios", "id123456789"))
    for route in ("http_v2", "attribution")
    for streams in ("", STREAMS.format(0), STREAMS.format(6))
]


def config_of(platform: str, route: str, streams: str):
    """Build a configuration."""
    app_id = "id123456789" if platform == "ios" else "com.example.shop"
    return loads(CONFIG.format(platform=platform, route=route, streams=streams, app_id=app_id), Path("/nowhere"), {})


def inputs() -> list[tuple[str, Source, bytes, bytes]]:
    """Return every golden message: its name, source and bytes, and the text given to `explain`."""
    found = []
    for path in sorted(GOLDEN.glob("postbacks/*.json")):
        found.append((path.stem, Source.PUSH, path.read_bytes()))
    for path in sorted(GOLDEN.glob("events/*.json")):
        message = json.loads(path.read_bytes())
        found.append((path.stem, Source.STREAM, json.dumps(message.get("event", message)).encode()))
    for path in sorted(GOLDEN.glob("cases/*.json")):
        case = json.loads(path.read_bytes())
        if isinstance(case.get("message"), dict):
            found.append((path.stem, Source.PUSH, json.dumps(case["message"]).encode()))
    return found


INPUTS = inputs()


async def filed(tmp_path: Path, config, source: Source, media: Media, body: bytes) -> str:
    """Return the outcome that a pipeline with an empty store gives a message."""
    store = SqliteStore(write_empty_store(tmp_path / "store.db"), Seal(*config.secrets))
    await store.open()
    try:
        envelope = Envelope("shop", source, media, NOW_MS, body, "r1")
        await store.file(build_flow(config).filings([envelope]), NOW_MS)
        ((outcome, reason),) = {(one.outcome, one.reason) for one in await store.counts()}
        return f"{'delivered' if outcome == 'pending' else outcome} {reason}".strip()
    finally:
        await store.close()


def test_there_are_inputs():
    """The patterns above find the files."""
    assert len(INPUTS) > 60
    assert {source for _, source, _ in INPUTS} == {Source.PUSH, Source.STREAM}


@pytest.mark.parametrize("number", range(len(CONFIGS)))
async def test_explain_and_the_pipeline_agree_on_every_message(tmp_path, number):
    """In outcome and reason, on both routes, with and without streams."""
    config = config_of(*CONFIGS[number])
    different = {}
    for at, (name, source, body) in enumerate(INPUTS):
        (message,) = read_messages(body)
        assert message.source is source, name
        (outcome,) = explain(config, config.apps[0], message, NOW_MS)
        place = tmp_path / str(at)
        place.mkdir()
        done = await filed(place, config, source, Media.JSON, message.body)
        if f"{outcome.outcome} {outcome.reason}".strip() != done:
            different[name] = (outcome.outcome, outcome.reason, done)
        if outcome.outcome == "delivered":
            assert outcome.rows, name
    assert different == {}


@pytest.mark.parametrize("name", [path.stem for path in sorted(GOLDEN.glob("postbacks/*.json"))][::4])
def test_get_and_file_explain_as_post_does(name):
    """The same fields in a query string, and in a row with display names, have the same outcome."""
    config = config_of("android", "http_v2", "")
    fields = {
        key: value for key, value in json.loads((GOLDEN / f"postbacks/{name}.json").read_bytes()).items() if value
    }
    texts = {
        key: json.dumps(value) if isinstance(value, dict | list | bool) else str(value) for key, value in fields.items()
    }
    (post,) = read_messages(json.dumps(texts).encode())
    (get,) = read_messages(urlencode(texts).encode())
    cells = [f'"{value.replace(chr(34), chr(34) * 2)}"' for value in texts.values()]
    names = [key.replace("_", " ").title() for key in texts]
    (row,) = read_messages(f"\ufeff{','.join(names)}\r\n{','.join(cells)}\r\n".encode())
    assert (get.media, row.source) == (Media.QUERY, Source.FILE)
    outcomes = [explain(config, config.apps[0], one, NOW_MS)[0] for one in (post, get, row)]
    assert len({(one.outcome, one.reason, one.event) for one in outcomes}) == 1


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("form", ["json", "csv", "query"])
def test_a_file_in_any_encoding_is_read(encoding, form):
    """As editors and spreadsheets save it."""
    text = {
        "json": '{"event_name": "Einkauf f\u00fcr Gr\u00f6\u00dfe", "appsflyer_id": "1"}',
        "csv": "Event Name;AppsFlyer ID;Event Time\nEinkauf f\u00fcr Gr\u00f6\u00dfe;1;2026-01-31 10:00:00\n",
        "query": "https://x.example/v1/push/shop?event_name=Einkauf+f\u00fcr+Gr\u00f6\u00dfe&appsflyer_id=1",
    }[form]
    (message,) = read_messages(text.encode(encoding))
    assert "f\u00fcr" in (decode(message.body)["event_name"] if form == "json" else message.body.decode())
    config = config_of("android", "http_v2", "")
    (outcome,) = explain(config, config.apps[0], message, NOW_MS)
    assert outcome.outcome != "dead"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_have_an_outcome(raw):
    """Whatever a file holds, `explain` gives outcomes and raises nothing."""
    config = config_of("android", "http_v2", STREAMS.format(0))
    for source in (None, Source.PUSH, Source.STREAM, Source.COHORT):
        for message in read_messages(raw, source):
            assert explain(config, config.apps[0], message, NOW_MS)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["event_name", "event_type", "event_time", "event_value", "appsflyer_id", "customer_user_id", "custom_data",
     "user_id", "device_id", "event_properties", "user_properties", "idfa", "advertising_id", "event_revenue", "app_id",
     "events"]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(FIELDS, JSON, max_size=8), st.booleans())
def test_any_message_is_explained_as_it_is_filed(message, streams):
    """Fields of any type: the decision is the flow's, and the rows can always be shown."""
    config = config_of("android", "http_v2", STREAMS.format(1) if streams else "")
    body = json.dumps(message).encode()
    for source in (Source.PUSH, Source.STREAM, Source.COHORT):
        (one,) = read_messages(body, source)
        for outcome in explain(config, config.apps[0], one, NOW_MS):
            assert outcome.outcome in {"delivered", "held", "filtered", "refused", "applied", "dead", "turned_away"}
            assert outcome.sentence


class Recording:
    """An inbox that keeps what it is given."""

    def __init__(self) -> None:
        self.kept: list[Envelope] = []

    async def accept(self, envelope: Envelope) -> None:
        self.kept.append(envelope)


async def served(config, path: str, method: str, query: bytes, body: bytes) -> tuple[int, list[str]]:
    """Send a request to the intake; give its status, and what the pipeline makes of each message that it stored."""
    inbox = Recording()
    intake = Intake(intake_apps_of(config), inbox, ManualClock(NOW_MS), max_bytes=config.server.max_body_bytes)
    headers = [(b"authorization", b"a-token"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": headers}
    sent: list[dict] = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    await intake(scope, receive, send)
    return sent[0]["status"], [decided(filing.decision) for filing in build_flow(config).filings(inbox.kept)]


def decided(decision) -> str:
    """Return a decision in the words of `explain`."""
    if isinstance(decision, Hold) and decision.expires_ms <= NOW_MS:
        return f"filtered {decision.unmet}"
    names = {Deliver: "delivered", Hold: "held", Filter: "filtered", Refuse: "refused", Apply: "applied", Dead: "dead"}
    return f"{names[type(decision)]} {getattr(decision, 'reason', '')}".strip()


SERVED = {streams: config_of("android", "http_v2", STREAMS.format(streams) if streams else "") for streams in (0, 6)}


@st.composite
def changed(draw) -> tuple[Source, str]:
    """Draw a golden message, whole or with a part of its text taken out, doubled or replaced."""
    _, source, body = draw(st.sampled_from(INPUTS))
    text = body.decode()
    if draw(st.booleans()):
        message = json.loads(text)
        name = draw(st.sampled_from([*message, "event_name", "app_id", "event_value", "events"]))
        message[name] = draw(JSON | st.text(max_size=20))
        text = json.dumps(message, ensure_ascii=draw(st.booleans()))
    first = draw(st.integers(1, len(text)))
    last = draw(st.integers(first, min(len(text), first + 40)))
    part = draw(st.sampled_from([text[first:last], text[first:last] * 2, "", '"', "\\ud83d", "NaN", "\n", "1e400"]))
    text = text[:first] + part + text[last:]
    return source, (f"[{text}, {text}]" if draw(st.integers(0, 9)) == 0 else text)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changed(), st.sampled_from(sorted(SERVED)))
def test_the_doors_and_the_pipeline_do_what_explain_says(drawn, streams):
    """What is turned away is, with the status that was told, and each message of what is stored has its outcome."""
    (source, text), config = drawn, SERVED[streams]
    text = text.encode("utf-8", "replace").decode()
    (message,) = read_messages(text.encode(), source)
    said = [f"{one.outcome} {one.reason}".strip() for one in explain(config, config.apps[0], message, NOW_MS)]
    path = "/v1/push/shop" if source is Source.PUSH else "/v1/stream/shop"
    status, done = asyncio.run(served(config, path, "POST", b"", text.encode()))
    assert said == (done if status == 200 else [f"turned_away {status}"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(INPUTS), st.dictionaries(FIELDS, JSON | st.text(max_size=20), max_size=3), st.booleans())
def test_a_query_string_is_served_as_it_is_explained(chosen, change, is_escaped):
    """With whatever values, and with blanks as plus signs or escaped."""
    config = SERVED[0]
    fields = {name: value for name, value in (json.loads(chosen[2]) | change).items() if value is not None}
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    query = urlencode(texts, quote_via=quote if is_escaped else quote_plus, errors="replace")
    (message,) = read_messages(query.encode())
    (said,) = explain(config, config.apps[0], message, NOW_MS)
    status, done = asyncio.run(served(config, "/v1/push/shop", "GET", query.encode(), b""))
    assert (status, done) == (200, [f"{said.outcome} {said.reason}".strip()])


@pytest.mark.parametrize("text", ["eyJhIjoxMn0=", "eyJhIjoxfQ==", "hello=", "aGVsbG8gd29ybGQ="])
def test_base64_is_no_query_with_a_field(text):
    """The intake takes it for no form, either."""
    (message,) = read_messages(text.encode())
    assert (message.source, message.media) == (Source.PUSH, Media.JSON)


@pytest.mark.parametrize("around", ["data", "payload", "Message"])
def test_a_message_within_something_else_is_a_postback(around):
    """By its own fields: what is put around it has none of AppsFlyer's, as a template of Amplitude's has none."""
    inner = {"app_id": "com.example.shop", "event_name": "af_purchase"}
    for value in (inner, json.dumps(inner)):
        (message,) = read_messages(json.dumps({around: value, "id": 7}).encode())
        assert (message.source, message.media) == (Source.PUSH, Media.JSON)


def test_a_message_of_the_former_push_api_is_a_postback():
    """It has an `event_type`, as events of Amplitude do."""
    body = b'{"event_type": "install", "appsflyer_device_id": "1-2", "app_id": "com.example.shop", "click_time": "x"}'
    assert read_messages(body)[0].source is Source.PUSH
    assert read_messages(body, Source.STREAM)[0].source is Source.STREAM


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["buy", "sale", "install", "re-engagement"]),
            st.sampled_from(["1-1", "1-2"]),
            st.sampled_from(["", "summer", "spring"]),
            st.sampled_from(["", "Berlin"]),
        ),
        max_size=12,
    ),
    by_attribution=st.booleans(),
)
def test_equal_rows_of_a_file_are_counted_as_an_import_counts_them(rows, by_attribution):
    """The second is another event, also with another city; a conversion is not."""
    lines = [f"{name},{person},2026-01-31 10:00:00,{campaign},{city}\n" for name, person, campaign, city in rows]
    text = "".join(["Event Name,AppsFlyer ID,Event Time,Campaign,City\n", *lines])
    found = [one.ordinal for one in read_messages(text.encode(), by_attribution=by_attribution)] if rows else []
    with TemporaryDirectory() as place, closing(Progress(Path(place) / "imports.db")) as progress:
        fields = [
            {"event_name": name, "appsflyer_id": person, "event_time": "2026-01-31 10:00:00", "campaign": campaign}
            for name, person, campaign, _ in rows
        ]
        assert found == progress.counting(by_attribution=by_attribution).ordinals(fields)


NAMES = ("Event Name", "AppsFlyer ID", "Event Time", "Campaign", "Event Value")
CELLS = ("af_purchase", "1767225600000-1234567", "2026-01-31 10:00:00", 'Frühling, "rosa"', '{"a": "b; c"}')


def as_csv(delimiter: str = ",", end: str = "\r\n", **how) -> str:
    """Write a row as CSV."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end, **how).writerows([NAMES, CELLS])
    return text.getvalue()


@pytest.mark.parametrize(
    "raw",
    [
        as_csv().encode(),
        as_csv().encode("utf-8-sig"),
        as_csv().encode("utf-16"),
        as_csv().encode("utf-16-be"),
        as_csv().encode("cp1252"),
        as_csv(";").encode(),
        as_csv("\t").encode(),
        as_csv("|").encode(),
        as_csv(end="\r").encode(),
        as_csv(quoting=csv.QUOTE_ALL).encode(),
        as_csv(doublequote=False, escapechar="\\").encode(),
        b"sep=;\n" + as_csv(";").encode(),
        b"In-app events of a shop\n\n" + as_csv().encode(),
        as_csv().replace("Event Name", "event_name").encode(),
        as_csv().replace("Event Name", "EventName").encode(),
    ],
)
def test_a_row_is_explained_however_the_import_reads_it(raw):
    """In all forms of CSV that are imported, and with the same result as the message of the Push API."""
    config = config_of("android", "http_v2", "")
    fields = dict(zip(("event_name", "appsflyer_id", "event_time", "campaign", "event_value"), CELLS, strict=True))
    (row,), (push,) = read_messages(raw), read_messages(json.dumps(fields).encode())
    assert row.source is Source.FILE
    (said,), (expected,) = (explain(config, config.apps[0], one, NOW_MS) for one in (row, push))
    assert (said.outcome, said.event, said.rows) == (expected.outcome, expected.event, expected.rows)


def test_rows_that_are_not_imported_are_not_explained_as_if_they_were():
    """One without a time is a dead letter, and one of a report of clicks is left out."""
    config = config_of("android", "http_v2", "")
    undated = b"Event Name,AppsFlyer ID,Campaign\naf_purchase,1767225600000-1234567,Spring\n"
    clicks = b"AppsFlyer ID,Campaign,Media Source\n1767225600000-1234567,Spring,partner_int\n"
    found = [explain(config, config.apps[0], read_messages(raw)[0], NOW_MS)[0] for raw in (undated, clicks)]
    assert [(one.outcome, one.reason) for one in found] == [("dead", "no_event_time"), ("left_out", "")]
    assert "line 2: It has no event_time" in found[0].sentence
    assert "not imported" in found[1].sentence


def test_a_row_that_cannot_be_read_is_listed_with_its_line():
    """And the rows behind it are explained."""
    config = config_of("android", "http_v2", "")
    cell = "1767225600000-1234567"
    cell = f"{cell},2026-01-31 10:00:00"
    lines = ["", "", "Event Name,AppsFlyer ID,Event Time", f"a,{cell}", f'"b\nc",{cell}', "d", "", f"e,{cell},f"]
    lines += [f"{'g' * 200_000},{cell}", f"h,{cell}"]
    rows = read_messages("\n".join(lines).encode())
    outcomes = [explain(config, config.apps[0], one, NOW_MS)[0] for one in rows]
    assert [one.outcome for one in outcomes] == ["held", "held", "unreadable", "unreadable", "unreadable", "held"]
    assert [one.form for one in outcomes[2:5]] == ["line 7 of the file", "line 9 of the file", "line 10 of the file"]
    assert "it has 1 values, and the header has 3" in outcomes[2].sentence
    assert all(one.remedy for one in outcomes[2:5])


def test_a_long_list_is_not_cut_silently():
    """The first events are explained, and the last of them says how many there are."""
    config = config_of("android", "http_v2", STREAMS.format(0))
    (message,) = read_messages(json.dumps([{"event_type": "a", "user_id": f"u-{n:05}"} for n in range(25)]).encode())
    outcomes = explain(config, config.apps[0], message, NOW_MS)
    assert len(outcomes) == MAX_ROWS
    assert "holds 25 events" in outcomes[-1].notes[-1]


AUDIENCE = """
appsflyer.api_token = "a-token"
[[apps.audiences]]
cohort = "abc"
name = "spenders"
import_key = "k"
identifier = "gaid"
"""
GAID = "38400000-8cf0-11bd-b23e-10b96e400001"
BATCH = {
    "cohort_id": "abc", "cohort_name": "Spenders", "in_cohort": True, "computed_time": "1790000000", "message_id": "m",
    "users": [{"user_id": "u-00001", "user_properties": {"gaid": GAID}}, {"user_id": "u-00002", "user_properties": {}}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "outcome", "note"),
    [
        ({}, "applied cohort", "2 members enter the audience spenders; 1 of them carry no identifier"),
        ({"in_cohort": False}, "applied cohort", "2 members leave the audience spenders."),
        ({"cohort_id": "other"}, "applied sighting", ""),
        ({"users": "nobody"}, "dead not_understood", ""),
    ],
)
async def test_a_cohort_message_is_explained_as_it_is_filed(tmp_path, change, outcome, note):
    """Which audience gains or loses how many members."""
    config = config_of("android", "http_v2", AUDIENCE)
    body = json.dumps(BATCH | change).encode()
    (message,) = read_messages(body)
    assert message.source is Source.COHORT
    (found,) = explain(config, config.apps[0], message, NOW_MS)
    assert (
        f"{found.outcome} {found.reason}" == outcome == await filed(tmp_path, config, Source.COHORT, Media.JSON, body)
    )
    assert any(note in one for one in (*found.notes, ""))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"in_cohort": "enter"}, "in_cohort is neither true nor false"),
        ({"in_cohort": None}, "in_cohort is missing"),
        ({"cohort_id": None}, "cohort_id is missing"),
        ({"cohort_id": " "}, "cohort_id is missing"),
        ({"users": None}, "users is missing"),
        ({"users": "nobody"}, "users is a text and not a list"),
        ({"users": {"user_id": "u-00001"}}, "users is an object and not a list"),
        ({"users": [{"name": "u-00001"}]}, "no member of users has a user_id"),
    ],
)
def test_a_cohort_message_that_cant_be_read_names_the_field(change, words):
    """What its other fields are is not the question."""
    config = config_of("android", "http_v2", AUDIENCE)
    (message,) = read_messages(json.dumps(BATCH | change).encode(), Source.COHORT)
    (found,) = explain(config, config.apps[0], message, NOW_MS)
    assert (found.outcome, found.reason) == ("dead", "not_understood")
    assert f"cohort of Amplitude: {words}." in found.sentence


@pytest.mark.parametrize(
    ("call", "body", "outcome", "words"),
    [
        ("/", {"name": "[Amplitude] Spenders: abc"}, "answered ", '{"listId":"abc"}'),
        ("/", {"name": "[Amplitude] Savers: def"}, "turned_away 404", "No audience of this app follows"),
        ("/", {"name": "Spenders"}, "turned_away 400", "does not end with a colon"),
        ("/abc/add", {"userIds": ["u-00001", "u-00002"]}, "applied cohort", "2 members enter the audience spenders"),
        ("/abc/remove", {"userIds": ["u-00001"]}, "applied cohort", "1 member leaves the audience spenders"),
        ("/def/add", {"userIds": ["u-00001"]}, "turned_away 404", "No audience of this app follows"),
        ("/abc/add", {"people": 1}, "dead not_understood", "people"),
    ],
)
def test_a_call_of_a_list_based_integration_is_explained(call, body, outcome, words):
    """Its path names the cohort, and the endpoint judges it."""
    config = config_of("android", "http_v2", AUDIENCE)
    (message,) = read_messages(json.dumps(body).encode(), Source.COHORT)
    (found,) = explain(config, config.apps[0], structs.replace(message, call=call), NOW_MS)
    assert f"{found.outcome} {found.reason}" == outcome
    assert words in " ".join((found.sentence, *found.notes))


def test_an_unknown_call_is_refused():
    """With the ones there are."""
    config = config_of("android", "http_v2", AUDIENCE)
    (message,) = read_messages(b"{}", Source.COHORT)
    with pytest.raises(ConfigError, match="/abc/replace"):
        explain(config, config.apps[0], structs.replace(message, call="/abc/replace"), NOW_MS)


SHARED = (
    CONFIG.replace("{streams}", "")
    + """
amplitude.shared_with = ["phone"]
[[apps]]
name = "phone"
appsflyer_app_id = "id123456789"
platform = "ios"
appsflyer.push_token = "a-token"
amplitude.api_key = "a-key"
"""
)


@pytest.mark.parametrize(
    ("message", "apps"),
    [
        ({"event_type": "a", "platform": "iOS", "device_id": "dev-12345"}, ["phone"]),
        ({"event_type": "a", "platform": "Android", "device_id": "dev-12345"}, ["shop"]),
        ({"event_type": "a", "platform": "Web", "device_id": "dev-12345"}, ["shop"]),
        ({"user_id": "u-12345", "user_properties": {}}, ["shop", "phone"]),
        ([{"event_type": "a", "platform": "iOS", "user_id": "u-12345"}, {"event_type": "b", "user_id": "u-12345"}],
         ["phone", "shop"]),
    ],
)  # fmt: skip
def test_a_stream_of_two_apps_is_explained_for_the_one_it_is_of(message, apps):
    """Without naming one: an event of the other platform is the other app's, and users are of both."""
    config = loads(SHARED.format(app_id="com.example.shop", platform="android", route="http_v2"), Path("/nowhere"), {})
    messages = read_messages(json.dumps(message).encode())
    app = app_of(config, None, messages)
    assert app.name == "shop"
    assert [found.app for found in explain(config, app, messages[0], NOW_MS)] == apps


@pytest.mark.parametrize(
    "body", ['{"name": "Order", "time": "1795168800000", "properties": {"a": 1}}', '{"what": "else"}']
)
def test_a_message_without_any_field_of_appsflyers_is_amplitudes(body):
    """Templates of event streams may have any keys."""
    assert read_messages(body.encode())[0].source is Source.STREAM


async def test_the_command_reads_files_arguments_and_lists(tmp_path, monkeypatch, capsys):
    """Each form, as people type it."""
    from typer.testing import CliRunner

    from flybridge.cli.app import app

    path = tmp_path / "flybridge.toml"
    path.write_text(
        CONFIG.format(platform="android", route="http_v2", app_id="com.example.shop", streams=STREAMS.format(0))
    )
    (tmp_path / "rows.csv").write_text(
        "Event Name,AppsFlyer ID,Event Time\n"
        "purchase,1767225600000-1234567,2026-01-31 10:00:00\nother,1767225600000-1234567,2026-01-31 10:00:00\n"
    )

    async def out(*words: str) -> str:
        done = await asyncio.to_thread(CliRunner().invoke, app, ["explain", *words, "-c", str(path)])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    assert "shop, row 2 of the file: held" in await out(str(tmp_path / "rows.csv"))
    assert len(json.loads(await out(str(tmp_path / "rows.csv"), "--json"))) == 2
    assert "postback (GET): held" in await out("event_name=purchase&appsflyer_id=1767225600000-1234567")
    told = await out('[{"event_type": "a", "user_id": "u-12345"}, {"event_type": "b", "user_id": "u-12345"}]')
    assert told.count("event of Amplitude: filtered, no_appsflyer_id") == 2
    assert "dead, not_json" in await out('{"event_name":', "--postback")
    assert "--postback or --cohort reads it as another kind" in told
    assert "turned_away, 404" in await out('{"name": "[Amplitude] Spenders: abc"}', "--call", "/")
    told = await out('{"users": [{"user_id": "u-12345"}]}', "--cohort")
    assert "cohort message of Amplitude: applied, sighting" in told
