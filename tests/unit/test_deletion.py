"""Deletion requests: built as documented, and every documented answer read."""

from __future__ import annotations

import json
from base64 import b64decode
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from flybridge.amplitude import activity
from flybridge.amplitude import deletion as amplitude
from flybridge.amplitude.cohort import ORIGINS, Credentials
from flybridge.appsflyer import deletion as appsflyer
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.delivery.exchange import Erasure, HttpRequest, HttpResponse
from flybridge.identity import IdKind
from flybridge.sandbox.vendors.deletion import Deletions
from flybridge.sandbox.vendors.opendsr import Subjects
from flybridge.sandbox.vendors.users import ProjectUsers
from flybridge.testing.clocks import ManualClock

ADA = "ada@example.com"


def answer(status: int, body: object = b"") -> HttpResponse:
    """Build an answer."""
    return HttpResponse(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


def test_amplitude_is_asked_for_one_user_with_both_keys():
    """Basic authentication, a user id, who asked, and unknown users tolerated."""
    asked = amplitude.request(Credentials(ORIGINS["eu"], "key", "secret"), ADA, "dpo@example.com")
    assert (asked.method, asked.url) == ("POST", "https://analytics.eu.amplitude.com/api/2/deletions/users")
    assert b64decode(asked.headers["Authorization"].removeprefix("Basic ")) == b"key:secret"
    body = json.loads(asked.body)
    assert (body["user_ids"], body["requester"], body["ignore_invalid_id"]) == ([ADA], "dpo@example.com", True)
    assert "requester" not in json.loads(amplitude.request(Credentials("https://a", "k", "s"), ADA).body)


@pytest.mark.parametrize(
    ("response", "done", "says"),
    [
        (answer(200, {"day": "2026-12-01", "status": "staging", "amplitude_ids": []}), True, "2026-12-01"),
        (
            answer(200, [{"day": "2026-12-02", "app": 1}, {"day": "2026-12-01", "app": 2}]),
            True,
            "2026-12-01, 2026-12-02",
        ),
        (answer(200, {"invalid_ids": [ADA]}), True, "no such user"),
        (answer(200, {"day": "2026-02-14", "amplitude_ids": [], "invalid_ids": [ADA]}), True, "no such user"),
        (answer(200, {"day": "2026-02-14", "invalid_ids": []}), True, "2026-02-14"),
        (answer(200, {"day": ADA}), True, "accepted"),
        (answer(200, b"<html>"), False, "can't be read"),
        (answer(400, {"error": ADA}), False, "refuses the request"),
        (answer(401), False, "secret_key"),
        (answer(403), False, "region"),
        (answer(404), False, "base_url"),
        (answer(429), False, "one deletion request a second"),
        (answer(503, ADA.encode()), False, "503"),
    ],
)
def test_amplitudes_answers(response, done, says):
    """Done or to be asked again, in a sentence of ours that never repeats the id."""
    read = amplitude.read(response)
    assert (read.done, says in read.detail, ADA in read.detail) == (done, True, False)


def test_appsflyer_is_asked_for_one_identity_of_one_app():
    """The fields of OpenDSR, the token as bearer, the time in UTC."""
    asked = appsflyer.request(
        AppsFlyerAccount("id123", "token"),
        request_id="5e2bca4e-5a0f-4d4c-9a4c-0a6cbf5f4c3b",
        identity=appsflyer.IDENTITIES["ios"][IdKind.IDFA],
        value="AB",
        now_ms=1_764_000_000_000,
    )
    assert asked.url == "https://hq1.appsflyer.com/api/gdpr/v1/opendsr_requests"
    assert asked.headers["Authorization"] == "Bearer token"
    assert json.loads(asked.body) == {
        "subject_request_id": "5e2bca4e-5a0f-4d4c-9a4c-0a6cbf5f4c3b",
        "subject_request_type": "erasure",
        "submitted_time": "2025-11-24T16:00:00Z",
        "subject_identities": [
            {"identity_type": "ios_advertising_id", "identity_value": "AB", "identity_format": "raw"}
        ],
        "property_id": "id123",
    }


@pytest.mark.parametrize(
    ("platform", "kind", "given", "asked"),
    [
        ("ios", IdKind.IDFA, "9876f1aa-2983-3855-27bb-2c626772efab", "9876F1AA-2983-3855-27BB-2C626772EFAB"),
        ("ios", IdKind.IDFV, "9876f1aa-2983-3855-27bb-2c626772efab", "9876F1AA-2983-3855-27BB-2C626772EFAB"),
        ("android", IdKind.ADID, "9C9A82FB-D5DE-4CD1-90C3-527441C11828", "9c9a82fb-d5de-4cd1-90c3-527441c11828"),
        ("android", IdKind.CUSTOMER_USER_ID, "Ada", "Ada"),
        ("android", IdKind.APPSFLYER_ID, "1629191854863-7087037", "1629191854863-7087037"),
    ],
)
def test_appsflyer_is_asked_for_an_identity_as_it_writes_it(platform, kind, given, asked):
    """A request for another spelling would be taken, and find nobody."""
    built = appsflyer.request(
        AppsFlyerAccount("id123", "token"),
        request_id="5e2bca4e-5a0f-4d4c-9a4c-0a6cbf5f4c3b",
        identity=appsflyer.IDENTITIES[platform][kind],
        value=given,
        now_ms=1_764_000_000_000,
    )
    (identity,) = json.loads(built.body)["subject_identities"]
    assert identity["identity_value"] == asked


@pytest.mark.parametrize("code", ["e318", "e319"])
def test_an_app_that_has_no_amazon_ids_has_nobody_to_be_found_by_one(code):
    """It was asked for in case the id is one. Of another identity the same answer is a failure."""
    answered = answer(400, problem(code))
    assert appsflyer.read(answered, "fire_advertising_id").done
    assert code in appsflyer.read(answered, "fire_advertising_id").detail
    assert not appsflyer.read(answered, "android_advertising_id").done
    assert not appsflyer.read(answer(400, problem("e411")), "fire_advertising_id").done


def problem(code: str) -> dict[str, object]:
    """Build AppsFlyer's error."""
    return {"error": {"code": 400, "af_gdpr_code": code, "message": f"about {ADA}"}}


@pytest.mark.parametrize(
    ("response", "done", "says"),
    [
        (answer(201, {"expected_completion_time": "2026-12-09T00:00:00Z"}), True, "2026-12-09"),
        (answer(201, {"expected_completion_time": ADA}), True, "has taken"),
        (answer(201, b"<html>"), False, "can't be read"),
        (answer(400, problem("e213")), True, "already"),
        (answer(400, problem("e215")), True, "already"),
        (answer(400, problem("e321")), False, "limit ad tracking"),
        (answer(400, problem("e411")), False, "api_token"),
        (answer(400, problem("e511")), False, "in an hour"),
        (answer(400, problem("e999")), False, "400 with e999"),
        (answer(400, problem(ADA)), False, "(400)"),
        (answer(400, {"af_gdpr_code": "e319"}), False, "platform"),
        (answer(400, b"no"), False, "(400)"),
        (answer(401), False, "token"),
        (answer(404), False, "base_url"),
        (answer(429), False, "350"),
        (answer(500), False, "500"),
    ],
)
def test_appsflyers_answers(response, done, says):
    """Done or to be asked again; a request that is there already is done."""
    read = appsflyer.read(response)
    assert (read.done, says in read.detail, ADA in read.detail) == (done, True, False)


def scope_of(request: HttpRequest) -> dict[str, object]:
    """Return a request as the sandbox gets it."""
    url = urlsplit(request.url)
    return {
        "method": request.method,
        "path": url.path,
        "query_string": url.query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in request.headers.items()],
    }


