"""Audiences that flybridge makes in AppsFlyer, and additional identifiers on the day after a device was reported."""

from __future__ import annotations

import asyncio
import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from typer.testing import CliRunner

from audience_rules import audience_rule
from flybridge.appsflyer import additional, audience_account
from flybridge.appsflyer.additional import extra_of
from flybridge.appsflyer.audience import ImportTarget
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.audiences.plan import AudiencePlan
from flybridge.audiences.run import Runner
from flybridge.audiences.schedule import register, targets, with_keys
from flybridge.cli.app import app as cli
from flybridge.config.settings import loads
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.operations.console import ConsoleOperations
from flybridge.records import DAY_MS, Envelope, Media, Source
from flybridge.sandbox.server import Sandbox
from flybridge.sealing import Seal
from flybridge.store.audiences.records import NEVER_MS
from flybridge.store.lease import RENEW_S
from flybridge.store.sqlite.store import SqliteCohorts, SqliteStore
from flybridge.testing.clocks import JumpingClock
from flybridge.testing.inside import Inside
from flybridge.wiring import plans_of

SECRET = b"the secret of these tests"
ORIGIN = "http://sandbox"
NAME = ("shop", "vips")
GAID = "38400000-8cf0-11bd-b23e-10b96e400001"
RULE = audience_rule(*NAME, "c1", "gaid", email_property="email", cadence="once", max_shrink_percent=100)
TARGET = ImportTarget(AppsFlyerAccount("com.example.shop", "token", ORIGIN), "android", "")


def answer(status: int, body: object) -> HttpResponse:
    return HttpResponse(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (answer(400, {"error_code": 1001, "messege": "Audience already exists under your account"}), "import key"),
        (
            answer(400, {"error_code": 1000, "message": {"errors": {"platform": "must be android or ios"}}}),
            "refuses to make the audience: platform must be android or ios.",
        ),
        (answer(400, {"error_code": 1000, "message": {"errors": []}}), "it does not say why"),
        (answer(400, {"error_code": 1004, "message": "Creation is no longer allowed"}), "no more audiences"),
        (answer(400, {"error_code": 1020, "message": "Internal error occurred"}), "Internal error occurred"),
        (answer(401, {"message": "x"}), "apps.appsflyer.api_token"),
        (answer(403, {"message": "Forbidden"}), "apps.appsflyer.api_token"),
        (answer(404, b"<html>"), "base_url"),
        (answer(500, b""), "Try again later"),
        (answer(200, {"message": "done"}), "200"),
        (answer(200, b"[" * 5000), "200"),
    ],
)
def test_why_there_is_no_audience(response, said):
    """In a sentence that says what to do."""
    found = audience_account.read(response)
    assert isinstance(found, str)
    assert said in found


async def ask(transport: Inside, target: ImportTarget, name: str) -> audience_account.CreatedAudience | str:
    return audience_account.read(await transport.send(audience_account.request(target, name)))


async def test_the_sandbox_makes_audiences_as_the_page_describes():
    """A name once, for a platform, with a token."""
    sandbox = Sandbox(JumpingClock())
    transport = Inside(sandbox)
    made = await ask(transport, TARGET, "vips c1")
    assert isinstance(made, audience_account.CreatedAudience)
    assert sandbox.audiences.made == {"vips c1": made.import_key}
    assert "already" in str(await ask(transport, TARGET, "vips c1"))
    assert isinstance(await ask(transport, TARGET, "v"), audience_account.CreatedAudience)
    refused = ImportTarget(AppsFlyerAccount("com.example.shop", "revoked token", ORIGIN), "android", "")
    assert "api_token" in str(await ask(transport, refused, "other"))


