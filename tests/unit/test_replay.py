"""`flybridge replay`: a dead letter processed again has every effect of a message that is processed the first time."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from flybridge import wiring
from flybridge.cli.app import app
from flybridge.clock import SystemClock
from flybridge.config.settings import load, loads
from flybridge.operations.replay import replay, replay_all
from flybridge.records import (
    Apply,
    Carried,
    Dead,
    DeadLetter,
    Dimensions,
    Envelope,
    Filing,
    Media,
    Member,
    MemberChange,
    Performance,
    Person,
    Restricted,
    Shown,
    Sighting,
    Source,
)
from flybridge.service import backends
from flybridge.store.records import Filed

NOW_MS = 1_764_000_000_000
HEAD = """
data_dir = "./data"
secret = "0123456789abcdef0123456789abcdef"
"""
APP = """
[[apps]]
name = "{}"
appsflyer_app_id = "com.example.{}"
platform = "android"

[apps.appsflyer]
push_token = "a-token"
api_token = "an-api-token"

[apps.amplitude]
api_key = "a-key"
webhook_token = "a-webhook-token"
"""
AUDIENCE = """
[[apps.audiences]]
name = "spenders"
cohort = "7khm89cz"
import_key = "an-import-key"
identifier = "gaid"
"""
GAID = "38400000-8cf0-11bd-b23e-10b96e40000d"
COHORT = {
    "cohort_name": "Spenders",
    "cohort_id": "7khm89cz",
    "in_cohort": True,
    "computed_time": str(NOW_MS // 1000),
    "message_id": "m-1",
    "users": [{"user_id": "ada", "user_properties": {"gaid": GAID}}],
}
UNREADABLE = Dead("decode", "not_json", "The message is not readable.", "Send JSON.")

PERSON = Person((b"p" * 16,), NOW_MS)
CHANGE = MemberChange("shop", "spenders", NOW_MS, True, Member((b"p" * 16,), (b"m" * 16,), "gaid", GAID))
DIMENSIONS = Dimensions("install", "", "tiktok", "summer", "", "", "DE", "android")
FULL = Filing(
    Envelope("shop", Source.COHORT, Media.JSON, NOW_MS, b"{}", "r1"),
    Apply("cohort"),
    key=b"k" * 16,
    key_until_ms=NOW_MS + 1,
    sightings=(Sighting("shop", b"s" * 16, "adid", NOW_MS, "ada"),),
    performance=Performance(DIMENSIONS, 20_000),
    replayed=True,
    digest=b"d" * 16,
    carried=Carried("android", "4.2", "tiktok", "adid"),
    persons=(PERSON,),
    restricted=Restricted("redact", "tiktok", "2025-11-24"),
    remarks=("late",),
    members=(CHANGE,),
    key_ms=7,
    ordinal=2,
    mentions=(b"m" * 16,),
    shown=Shown("[AppsFlyer] Install", NOW_MS, frozenset({GAID})),
    numbers=(b"n" * 16,),
    other_key=b"o" * 16,
)
"""A filing in which no field has its default."""


def flybridge(*words: object, code: int = 0):
    """Run a command."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def configure(path: Path, *apps: str) -> Path:
    """Write a configuration of these sections."""
    path.write_text(HEAD + "".join(apps))
    return path


def stored(path: Path, *filings: Filing, envelopes: tuple[Envelope, ...] = ()) -> None:
    """File these, and what the configuration makes of the envelopes."""

    async def work() -> None:
        settings = load(path, {})
        async with backends.opened(settings) as (_, store):
            await store.file([*filings, *wiring.build_flow(settings).filings(envelopes)], NOW_MS)

    asyncio.run(work())


def letters(path: Path) -> list[int]:
    """Return the ids of all dead letters, newest first."""
    return [row["id"] for row in json.loads(flybridge("dead", "--config", path, "--json").stdout)]


def unreadable(n: int, app: str = "shop") -> list[Filing]:
    """Build messages that died, and die again when they are processed again."""
    envelopes = [Envelope(app, Source.STREAM, Media.JSON, NOW_MS + i, b"no JSON", f"{app}{i}") for i in range(n)]
    return [Filing(envelope, UNREADABLE) for envelope in envelopes]


def test_a_replayed_cohort_message_changes_the_membership(tmp_path):
    """The app was not configured when Amplitude sent it; once it is, replaying is as good as receiving."""
    path = configure(tmp_path / "flybridge.toml", APP.format("game", "game"))
    body = json.dumps(COHORT).encode()
    stored(path, envelopes=(Envelope("shop", Source.COHORT, Media.JSON, NOW_MS, body, "r1"),))
    configure(path, APP.format("shop", "shop"), AUDIENCE)
    done = json.loads(flybridge("replay", "--all", "--config", path, "--json").stdout)
    assert done == {"redelivered": 0, "processed": 1, "outcomes": {"applied": 1}}
    (row,) = json.loads(flybridge("cohorts", "--config", path, "--json").stdout)
    assert (row["people"], row["lacking"]) == (1, 0)


