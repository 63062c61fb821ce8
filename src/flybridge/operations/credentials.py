"""Checks of an app's credentials at the vendors, by calls that change nothing there, and of what their quotas allow.

| credential | call | why it proves it |
| --- | --- | --- |
| `amplitude.api_key` | an upload without events | an unknown key is answered `Invalid API key`, nothing is kept |
| `amplitude.secret_key` | the count of cohort downloads | it needs both keys, and does not count itself |
| `appsflyer.api_token` | the Push API configuration of the app | it needs the token of the app's account |
| `appsflyer.s2s_key` | an event without its mandatory `appsflyer_id` | a wrong key is answered 401, nothing is kept |
| `history.locker` | a listing of the last days | it needs the address, its region, and the cloud's own credentials |

https://amplitude.com/docs/apis/analytics/http-v2, https://amplitude.com/docs/apis/analytics/behavioral-cohorts,
https://dev.appsflyer.com/hc/reference/s2s-events-api3-post (read 2026-11-27).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Final
from urllib.parse import quote

from flybridge.amplitude.cohort import read_usage, usage_request
from flybridge.amplitude.upload import HttpV2, origin
from flybridge.appsflyer import push_config
from flybridge.appsflyer.inapp_event import ORIGIN, InAppEvent
from flybridge.audiences.settings import called
from flybridge.config.apps import App, Platform, Route
from flybridge.config.settings import Config
from flybridge.config.template import push_url
from flybridge.delivery.exchange import Halt, HttpRequest, Reject, Transport, json_object
from flybridge.errors import FlybridgeError, TransportError
from flybridge.history.locker_folders import Locker
from flybridge.operations.doctor import Check
from flybridge.records import DAY_MS, Delivery, day_of
from flybridge.wiring import appsflyer_account_of, cohort_credentials_of

LOCKER_DAYS: Final = 2
MONTHLY_DOWNLOADS: Final = 500
"""Cohort downloads that Amplitude allows a project in a month on most plans."""
RUNS: Final[Mapping[str, int]] = {"hourly": 744, "daily": 31}
"""Downloads of one audience in the longest month."""


VendorCheck = Callable[[App, Transport, str], Awaitable[Check | list[Check]]]


async def vendor_checks(config: Config, transport: Transport) -> list[Check]:
    """Ask the vendors about each credential of each app. What can't be reached is a warning: it proves nothing."""
    found: list[Check] = []
    for app in config.apps:
        checks: dict[str, VendorCheck] = {"amplitude.api_key": _api_key}
        if app.amplitude.secret_key is not None:
            checks["amplitude.secret_key"] = _secret_key
        if app.appsflyer.api_token is not None:
            checks["appsflyer.api_token"] = partial(_push_config, config)
        if app.appsflyer.s2s_key is not None:
            checks["appsflyer.s2s_key"] = _s2s_key
        for name, check in checks.items():
            what = f"{name} of {app.name}"
            try:
                checked = await check(app, transport, what)
            except TransportError as problem:
                checked = _unproven(what, f"{problem}")
            found += checked if isinstance(checked, list) else [checked]
    return found


def quota_checks(apps: Iterable[App]) -> list[Check]:
    """Warn of audiences that download more often in a month than Amplitude allows a project."""
    wanted: defaultdict[str, int] = defaultdict(int)
    names: defaultdict[str, list[str]] = defaultdict(list)
    for app in apps:
        for audience in app.audiences if app.amplitude.secret_key is not None else ():
            key = app.amplitude.api_key.reveal()
            wanted[key] += RUNS.get(audience.cadence, 0)
            names[key].append(f"{app.name}/{called(audience)} ({audience.cadence})")
    allowed = f"downloads a month, and Amplitude allows {MONTHLY_DOWNLOADS} on most plans"
    remedy = 'Use cadence "daily", or "realtime" with Amplitude\'s cohort webhook.'
    return [
        Check("cohort downloads", True, f"{', '.join(names[key])}: {n} {allowed}. {remedy}", warning=True)
        for key, n in wanted.items()
        if n > MONTHLY_DOWNLOADS
    ]


async def locker_checks(apps: Iterable[App], now_ms: int) -> list[Check]:
    """List the Data Locker of each app that follows one. What is not there yet is a warning."""
    found, since = [], day_of(now_ms - LOCKER_DAYS * DAY_MS)
    for app in apps:
        if not app.history.locker:
            continue
        what = f"history.locker of {app.name}"
        try:
            folders = await Locker(app.history.locker).listed(since)
        except FlybridgeError as problem:
            found.append(Check(what, False, str(problem)))
            continue
        own = [one for one in folders if one.may_be_of(app.appsflyer_app_id)]
        if own:
            newest = max(own, key=lambda one: one.order)
            found.append(Check(what, True, f"The newest folder is that of {newest.name}."))
        else:
            why = f"{app.history.locker} has no folder of the app since {since}"
            found.append(_unproven(what, f"{why} (t=installs/dt={since}/): check the address"))
    return found


def _unproven(what: str, why: str) -> Check:
    return Check(what, True, f"not proven: {why}.", warning=True)