def test_the_sandbox_takes_one_deletion_a_second_and_so_many_searches_an_hour():
    """And says so in a way that is read; each project has its own."""
    clock = ManualClock()
    vendor = Deletions(clock, users_of=lambda _: ProjectUsers())
    project, other = (Credentials("https://a", key, "secret") for key in ("key", "other"))

    def ask(request: HttpRequest) -> HttpResponse:
        found = vendor.answer(scope_of(request), request.body)
        return answer(found.status, found.content)

    deletion = amplitude.request(project, ADA)
    assert [ask(deletion).status for _ in range(2)] == [200, 429]
    assert ask(amplitude.request(other, ADA)).status == 200
    clock.advance(amplitude.INTERVAL_S)
    assert ask(deletion).status == 200
    text = deletion.body.replace(b"true", b'"true"')  # as in an example of the page
    clock.advance(amplitude.INTERVAL_S)
    assert ask(replace(deletion, body=text)).status == 200
    looks = [amplitude.search_request(project, "d1"), activity.request(project, "12")] * 180
    assert {ask(request).status for request in looks} == {200, 400}
    last = amplitude.read_search(ask(looks[0]))
    assert isinstance(last, Erasure)
    assert "360 searches of this hour" in last.detail
    assert "queries of this hour are used up" in activity.read(ask(looks[1])).problem
    clock.advance(3600)
    assert ask(looks[0]).status == 200


