"""What AppsFlyer is to send is what flybridge needs, and credentials are proven without a trace at the vendors."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest
from typer.testing import CliRunner

from flybridge.appsflyer import push_config
from flybridge.cli.app import app
from flybridge.config.settings import load
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.errors import TransportError
from flybridge.operations.credentials import quota_checks, vendor_checks
from flybridge.sandbox.server import Sandbox, running

URL = "https://bridge.example.com/v1/push/shop"
CONFIG = """
secret = "0123456789abcdef0123456789abcdef"
{public_url}
[[apps]]
name = "shop"
appsflyer_app_id = "{app_id}"
platform = "{platform}"
route = "{route}"
appsflyer.push_token = "push-token"
appsflyer.api_token = "{api_token}"
appsflyer.s2s_key = "{s2s_key}"
appsflyer.base_url = "{origin}"
amplitude.api_key = "{api_key}"
amplitude.secret_key = "{secret_key}"
amplitude.base_url = "{origin}"
"""
USUAL = {
    "public_url": 'server.public_url = "https://bridge.example.com"',
    "app_id": "id123456789",
    "platform": "ios",
    "route": "http_v2",
    "api_token": "token",
    "s2s_key": "s2s",
    "api_key": "key",
    "secret_key": "secret",
}


@asynccontextmanager
async def playing(tmp_path, **changed):
    """Run the sandbox, and give it with a configuration that points to it."""
    sandbox = Sandbox(api_keys={"key"})
    async with running(sandbox) as origin:
        path = tmp_path / "flybridge.toml"
        path.write_text(CONFIG.format(**(USUAL | {"origin": origin} | changed)))
        yield sandbox, path


async def flybridge(*words, code: int = 0):
    """Run a command."""
    result = await asyncio.to_thread(CliRunner().invoke, app, [str(word) for word in words])
    assert result.exit_code == code, (result.output, result.exception)
    return result


async def doctor(path, code: int) -> dict[str, tuple[bool, bool, str]]:
    """Return what the doctor says of the vendors, by what it has looked at."""
    (path.parent / "data").mkdir(exist_ok=True)
    await flybridge("migrate", "-c", path)
    found = json.loads((await flybridge("doctor", "-c", path, "--json", code=code)).stdout)
    return {one["what"]: (one["ok"], one["warning"], one["detail"]) for one in found["checks"]}


async def test_setup_prints_and_applies(tmp_path):
    """Once added, again nothing, and what is changed by hand is corrected; other endpoints are left alone."""
    async with playing(tmp_path) as (sandbox, path):
        other = push_config.wanted("https://other.example/x", in_app=False) | {
            "selected_fields": ["event_name", "event_time", "app_id"]
        }
        sandbox.push_config.endpoints["id123456789"] = [other]
        printed = (await flybridge("setup", "-c", path)).stdout
        assert URL in printed
        assert "push-token" in printed
        assert sandbox.push_config.endpoints["id123456789"] == [other]
        assert "is added" in (await flybridge("setup", "--apply", "-c", path)).stdout
        assert sandbox.push_config.endpoints["id123456789"] == [other, push_config.wanted(URL, in_app=True)]
        assert sandbox.push_config.tokens["id123456789"] == ("Authorization", "push-token")
        assert "already" in (await flybridge("setup", "--apply", "-c", path)).stdout
        sandbox.push_config.endpoints["id123456789"][1] |= {"selected_fields": "default", "enabled": False}
        assert "corrected" in (await flybridge("setup", "--apply", "-c", path)).stdout
        assert sandbox.push_config.endpoints["id123456789"] == [other, push_config.wanted(URL, in_app=True)]


@pytest.mark.parametrize(
    ("changed", "says", "code"),
    [
        ({"public_url": ""}, "public_url", 2),
        ({"api_token": "invalid"}, "does not accept the token", 1),
        ({"api_token": "noasset"}, "subscription", 1),
        ({"app_id": "unknown.app", "platform": "android"}, "no such app", 1),
        ({"platform": "other", "app_id": "x.y"}, "by hand", 2),
    ],
)
async def test_setup_says_why_it_can_not(tmp_path, changed, says, code, capsys):
    """With the vendor's reason in a sentence."""
    async with playing(tmp_path, **changed) as (_, path):
        result = await asyncio.to_thread(CliRunner().invoke, app, ["setup", "--apply", "-c", str(path)])
        assert result.exit_code == 1
        assert says in str(result.exception)
        assert type(result.exception).__name__ == ("ConfigError" if code == 2 else "FlybridgeError")


