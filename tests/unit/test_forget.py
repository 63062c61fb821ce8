"""Forgetting a person: which keys, which vendor requests, and what a second run does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flybridge.config.settings import loads
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.errors import FlybridgeError, TransportError
from flybridge.flow import AppFlow, Flow
from flybridge.identity import IdKind, Keyring
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.operations.forget import PersonIds, forget, keys_of, plan
from flybridge.records import Dead, Envelope, Filing, Hold, Media, Source
from flybridge.testing.clocks import JumpingClock

NOW_MS = 1_764_000_000_000
KEYRING = Keyring(b"secret", b"former")
APP = """
[[apps]]
name = "{name}"
appsflyer_app_id = "{app_id}"
platform = "{platform}"
[apps.appsflyer]
push_token = "token"
{api_token}
[apps.amplitude]
api_key = "{key}"
{secret_key}
"""


def apps(*names: str, keys: bool = True, shared: bool = False):
    """Build apps: `a` is Android, `i` is iOS, `o` is something else."""
    platforms = {"a": "android", "i": "ios", "o": "other"}
    text = 'secret = "0123456789abcdef"\n' + "".join(
        APP.format(
            name=name,
            app_id="id105" if name == "i" else f"com.example.{name}",
            platform=platforms[name],
            key="key" if shared else f"key-{name}",
            api_token='api_token = "api"' if keys else "",
            secret_key='secret_key = "s"' if keys else "",
        )
        for name in names
    )
    return loads(text, Path(), {}).apps


class Vendors:
    """Answers in the order of the script, then 201 for AppsFlyer and 200 for Amplitude."""

    def __init__(self, *script: int | TransportError) -> None:
        self.script = list(script)
        self.asked: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        self.asked.append(request)
        status = self.script.pop(0) if self.script else (201 if "gdpr" in request.url else 200)
        if isinstance(status, TransportError):
            raise status
        body: dict[str, object] = {}
        if status < 400:
            body = {"subject_request_id": "x"} if "gdpr" in request.url else {"amplitude_ids": [], "matches": []}
        return HttpResponse(status, {}, json.dumps(body).encode())

    async def close(self) -> None:
        """Have nothing to close."""


def test_keys_are_those_of_every_app_kind_and_secret():
    """What was filed under a former secret, or in either case of the letters, is found too."""
    keys = keys_of(PersonIds(advertising_id="AB-CD-EF"), apps("a", "i"), KEYRING)
    written = PersonIds(advertising_id="{AB-CD-EF}", appsflyer_id='"1768000000000-4711000"')
    assert written.values == ("1768000000000-4711000", "AB-CD-EF")
    assert (written.of_kind(IdKind.ADID), written.of_kind(IdKind.APPSFLYER_ID)) == written.values[::-1]
    assert len(keys) == 2 * 5 * 2
    assert keys == tuple(sorted(keys)) == keys_of(PersonIds(advertising_id="ab-cd-ef"), apps("i", "a"), KEYRING)
    device = keys_of(PersonIds(device_id="AB-CD-EF"), apps("i"), KEYRING)
    assert set(device) == {
        *KEYRING.keys("i", IdKind.AMPLITUDE_DEVICE_ID, "AB-CD-EF"),
        *KEYRING.keys("i", IdKind.IDFV, "ab-cd-ef"),
    }


UUID = "38400000-8cf0-41bd-b23e-10b96e40000d"


@pytest.mark.parametrize(
    ("app", "device_id", "held"),
    [
        ("a", UUID, {"advertising_id": UUID}),
        ("a", UUID.upper(), {"amazon_aid": UUID}),
        ("a", f" {UUID}S", {"android_app_set_id": UUID.upper()}),
        ("i", UUID, {"idfv": UUID.upper()}),
        ("i", UUID, {"idfa": UUID.upper()}),
    ],
)
async def test_a_device_id_finds_what_the_sdk_made_it_of(store, app, device_id, held):
    """An event that waits for its user carries the advertising, vendor or App Set id, and no device id of Amplitude."""
    postback = {"event_name": "install", "media_source": "tiktok", "event_time": "2026-03-01 10:00:00", **held}
    platform = "android" if app == "a" else "ios"
    flow = Flow({app: AppFlow(Rules(app=app, platform=platform))}, KEYRING)
    body = json.dumps(postback | {"platform": platform}).encode()
    filing = flow.filing(Envelope(app, Source.PUSH, Media.JSON, NOW_MS, body, "r"))
    assert isinstance(filing.decision, Hold)
    await store.file([filing], NOW_MS)
    other = PersonIds(device_id=device_id.replace("3840", "3841") + ("R" if device_id[-1] != "S" else ""))
    for person, left in ((other, {"held": 1}), (PersonIds(device_id=device_id), {"forgotten": 1})):
        await forget(person, apps(app), store, KEYRING, clock=JumpingClock(NOW_MS + 1000))
        assert {count.outcome: count.n for count in await store.counts() if count.n} == left


def said(person: PersonIds, *names: str, **named) -> list[tuple[str, str, str, str]]:
    """Return the plan in short."""
    return [(step.vendor, step.app, step.kind, step.state) for step in plan(person, apps(*names, **named))]


@pytest.mark.parametrize("setting", ['customer_user_id = "never"', "use_customer_user_id = false"])
def test_amplitude_is_not_asked_by_an_id_that_is_not_its(setting):
    """Where the two vendors' user ids differ, the same id is another person's in Amplitude."""
    (app,) = apps("a")
    text = f"""secret = "0123456789abcdef"
{APP.format(name="a", app_id="com.example.a", platform="android", key="k", api_token="", secret_key='secret_key = "s"')}
[apps.mapping]
{setting}
"""
    (other,) = loads(text, Path(), {}).apps
    steps = {step.kind: step for step in plan(PersonIds("ada", "device"), [other]) if step.vendor == "amplitude"}
    assert [(step.kind, step.state) for step in steps.values()] == [("amplitude_device_id", "open")]
    (alone,) = [step for step in plan(PersonIds("ada"), [other]) if step.vendor == "amplitude"]
    assert (alone.state, alone.kind) == ("failed", "")
    assert "--device-id" in alone.detail
    assert "mapping.customer_user_id" in alone.detail
    assert [step.kind for step in plan(PersonIds("ada"), [app]) if step.vendor == "amplitude"] == ["customer_user_id"]


def test_the_plan_has_a_request_for_each_id_that_a_vendor_knows():
    """Amplitude by user id; AppsFlyer by AppsFlyer id, user id, and the platform's advertising and vendor id."""
    person = PersonIds("ada", "device", "123-456", "ab-cd")
    assert said(person, "a", "i", "o") == [
        ("amplitude", "a", "customer_user_id", "open"),
        ("amplitude", "a", "amplitude_device_id", "open"),
        ("appsflyer", "a", "appsflyer_id", "open"),
        ("appsflyer", "a", "customer_user_id", "open"),
        ("appsflyer", "a", "adid", "open"),
        ("appsflyer", "a", "amazon_aid", "open"),
        ("amplitude", "i", "customer_user_id", "open"),
        ("amplitude", "i", "amplitude_device_id", "open"),
        ("appsflyer", "i", "appsflyer_id", "open"),
        ("appsflyer", "i", "customer_user_id", "open"),
        ("appsflyer", "i", "idfa", "open"),
        ("appsflyer", "i", "idfv", "open"),
        ("amplitude", "o", "customer_user_id", "open"),
        ("amplitude", "o", "amplitude_device_id", "open"),
        ("appsflyer", "o", "appsflyer_id", "open"),
        ("appsflyer", "o", "customer_user_id", "open"),
    ]