@pytest.mark.parametrize("field", [field.name for field in msgspec.structs.fields(Filing)])
def test_a_replay_keeps_every_field(field):
    """Whatever a filing gets in time, it must not be lost by being replayed."""
    (declared,) = (each for each in msgspec.structs.fields(Filing) if each.name == field)
    assert getattr(FULL, field) != declared.default, "give it a value in FULL"

    class Rules:
        def safe_filing(self, envelope: Envelope) -> Filing:
            return msgspec.structs.replace(FULL, envelope=envelope, replayed=False)

    class Kept:
        filed: list[Filing]

        async def take_dead(self, ids):
            return [
                DeadLetter(n, "r1", "shop", "cohort", "json", "decode", "", "", "", b"{}", "1", NOW_MS, NOW_MS)
                for n in ids
            ]

        async def redeliver(self, ids, now_ms):
            return 0

        async def file(self, filings, now_ms, capacity=(), heard_ms=None):
            self.filed = filings
            return Filed({"applied": 1})

    store = Kept()
    asyncio.run(replay(store, Rules(), [1], NOW_MS))
    (filing,) = store.filed
    assert getattr(filing, field) == getattr(FULL, field)


def test_only_the_named_letters_are_replayed(tmp_path):
    """Ids may be told twice; an app or a reason beside them leaves fewer."""
    path = configure(tmp_path / "flybridge.toml", APP.format("shop", "shop"), APP.format("game", "game"))
    stored(path, *unreadable(3), *unreadable(1, "game"))
    ids = letters(path)
    assert len(ids) == 4
    first = json.loads(flybridge("replay", ids[1], ids[1], "--config", path, "--json").stdout)
    assert first == {"redelivered": 0, "processed": 1, "outcomes": {"dead": 1}}
    both = flybridge("replay", *ids, "--app", "game", "--config", path, "--json", code=1)
    assert json.loads(both.stdout)["processed"] == 1


@pytest.mark.parametrize("number", [0, -1, 2**63, 10**30, 999])
def test_an_id_that_is_no_dead_letter_is_named_as_that(tmp_path, number):
    """Whatever the number is, also one that no database can hold."""
    path = configure(tmp_path / "flybridge.toml", APP.format("shop", "shop"))
    stored(path, *unreadable(1))
    result = flybridge("replay", "--config", path, "--", number, code=1)
    assert "not dead letters" in result.stderr


def test_all_are_replayed_once_in_pages(tmp_path, monkeypatch):
    """A letter that dies again is not met again; what the app and the reason leave out stays as it is."""
    monkeypatch.setattr("flybridge.operations.replay.PAGE", 3)
    path = configure(tmp_path / "flybridge.toml", APP.format("shop", "shop"), APP.format("game", "game"))
    stored(path, *unreadable(7), *unreadable(2, "game"))
    done = json.loads(flybridge("replay", "--all", "--app", "shop", "--config", path, "--json").stdout)
    assert done == {"redelivered": 0, "processed": 7, "outcomes": {"dead": 7}}
    none = json.loads(flybridge("replay", "--all", "--reason", "other", "--config", path, "--json").stdout)
    assert none == {"redelivered": 0, "processed": 0, "outcomes": {}}


def test_a_message_that_dies_again_says_when(tmp_path):
    """Replaying takes the time of now."""
    path = configure(tmp_path / "flybridge.toml", APP.format("shop", "shop"))
    stored(path, *unreadable(1))
    before_ms = SystemClock().now_ms()
    flybridge("replay", "--all", "--config", path)

    async def died_ms() -> int:
        async with backends.opened_store(load(path, {})) as store:
            return (await store.dead())[0].died_ms

    assert asyncio.run(died_ms()) >= before_ms


@pytest.mark.parametrize("words", [("dead",), ("replay", "--all"), ("replay", "1")])
def test_dead_letters_need_no_inbox(tmp_path, words):
    """What can't be opened, and is not asked, hinders nobody."""
    path = configure(tmp_path / "flybridge.toml", APP.format("shop", "shop"))
    stored(path, *unreadable(1))
    inbox = tmp_path / "data" / "inbox.db"
    for file in inbox.parent.glob("inbox.db*"):
        file.unlink()
    inbox.mkdir()
    flybridge(*words, "--config", path)


PUSHED = {
    "app_id": "com.example.shop", "platform": "android", "event_name": "af_purchase", "appsflyer_id": "1-1",
    "event_time": "2025-11-24 15:00:00.125", "install_time": "2025-11-20 10:00:00.125", "customer_user_id": "ada-1",
}  # fmt: skip
STREAMED = {"name": "Order", "who": "ada-1", "user_properties": {"appsflyer_id": "1629191854863-7087037"}}
STREAMS = '\n[[apps.streams]]\nevents = ["*"]\n'
S2S = 'push_token = "a-token"\ns2s_key = "a-key"'
FIELDS = '[apps.amplitude]\nstream_fields = {event_type = "name", user_id = "who"}'
LONG = {"event_type": "n" * 1_200, "user_id": "ada-1", "user_properties": STREAMED["user_properties"]}