async def _api_key(app: App, transport: Transport, what: str) -> Check:
    region, key = app.amplitude.region.value, app.amplitude.api_key.reveal()
    endpoint = HttpV2(key, origin(region, app.amplitude.base_url))
    answer = await transport.send(endpoint.request(()))
    match endpoint.verdicts((_NOTHING,), answer)[0]:
        case Halt(reason="invalid_api_key" | "missing_api_key" | "unauthorized"):
            return Check(
                what,
                False,
                f"Amplitude does not know it: check the key and the project's region, which is {region!r} here.",
            )
        case Halt(reason="forbidden"):
            return Check(
                what, False, "Amplitude refuses this sender (403): check from where requests leave, and any proxy."
            )
        case Halt(reason="wrong_address"):
            return Check(
                what, False, "What answers is not Amplitude's upload API: check base_url, region, and any proxy."
            )
    if answer.status in {200, 400} and json_object(answer.body) is not None:
        return Check(what, True, "Amplitude takes it.")
    return _unproven(what, f"Amplitude answers {answer.status}")


async def _secret_key(app: App, transport: Transport, what: str) -> Check:
    credentials = cohort_credentials_of(app)
    assert credentials is not None, "the app has a secret key"
    answer = await transport.send(usage_request(credentials))
    if answer.status in {401, 403}:
        return Check(
            what,
            False,
            f"Amplitude answers {answer.status}: secret_key and api_key are not of one project in this region.",
        )
    usage = read_usage(answer)
    if usage is None:
        return _unproven(what, f"Amplitude answers {answer.status}")
    few = usage.left is not None and usage.left <= app.amplitude.cohort_reserve
    return Check(what, True, f"Amplitude takes it. {usage}", warning=few)


async def _push_config(config: Config, app: App, transport: Transport, token: str) -> list[Check]:
    account = appsflyer_account_of(app)
    assert account is not None, "the caller has looked"
    answer = await transport.send(push_config.read_request(account))
    endpoints = push_config.read(answer)
    if answer.status >= 500 or answer.status == 429:
        return [_unproven(token, f"AppsFlyer answers {answer.status}")]
    if answer.status == 402:
        return [Check(token, True, "AppsFlyer takes it. Push API is not part of the subscription.", warning=True)]
    if isinstance(endpoints, str):
        return [Check(token, False, endpoints)]
    found = [Check(token, True, "AppsFlyer takes it.")]
    return found if app.platform is Platform.OTHER else [*found, _compared(config, app, endpoints)]


def _compared(config: Config, app: App, endpoints: list[dict[str, object]]) -> Check:
    what, url = f"Push API of {app.name}", push_url(config, app)
    mine = push_config.ours(endpoints, url)
    if not mine:
        remedy = "Enter it there as `flybridge setup` shows; `flybridge setup --apply` does that for you."
        # Without a public address the endpoint can't be known for certain: it may be a trial on one machine.
        known = bool(config.server.public_url)
        return Check(what, not known, f"AppsFlyer sends nothing to {url}. {remedy}", warning=not known)
    platform, in_app, streams = app.platform.value, app.route is Route.HTTP_V2, bool(app.streams)
    lacks = [
        one for endpoint in mine for one in push_config.differences(endpoint, platform, in_app=in_app, streams=streams)
    ]
    if lacks:
        return Check(
            what, False, f"In AppsFlyer's endpoint {url}: {'; '.join(lacks)}. `flybridge setup --apply` sets it."
        )
    left_out = push_config.unselected(mine[0]) if app.route is Route.HTTP_V2 else []
    if left_out:
        return Check(what, True, f"In AppsFlyer's endpoint {url} these are not selected: {', '.join(left_out)}.", True)
    return Check(what, True, "AppsFlyer's endpoint is as flybridge needs it. Its token can't be read there.")


async def _s2s_key(app: App, transport: Transport, what: str) -> Check:
    assert app.appsflyer.s2s_key is not None, "the caller has looked"
    host = (app.appsflyer.base_url or ORIGIN).rstrip("/")
    request = HttpRequest(
        "POST",
        f"{host}/inappevent/{quote(app.appsflyer_app_id, safe='')}",
        {"authentication": app.appsflyer.s2s_key.reveal(), "Content-Type": "application/json"},
        b'{"eventName":"flybridge_check","eventValue":""}',
    )
    answer = await transport.send(request)
    match InAppEvent(app.appsflyer.s2s_key.reveal(), app.appsflyer_app_id, host).verdicts((_NOTHING,), answer)[0]:
        case Halt(reason="invalid_s2s_key" | "unauthorized" | "app_id_mismatch"):
            return Check(
                what, False, "AppsFlyer does not take it: it must be the server-to-server key of this very app."
            )
        case Halt(reason="forbidden"):
            return Check(what, False, "AppsFlyer answers 403: the account's package takes no server-to-server events.")
        case Halt(reason="unknown_app"):
            return Check(what, False, "AppsFlyer knows no such app: check appsflyer_app_id and appsflyer.base_url.")
        case Halt(reason="wrong_address"):
            return Check(
                what, False, "What answers is not AppsFlyer's server-to-server API: check base_url and any proxy."
            )
        case Reject(reason="invalid_appsflyer_id"):
            return Check(what, True, "AppsFlyer takes it.")
    return _unproven(what, f"AppsFlyer answers {answer.status}")


_NOTHING: Final = Delivery(0, "", "", "", "", b"", None, None, 0, 0, False, 0)
"""What an answer is read for: the calls hold no event."""