class Bridge:
    """A store with one member, and the audience that follows the cohort."""

    def __init__(self, path: Path) -> None:
        self.clock = JumpingClock(endless_s={RENEW_S})
        self.sandbox = Sandbox(self.clock)
        self.transport = Inside(self.sandbox)
        self.plan = AudiencePlan(RULE, TARGET)
        self.store = SqliteStore(path / "store.db", Seal(SECRET))
        self.cohorts = SqliteCohorts(path / "store.db", Seal(SECRET))
        self.runner = Runner(self.cohorts, self.transport, self.transport, self.clock, Keyring(SECRET))

    async def start(self) -> None:
        await self.store.open()
        await self.cohorts.open()
        await self.cohorts.keep(targets({NAME: self.plan}, self.clock.now_ms()))
        user = {"user_id": "ada-00001", "user_properties": {"gaid": GAID, "email": "ada@example.com"}}
        body = json.dumps(
            {"cohort_id": "c1", "in_cohort": True, "computed_time": "1", "message_id": "m", "users": [user]}
        )
        flow = Flow({"shop": AppFlow(Rules(app="shop", platform="android"), audiences=(RULE,))}, Keyring(SECRET))
        envelope = Envelope("shop", Source.COHORT, Media.JSON, self.clock.now_ms(), body.encode(), "r")
        await self.store.file(flow.filings([envelope]), self.clock.now_ms())

    async def stop(self) -> None:
        await self.cohorts.close()
        await self.store.close()

    async def run(self) -> tuple[str, str]:
        run = await self.runner.run(self.plan)
        assert run is not None
        return run.outcome, run.reason

    @property
    def extras(self) -> dict:
        return self.sandbox.audiences.extras["com.example.shop"]


async def test_an_audience_without_a_key_waits_for_one(tmp_path):
    """It is stopped with a remedy, and runs with the key that the store keeps."""
    bridge = Bridge(tmp_path)
    await bridge.start()
    assert await bridge.run() == ("stopped", "no_import_key")
    made = await ask(bridge.transport, TARGET, "vips c1")
    await bridge.cohorts.keep_import_key(*NAME, made.import_key)
    plans = await with_keys(bridge.cohorts, {NAME: bridge.plan})
    assert plans[NAME].audience.import_key == made.import_key
    assert await bridge.run() == ("done", "")
    assert bridge.sandbox.audiences.listed[made.import_key] == {("gaid", GAID)}
    await bridge.stop()
    assert all(made.import_key.encode() not in path.read_bytes() for path in tmp_path.iterdir())


async def test_additional_identifiers_have_an_effect_the_day_after(tmp_path):
    """Sent at once they would be accepted and lost. An audience that runs once runs for them again, twice."""
    bridge = Bridge(tmp_path)
    bridge.plan = AudiencePlan(
        RULE, ImportTarget(AppsFlyerAccount("com.example.shop", "token", ORIGIN), "android", "key")
    )
    await bridge.start()
    assert await bridge.run() == ("done", "")
    assert bridge.extras == {}
    for _ in range(2):
        (standing,) = await bridge.cohorts.standings(bridge.clock.now_ms())
        assert standing.next_ms == bridge.clock.now_ms() + DAY_MS
        bridge.clock.advance(DAY_MS / 1000)
        assert await bridge.run() == ("done", "")
        assert list(bridge.extras) == [("gaid", GAID)]
        bridge.extras.clear()
    (standing,) = await bridge.cohorts.standings(bridge.clock.now_ms())
    assert standing.next_ms == NEVER_MS
    assert bridge.sandbox.audiences.without_effect == 0
    await bridge.stop()


class Refusing:
    """Answers requests for additional identifiers in the place of AppsFlyer, as a proxy does, as long as it is set."""

    def __init__(self, inner: Inside, response: HttpResponse) -> None:
        self.inner, self.response = inner, response

    async def send(self, request: HttpRequest) -> HttpResponse:
        if self.response.status and additional.PATH.partition("{")[0] in request.url:
            return self.response
        return await self.inner.send(request)