@pytest.mark.parametrize(
    ("app", "asked_for", "kinds"),
    [
        (
            "i",
            {
                "ios_advertising_id": "9876F1AA-2983-3855-27BB-2C626772EFAB",
                "idfv": "9876F1AA-2983-3855-27BB-2C626772EFAB",
            },
            ["idfa", "idfv"],
        ),
        (
            "a",
            {
                "android_advertising_id": "9876f1aa-2983-3855-27bb-2c626772efab",
                "fire_advertising_id": "9876f1aa-2983-3855-27bb-2c626772efab",
            },
            ["adid", "amazon_aid"],
        ),
    ],
)
async def test_appsflyer_is_asked_for_an_id_as_each_kind_that_it_may_be(store, app, asked_for, kinds):
    """A UUID does not say which it is, and a request for the other kind is taken, and finds nobody."""
    vendors, person = Vendors(), PersonIds(advertising_id="9876f1Aa-2983-3855-27bb-2c626772efab")
    receipt = await forget(person, apps(app), store, KEYRING, clock=JumpingClock(NOW_MS), transport=vendors)
    asked = [one for request in vendors.asked for one in json.loads(request.body)["subject_identities"]]
    assert {one["identity_type"]: one["identity_value"] for one in asked} == asked_for
    assert len({json.loads(request.body)["subject_request_id"] for request in vendors.asked}) == len(asked)
    steps = [step for step in receipt.steps if step.vendor == "appsflyer"]
    assert [(step.kind, step.state) for step in steps] == [(kind, "done") for kind in kinds]