@pytest.mark.parametrize(
    ("user", "known", "said"),
    [("ann-01", True, "in its job of"), ("bob-02", False, "no such user"), (12, False, "no such user")],
)
def test_the_sandbox_names_users_that_it_does_not_have(user, known, said):
    """And refuses a request that does not ignore them."""
    users = ProjectUsers()
    users.find("ann-01", "d1")
    clock = ManualClock()
    vendor = Deletions(clock, users_of=lambda _: users)
    asked = amplitude.request(Credentials("https://a", "key", "secret"), user)
    scope = scope_of(asked)
    found = vendor.answer(scope, asked.body)
    erasure = amplitude.read(answer(found.status, found.content))
    assert erasure.done
    assert said in erasure.detail
    strict = {name: value for name, value in json.loads(asked.body).items() if not name.startswith("ignore")}
    clock.advance(amplitude.INTERVAL_S)
    assert vendor.answer(scope, json.dumps(strict).encode()).status == (200 if known else 400)


def subject(n: int, identity: str = "appsflyer_id", app: str = "id499000111", value: str = "") -> HttpRequest:
    """Build the request number `n` about an identity."""
    return appsflyer.request(
        AppsFlyerAccount(app, "token"),
        request_id=f"5e2bca4e-5a0f-4d4c-9a4c-{n:012d}",
        identity=identity,
        value=value or f"person-{n}",
        now_ms=1_764_000_000_000,
    )


@pytest.mark.parametrize(
    ("app", "taken", "foreign"),
    [
        ("id499000111", ["appsflyer_id", "customer_user_id", "ios_advertising_id", "idfv"], "android_advertising_id"),
        ("com.example.shop", ["appsflyer_id", "customer_user_id", "android_advertising_id"], "fire_advertising_id"),
        ("com.example.shop-amazon", ["android_advertising_id", "fire_advertising_id"], "idfv"),
        ("roku-43465", ["appsflyer_id", "customer_user_id"], "android_advertising_id"),
    ],
)
def test_the_sandbox_takes_the_identities_of_an_apps_platform(app, taken, foreign):
    """Of another it answers e319: what is asked for in case an id is one of Amazon's counts as done."""
    vendor = Subjects(ManualClock())
    for n, identity in enumerate((*taken, foreign)):
        asked = subject(n, identity, app)
        found = vendor.answer(scope_of(asked), asked.body)
        code = json.loads(json.dumps(found.content)).get("error", {}).get("af_gdpr_code")
        assert (found.status, code) == ((400, "e319") if identity == foreign else (201, None))
        assert appsflyer.read(answer(found.status, found.content), identity).done is (
            identity != foreign or foreign == "fire_advertising_id"
        )


def test_the_sandbox_has_one_open_request_about_an_identity():
    """Another about it within 15 days is e215, which is as good; then it is taken."""
    clock = ManualClock()
    vendor = Subjects(clock)

    def ask(request: HttpRequest) -> tuple[int, bool]:
        found = vendor.answer(scope_of(request), request.body)
        return found.status, appsflyer.read(answer(found.status, found.content)).done

    assert [ask(subject(n, value="ada")) for n in (1, 2)] == [(201, True), (400, True)]
    assert ask(subject(3, value="ada", app="com.example.shop")) == (201, True)
    clock.advance(15 * 86_400)
    assert ask(subject(2, value="ada")) == (201, True)


def test_the_sandbox_takes_350_requests_a_minute_for_erasure():
    """As the help centre allows an account."""
    clock = ManualClock()
    vendor = Subjects(clock)
    asked = [subject(n) for n in range(351)]
    assert [vendor.answer(scope_of(one), one.body).status for one in asked] == [201] * 350 + [429]
    clock.advance(60)
    assert vendor.answer(scope_of(asked[-1]), asked[-1].body).status == 201