@pytest.mark.parametrize("body", [b"", b"<html>too much</html>"])
@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 413, 422, 429, 500])
async def test_an_answer_that_names_no_row_does_not_end_it(tmp_path, status, body):
    """Additional identifiers are sent when what stands between has been corrected, and so is their removal."""
    bridge = Bridge(tmp_path)
    target = ImportTarget(AppsFlyerAccount("com.example.shop", "token", ORIGIN), "android", "key")
    bridge.plan = AudiencePlan(RULE, target)
    between = Refusing(bridge.transport, answer(0, b""))
    bridge.runner = Runner(bridge.cohorts, between, between, bridge.clock, Keyring(SECRET))
    await bridge.start()
    assert await bridge.run() == ("done", "")
    between.response = HttpResponse(status, {}, body)
    for _ in range(3):
        bridge.clock.advance(DAY_MS / 1000)
        assert (await bridge.run())[0] != "done"
    between.response = answer(0, b"")
    for _ in range(3):
        bridge.clock.advance(DAY_MS / 1000)
        await bridge.run()
    assert list(bridge.extras) == [("gaid", GAID)]
    await bridge.stop()


async def test_the_sandbox_takes_additional_identifiers_of_new_devices_without_effect(tmp_path):
    """As AppsFlyer does: nothing in the answer tells it."""
    bridge = Bridge(tmp_path)
    rows = [(GAID, extra_of("ada@example.com", ""))]
    request = additional.request(TARGET.account, "gaid", rows, remove=False)
    assert (await bridge.transport.send(request)).status == 202
    assert (bridge.extras, bridge.sandbox.audiences.without_effect) == ({}, 1)


CONFIG = """
data_dir = "data"
secret = "0123456789abcdef0123456789abcdef"
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
appsflyer.push_token = "a-token"
appsflyer.api_token = "api-token"
amplitude.api_key = "a-key"
amplitude.webhook_token = "a-token"
[[apps.audiences]]
cohort = "c1"
name = "vips"
identifier = "gaid"
cadence = "realtime"
"""


async def test_a_look_at_the_console_leaves_an_audience_with_a_kept_key_as_it_is(tmp_path):
    """Without its key it would seem to be another audience: AppsFlyer would be sent all again, and nobody removed."""
    bridge = Bridge(tmp_path)
    config = loads(CONFIG, tmp_path, {})
    await bridge.start()
    await bridge.cohorts.keep_import_key(*NAME, "kept-key")
    await register(bridge.cohorts, plans_of(config), bridge.clock.now_ms())
    assert await bridge.run() == ("done", "")
    operations = ConsoleOperations(
        config,
        None,  # type: ignore[arg-type] - audiences need no inbox
        bridge.store,
        bridge.transport,
        bridge.clock,
        lambda: nullcontext(bridge.cohorts),
        lambda _: nullcontext(bridge.runner),
        bridge.transport,
    )
    (state,) = await operations.audiences()
    assert (state.standing.listed, state.standing.to_add) == (1, 0)
    assert "0 devices added, 0 removed" in (await operations.run_audience(*NAME)).sentence
    await bridge.stop()


async def test_the_command_makes_the_audience_and_keeps_its_key(tmp_path, monkeypatch):
    """Once; the key is printed nowhere."""
    sandbox = Sandbox(JumpingClock())
    monkeypatch.setattr("flybridge.delivery.transport.HttpTransport", lambda **_: Inside(sandbox))
    path = tmp_path / "flybridge.toml"
    path.write_text(CONFIG)

    async def out(*words: str) -> tuple[int, str]:
        done = await asyncio.to_thread(CliRunner().invoke, cli, ["cohorts", *words, "-c", str(path)])
        return done.exit_code, done.output + str(done.exception or "")

    code, said = await out("create", "vips")
    (key,) = sandbox.audiences.made.values()
    assert (code, list(sandbox.audiences.made), key in said) == (0, ["vips c1"], False)
    code, said = await out("create", "vips")
    assert code != 0
    assert "has an import key already" in said
    code, said = await out("run", "vips")
    assert (code, key in said) == (0, False)