def test_what_can_not_be_asked_says_so():
    """No user id, no credentials, one project for two apps, or an id that AppsFlyer does not know."""
    assert said(PersonIds(appsflyer_id="1-2"), "a") == [
        ("amplitude", "a", "", "failed"),
        ("appsflyer", "a", "appsflyer_id", "open"),
    ]
    assert said(PersonIds(device_id="device"), "a") == [
        ("amplitude", "a", "amplitude_device_id", "open"),
        ("appsflyer", "a", "", "failed"),
    ]
    assert {state for *_, state in said(PersonIds("ada"), "a", keys=False)} == {"failed"}
    assert [s for vendor, *_, s in said(PersonIds("ada"), "a", "i", shared=True) if vendor == "amplitude"] == [
        "open",
        "skipped",
    ]


async def test_a_failed_request_is_sent_again_under_the_same_name(store):
    """The second run asks only what failed; the receipt is the same and has no id of anybody."""
    clock, person = JumpingClock(NOW_MS), PersonIds("ada@example.com")
    lost = TransportError("https://hq1.appsflyer.com: no answer within the time limit", maybe_applied=True)
    first_vendors, second_vendors = Vendors(200, lost), Vendors()
    first = await forget(person, apps("a"), store, KEYRING, clock=clock, transport=first_vendors)
    assert [(step.vendor, step.state, step.status) for step in first.steps] == [
        ("amplitude", "done", 200),
        ("appsflyer", "failed", 0),
    ]
    assert not first.settled
    second = await forget(person, apps("a"), store, KEYRING, clock=clock, transport=second_vendors)
    assert (second.id, second.settled) == (first.id, True)
    assert [request.body for request in second_vendors.asked] == [first_vendors.asked[1].body]
    assert await store.receipts() == [second]
    assert "ada@" not in str(second)
    third = await forget(person, apps("a"), store, KEYRING, clock=clock, transport=Vendors())
    assert third.id != first.id


async def test_amplitude_is_asked_once_a_second(store):
    """Two projects: a pause between them, none after the last."""
    clock = JumpingClock(NOW_MS)
    await forget(PersonIds("ada"), apps("a", "i"), store, KEYRING, clock=clock, transport=Vendors())
    assert clock.slept == [1.0]


async def test_without_vendors_nobody_is_asked(store):
    """The receipt has no steps, and a later run with vendors asks them all."""
    receipt = await forget(PersonIds("ada"), apps("a"), store, KEYRING, clock=JumpingClock(NOW_MS))
    assert (receipt.steps, receipt.settled) == ((), True)
    later = await forget(PersonIds("ada"), apps("a"), store, KEYRING, clock=JumpingClock(NOW_MS), transport=Vendors())
    assert [step.state for step in later.steps] == ["done", "done"]


async def test_ids_that_name_nobody_are_refused(store):
    """Zeros would have a key of their own, of everybody."""
    with pytest.raises(FlybridgeError, match="of these ids is usable"):
        await forget(PersonIds(advertising_id="00000000-0000"), apps("a"), store, KEYRING, clock=JumpingClock(NOW_MS))


async def test_what_could_not_be_read_is_searched_for_the_ids(store):
    """An unreadable message that holds the id is forgotten; one that holds a longer id is somebody else's."""
    bodies = [b'[{"customer_user_id": "ADA-1"}', b'[{"customer_user_id": "ada-12"}', b'["other-ada-1"]']
    await store.file(
        [
            Filing(
                Envelope("a", Source.PUSH, Media.JSON, NOW_MS, body, f"r{number}"),
                Dead("decode", "not_json", "", ""),
            )
            for number, body in enumerate(bodies)
        ],
        NOW_MS,
    )
    receipt = await forget(PersonIds("ada-1"), apps("a"), store, KEYRING, clock=JumpingClock(NOW_MS))
    assert receipt.removed.dead == 1
    assert sorted(letter.receipt for letter in await store.dead()) == ["r1", "r2"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"appsflyer_id": "1768000000000-4711000", "event_name": ',
        b'{"idfa": "AEBE52E7-03EE-455A-B3C4-E57283966239", cut',
        b"event_name=buy\xff&advertising_id=aebe52e7-03ee-455a-b3c4-e57283966239",
        json.dumps({"file": "a.csv", "line": 9, "problem": "p", "text": 'ADA-1,"buy,1768000000000-4711000'}).encode(),
    ],
)
async def test_what_could_not_be_read_is_searched_for_what_is_known_of_the_person(store, body):
    """By any identifier that the person is known to have, whichever was named; that of others stays."""
    flow = Flow({"a": AppFlow(Rules(app="a", platform="android"))}, KEYRING)
    known = {
        "event_name": "login",
        "appsflyer_id": "1768000000000-4711000",
        "customer_user_id": "ada-lovelace",
        "advertising_id": "aebe52e7-03ee-455a-b3c4-e57283966239",
    }
    said = Envelope("a", Source.PUSH, Media.JSON, NOW_MS, json.dumps(known).encode(), "r1")
    dead = Dead("decode", "not_json", "", "")
    cut = Filing(Envelope("a", Source.PUSH, Media.JSON, NOW_MS, body, "r2"), dead)
    other = Envelope(
        "a", Source.PUSH, Media.JSON, NOW_MS, body.replace(b"4711000", b"4711001").replace(b"39", b"40"), "r3"
    )
    await store.file([flow.filing(said), cut, Filing(other, dead)], NOW_MS)
    person = PersonIds(customer_user_id="ada-lovelace")
    receipt = await forget(person, apps("a"), store, KEYRING, clock=JumpingClock(NOW_MS + 1))
    assert receipt.removed.dead == 1
    assert [letter.receipt for letter in await store.dead()] == ["r3"]