def mended(change: dict[str, str]) -> str:
    """Return the configuration of the shop, with some of its lines written anew."""
    text = HEAD + APP.format("shop", "shop")
    for old, new in change.items():
        assert old in text or not old
        text = text.replace(old, new) if old else text + new
    return text


SHORT_NAME = f'{STREAMS}rename = {{{"n" * 1_200} = "n"}}'
SENT_ON = {'push_token = "a-token"': S2S, "": STREAMS}


@pytest.mark.parametrize(
    ("sent", "reason", "before", "after"),
    [
        ((Source.PUSH, PUSHED), "other_app", {"com.example.shop": "com.example.shoop"}, {}),
        ((Source.PUSH, PUSHED), "other_app", {'"android"': '"ios"', "com.example.shop": "id1"}, {}),
        ((Source.PUSH, PUSHED), "unknown_app", {'name = "shop"': 'name = "shops"'}, {}),
        ((Source.STREAM, STREAMED), "not_understood", SENT_ON, SENT_ON | {"[apps.amplitude]": FIELDS}),
        ((Source.STREAM, LONG), "larger_than_1kb", SENT_ON, SENT_ON | {"": SHORT_NAME}),
        # What an earlier version could not read.
        ((Source.PUSH, json.dumps(PUSHED)[:-1].encode() + b', "campaign": "caf\xe9"}'), "not_json", None, {}),
        ((Source.PUSH, b"\xef\xbb\xbf" + json.dumps(PUSHED).encode()), "not_json", None, {}),
        ((Source.PUSH, json.dumps(PUSHED)[:-1].encode() + b', "campaign": "\\ud83d"}'), "fault", None, {}),
        ((Source.STREAM, json.dumps(LONG | {"event_type": "a"}).encode()), "fault", None, SENT_ON),
    ],
)
async def test_each_kind_of_dead_letter_is_sent_when_its_cause_is_gone(tmp_path, sent, reason, before, after):
    """A setting that was wrong, or an upgrade; what is replayed is what the message would have been at first."""
    source, body = sent
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    envelope = Envelope("shop", source, Media.JSON, NOW_MS, body)
    flow = wiring.build_flow(loads(mended(before or {}), tmp_path, {}))
    filing = flow.safe_filing(envelope)
    if before is None:
        filing = Filing(envelope, Dead("decode", reason, "It is not read.", "Replay it after an upgrade."), digest=b"d")
    assert isinstance(filing.decision, Dead)
    assert filing.decision.reason == reason
    config = loads(mended(after), tmp_path, {})
    store = backends.open_store(config)
    await store.open()
    try:
        assert dict((await store.file([filing], NOW_MS)).outcomes) == {"dead": 1}
        done = await replay_all(store, wiring.build_flow(config), SystemClock())
        assert (done.processed, done.outcomes) == (1, {"pending": 1})
        assert await store.audit() == []
        assert [one.outcome for one in await store.counts() if one.n] == ["pending"]
    finally:
        await store.close()


async def test_a_replay_after_the_window_waits_for_a_sighting_that_was_received_in_time(tmp_path):
    """A worker may have a backlog: that sighting is in the inbox. Without one the hold ends as all do."""
    config = loads(HEAD + APP.format("shop", "shop"), tmp_path, {})
    flow, store = wiring.build_flow(config), backends.open_store(config)
    pushed = {name: value for name, value in PUSHED.items() if name != "customer_user_id"}
    bodies = [json.dumps(pushed | {"appsflyer_id": f"{n}-1"}).encode() for n in range(2)]
    envelopes = [Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, body, f"r{n}") for n, body in enumerate(bodies)]
    dead = Dead("map", "fault", "It failed.", "Replay it after an upgrade.")
    (key, *_) = flow.safe_filing(envelopes[0]).decision.keys
    came = Envelope("shop", Source.STREAM, Media.JSON, NOW_MS + 1000, b"{}", "r3")
    late_ms = NOW_MS + 30 * 86_400_000
    await store.open()
    try:
        await store.file([Filing(one, dead, digest=one.body[:16]) for one in envelopes], NOW_MS)
        done = await replay(store, flow, await store.dead_ids(limit=9), late_ms)
        assert done.outcomes == {"held": 2}
        seen = Filing(came, Apply(), sightings=(Sighting("shop", key, "appsflyer_id", NOW_MS, "ada"),))
        assert (await store.file([seen], late_ms)).matched == 1
        assert await store.expire(late_ms, heard_ms=late_ms) == 1
        assert await store.audit() == []
    finally:
        await store.close()