async def test_the_doctor_proves_what_is_right(tmp_path):
    """Each credential has a line, and nothing of it is at the vendors afterwards."""
    async with playing(tmp_path) as (sandbox, path):
        await flybridge("setup", "--apply", "-c", path)
        found = await doctor(path, 0)
        names = ("amplitude.api_key of shop", "amplitude.secret_key of shop", "appsflyer.api_token of shop")
        for name in (*names, "appsflyer.s2s_key of shop", "Push API of shop"):
            assert found[name][:2] == (True, False), found[name]
        assert sandbox.appsflyer.taken == []
        assert (
            sum(ledger.users is not None and len(ledger.users) for ledger in sandbox.amplitude.projects.values()) == 0
        )


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"api_key": "another"}, "amplitude.api_key of shop"),
        ({"secret_key": "invalid"}, "amplitude.secret_key of shop"),
        ({"api_token": "invalid"}, "appsflyer.api_token of shop"),
        ({"app_id": "unknown.app", "platform": "android"}, "appsflyer.api_token of shop"),
        ({"s2s_key": "invalid"}, "appsflyer.s2s_key of shop"),
        ({"s2s_key": "zero"}, "appsflyer.s2s_key of shop"),
        ({}, "Push API of shop"),
    ],
)
async def test_the_doctor_fails_what_is_wrong(tmp_path, changed, what):
    """A wrong key at either vendor, and an endpoint that is not there."""
    async with playing(tmp_path, **changed) as (_, path):
        found = await doctor(path, 1)
        assert not found[what][0]
        assert found[what][2]


@pytest.mark.parametrize(
    ("endpoint", "route", "says"),
    [
        ({"enabled": False}, "http_v2", "switched off"),
        ({"method": "GET"}, "http_v2", "use POST"),
        ({"event_types": ["install"]}, "http_v2", "re-engagement"),
        ({"selected_fields": ["event_name", "event_time", "app_id"]}, "http_v2", "custom_data"),
        ({"selected_fields": "default"}, "http_v2", "select all"),
        ({"selected_inapps": ["af_purchase"]}, "http_v2", "in-app events"),
        ({}, "attribution", "deselect"),
    ],
)
async def test_the_doctor_compares_the_endpoint(tmp_path, endpoint, route, says):
    """With what this app's route needs; `setup --apply` mends it."""
    async with playing(tmp_path, route=route) as (sandbox, path):
        sandbox.push_config.endpoints["id123456789"] = [push_config.wanted(URL, in_app=True) | endpoint]
        found = await doctor(path, 1)
        assert says in found["Push API of shop"][2]
        await flybridge("setup", "--apply", "-c", path)
        assert (await doctor(path, 0))["Push API of shop"][0]


async def test_without_a_public_address_a_missing_endpoint_is_a_warning(tmp_path):
    """A trial on one machine has none, and AppsFlyer could not reach it."""
    async with playing(tmp_path, public_url="") as (sandbox, path):
        assert (await doctor(path, 0))["Push API of shop"][:2] == (True, True)
        sandbox.push_config.endpoints["id123456789"] = [push_config.wanted(URL, in_app=True) | {"enabled": False}]
        assert "switched off" in (await doctor(path, 1))["Push API of shop"][2]


async def test_in_app_events_that_are_not_selected_are_a_warning(tmp_path):
    """It may be meant so."""
    async with playing(tmp_path) as (sandbox, path):
        sandbox.push_config.endpoints["id123456789"] = [push_config.wanted(URL, in_app=False)]
        ok, warning, detail = (await doctor(path, 0))["Push API of shop"]
        assert (ok, warning) == (True, True)
        assert "install-in-app-event" in detail