async def test_dead_letters_are_searched_in_pages_and_whatever_the_escapes(store, monkeypatch):
    """An id in JSON escapes, in JSON in JSON, or percent-encoded is found, and no more than a page is in memory."""
    ada = "jos\u00e9@example.com"
    bodies = [
        b"{" + json.dumps(ada).encode(),
        json.dumps({"custom_data": json.dumps({"user": ada})}).encode(),
        b"user=jos%C3%A9%40example.com",
        ada.upper().encode(),
    ]
    others = [b"{" + json.dumps(f"x{n}@example.com").encode() for n in range(9)]
    dead = Dead("decode", "not_json", "d", "r")
    await store.file(
        [
            Filing(Envelope("a", Source.PUSH, Media.JSON, NOW_MS, body, f"r{n}"), dead)
            for n, body in enumerate([*others[:4], *bodies, *others[4:]])
        ],
        NOW_MS,
    )
    monkeypatch.setattr("flybridge.operations.forget.PAGE", 3)
    pages = []
    whole = store.dead

    async def page(**named):
        pages.append(await whole(**named))
        return pages[-1]

    monkeypatch.setattr(store, "dead", page)
    receipt = await forget(PersonIds(customer_user_id=ada), apps("a"), store, KEYRING, clock=JumpingClock(NOW_MS))
    assert receipt.removed.dead == 4
    assert max(map(len, pages)) == 3
    assert {letter.body for letter in await whole()} == set(others)


class Amplitude(Vendors):
    """Answers a search with these users, and takes every deletion."""

    def __init__(self, *ids: int, kind: str = "match_user_or_device_id") -> None:
        super().__init__()
        self.found = json.dumps({"matches": [{"user_id": "u", "amplitude_id": n} for n in ids], "type": kind})

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        if "usersearch" not in request.url:
            return await super().send(request)
        self.asked.append(request)
        return HttpResponse(200, {}, self.found.encode())


@pytest.mark.parametrize(
    ("vendors", "state", "says", "deleted"),
    [
        (Amplitude(356893043036), "done", "accepted", [356893043036]),
        (Amplitude(), "done", "no user of this device", None),
        (Amplitude(1, 2), "failed", "--customer-user-id", None),
        (Amplitude(7, 7), "done", "accepted", [7]),
        (Amplitude(1, kind="match_user_id_prefix"), "done", "no user of this device", None),
        (Amplitude(1, kind="match_amplitude_id"), "done", "no user of this device", None),
        (Vendors(401), "failed", "secret_key", None),
        (Vendors(429), "failed", "again", None),
        (Vendors(200, 200), "done", "no user of this device", None),
    ],
)
async def test_a_device_is_looked_up_and_its_user_deleted_by_number(store, vendors, state, says, deleted):
    """Nobody else: no other user whose id begins alike, and none of several who used the device."""
    clock = JumpingClock(NOW_MS)
    receipt = await forget(PersonIds(device_id="AB CD&x=1"), apps("a"), store, KEYRING, clock=clock, transport=vendors)
    (step,) = [step for step in receipt.steps if step.vendor == "amplitude"]
    assert (step.state, says in step.detail) == (state, True), step
    assert vendors.asked[0].url == "https://amplitude.com/api/2/usersearch?user=AB+CD%26x%3D1"
    bodies = [json.loads(asked.body) for asked in vendors.asked if asked.url.endswith("/deletions/users")]
    assert [body.get("amplitude_ids") for body in bodies] == ([deleted] if deleted else [])
    assert not any("user_ids" in body for body in bodies)
    assert "AB CD" not in str(receipt)


async def test_a_vendor_that_was_not_asked_leaves_the_receipt_open(store):
    """By an advertising id Amplitude finds nobody: the receipt says what to name."""
    receipt = await forget(
        PersonIds(advertising_id="ab-cd"), apps("a"), store, KEYRING, clock=JumpingClock(NOW_MS), transport=Vendors()
    )
    assert [(step.vendor, step.state) for step in receipt.steps] == [
        ("amplitude", "failed"),
        ("appsflyer", "done"),
        ("appsflyer", "done"),
    ]
    assert "--device-id" in receipt.steps[0].detail
    assert not receipt.settled