class Away:
    """A transport that reaches nobody, or whose every answer is this."""

    def __init__(self, status: int = 0, body: bytes = b"") -> None:
        self.status, self.body = status, body

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Answer, or fail."""
        if not self.status:
            raise TransportError(f"{request.url}: no connection", maybe_applied=False)
        return HttpResponse(self.status, {}, self.body)

    async def close(self) -> None:
        """Have nothing to close."""


@pytest.mark.parametrize("transport", [Away(), Away(500), Away(503, b"<html>"), Away(429)])
async def test_what_can_not_be_reached_proves_nothing(tmp_path, transport):
    """A vendor that is away is a warning, not a wrong credential."""
    path = tmp_path / "flybridge.toml"
    path.write_text(CONFIG.format(**(USUAL | {"origin": ""})))
    found = await vendor_checks(load(path, {}), transport)
    assert len(found) == 4
    assert all(one.ok and one.warning and "not proven" in one.detail for one in found), found


@pytest.mark.parametrize("status", range(200, 600, 7))
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"endpoints": 1}', b"null", b"\xff"])
async def test_any_answer_is_read(tmp_path, status, body):
    """Proxies and firewalls answer, too; nothing is raised, and a sentence says what was answered."""
    path = tmp_path / "flybridge.toml"
    path.write_text(CONFIG.format(**(USUAL | {"origin": ""})))
    assert all(one.detail for one in await vendor_checks(load(path, {}), Away(status, body)))


TAKEN = b'{"code": 400, "error": "Request missing required field", "missing_field": "events"}'


@pytest.mark.parametrize(
    ("status", "body", "api_key", "s2s_key"),
    [
        (200, b"<html>sign in</html>", "What answers is not", "What answers is not"),
        (200, b"{}", "What answers is not", "not proven"),
        (200, b'{"code": 200, "events_ingested": 0}', "takes it", "not proven"),
        (400, TAKEN, "takes it", "not proven"),
        (400, b"<html>", "not proven", "What answers is not"),
        (400, b'{"code": 400, "error": "invalid API key"}', "does not know it", "not proven"),
        (400, b'{"code": 400, "error": "Invalid request path"}', "What answers is not", "not proven"),
        (400, b"appsflyer_id is a mandatory field", "not proven", "takes it"),
        (400, b"Failed to authenticate", "not proven", "does not take it"),
        (400, b"App ID doesn't match the authentication", "not proven", "does not take it"),
        (401, b"", "does not know it", "does not take it"),
        (403, b"", "refuses this sender", "package takes no"),
        (404, b"", "What answers is not", "no such app"),
        (404, b"<html>", "What answers is not", "What answers is not"),
        (405, b"", "What answers is not", "What answers is not"),
        (429, b"", "not proven", "not proven"),
    ],
)
async def test_an_answer_means_to_the_doctor_what_it_means_to_deliveries(tmp_path, status, body, api_key, s2s_key):
    """What halts a lane is no credential that is taken, and no page of a proxy is the vendor."""
    path = tmp_path / "flybridge.toml"
    path.write_text(CONFIG.format(**(USUAL | {"origin": "", "api_key": "0a1b2c3d"})))
    found = {one.what: one for one in await vendor_checks(load(path, {}), Away(status, body))}
    for name, says in (("amplitude.api_key of shop", api_key), ("appsflyer.s2s_key of shop", s2s_key)):
        assert says in found[name].detail, found[name]
        assert found[name].ok is (says in {"takes it", "not proven"}), found[name]


AUDIENCE = """
[[apps.audiences]]
cohort = "{}"
import_key = "{}"
identifier = "idfv"
cadence = "{}"
"""


@pytest.mark.parametrize(
    ("cadences", "downloads"),
    [
        (["hourly"], 744),
        (["daily"] * 16, None),
        (["daily"] * 17, 527),
        (["hourly", "daily"], 775),
        (["realtime"] * 40, None),
        (["once"], None),
    ],
)
def test_the_quota_of_downloads_is_looked_ahead(tmp_path, cadences, downloads):
    """500 in a month for all audiences of a project together."""
    path = tmp_path / "flybridge.toml"
    text = CONFIG.format(**(USUAL | {"origin": ""}))
    path.write_text(text + "".join(AUDIENCE.format(f"c{n}", f"k{n}", cadence) for n, cadence in enumerate(cadences)))
    found = quota_checks(load(path, {}).apps)
    assert [(one.ok, one.warning, f"{downloads} downloads" in one.detail) for one in found] == (
        [(True, True, True)] if downloads else []
    )


async def test_the_sandbox_refuses_what_appsflyer_refuses():
    """Each documented code, for a body that earns it."""
    good = push_config.wanted(URL, in_app=True)
    cases = [
        ([good] * 2, "RepeatingURL"),
        ([good | {"url": f"{URL}{n}"} for n in range(7)], "TooManyEndpoints"),
        ([good | {"url": "bridge"}], "InvalidURL"),
        ([good | {"method": "PUT"}], "InvalidMethod"),
        ([good | {"selected_inapps": None}], "MissingEvents"),
        ([good | {"event_types": ["install"]}], "MissingEventTypes"),
        ([good | {"selected_fields": ["event_name"] * 2}], "InvalidMessageFields"),
        ([good | {"selected_fields": ["nothing"]}], "InvalidMessageFields"),
        ([good | {"selected_fields": ["event_name"]}], "MissingMandatoryFields"),
        ([good | {"event_types": ["launch"]}], "SchemaError"),
        ("x", "SchemaError"),
    ]
    async with running(Sandbox()) as origin, aiohttp.ClientSession(headers={"Authorization": "Bearer t"}) as session:
        url = f"{origin}/api/pushapi/v1.0"
        for endpoints, code in cases:
            async with session.put(f"{url}/app/com.shop", json={"endpoints": endpoints}) as response:
                assert (response.status, (await response.json())["code"]) == (422, code)
        for path, names in (("fields/ios", "fields"), ("event-types/appsflyer", "event_types")):
            async with session.get(f"{url}/{path}") as response:
                assert len((await response.json())[names]) in {114, 10}
        async with session.put(f"{url}/tokens/app/com.shop", json={"token": "a b", "token_name": "Wrong"}) as response:
            assert response.status == 422
        async with session.put(f"{url}/tokens/app/com.shop", json={"token": "t", "token_name": "X-Token"}) as response:
            assert response.status == 200
        async with session.get(f"{origin}/sandbox/push_config?app=com.shop") as response:
            assert (await response.json())["header"] == "X-Token"


def test_short_ids_are_not_searched_for(tmp_path):
    """They would be found by chance, in every file."""
    path = tmp_path / "flybridge.toml"
    path.write_text(CONFIG.format(**(USUAL | {"origin": ""})))
    result = CliRunner().invoke(app, ["doctor", "--no-vendors", "--privacy", "--id", "1234567", "-c", str(path)])
    assert result.exit_code == 2
    assert "to search for has 8" in " ".join(result.output.split())
