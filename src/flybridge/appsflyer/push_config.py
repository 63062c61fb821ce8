"""AppsFlyer's Push API configuration API: which messages an app's endpoints get, and the token they are sent with.

https://dev.appsflyer.com/hc/reference/pushapi-config (docs/apis/mos/pushapi_config_api.yaml of AppsFlyer's devhub, read
2026-11-27). `GET` and `PUT /api/pushapi/v1.0/app/{app-id}` read and replace all endpoints of an app, with the API token
V2 as bearer; `PUT /tokens/app/{app-id}` sets the token, which all endpoints of the app share and which can't be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.delivery.exchange import HttpRequest, HttpResponse, is_success, json_object, json_of

PATH: Final = "/api/pushapi/v1.0/app/{app}"
TOKENS: Final = "/api/pushapi/v1.0/tokens/app/{app}"

CONVERSIONS: Final = (
    "install", "organic-install", "re-engagement", "re-attribution", "reinstall", "organic-reinstall",
)  # fmt: skip
IN_APP: Final = (
    "install-in-app-event", "organic-install-in-app-event", "re-engagement-in-app-event",
    "re-attribution-in-app-event",
)  # fmt: skip

FIELDS: Final = (
    "event_name", "event_time", "event_value", "install_time", "conversion_type", "campaign_type", "media_source",
    "campaign", "appsflyer_id", "customer_user_id", "custom_data", "is_primary_attribution", "app_id", "is_lat",
    "event_revenue", "event_revenue_currency",
)  # fmt: skip
"""Fields without which messages are read wrongly, their people can't be found, it is not known what may leave, or an
event is not known again in the row of a report.
"""
OF_STREAMS: Final = ("event_source",)
"""Fields by which events are known that a stream has sent to AppsFlyer."""

IDENTIFIERS: Final[Mapping[str, tuple[str, ...]]] = {"android": ("advertising_id",), "ios": ("idfa", "idfv")}

PROBLEMS: Final = {
    "MissingAsset": "Push API, or one of its event types, is not part of the AppsFlyer subscription.",
    "UnknownAppid": "The token's account has no such app: check appsflyer_app_id and api_token.",
    "AccountProblem": "AppsFlyer has a problem with the account: ask your AppsFlyer contact.",
    "TooManyEndpoints": "The app has as many Push API endpoints as AppsFlyer allows: remove one there.",
    "InvalidURL": "AppsFlyer does not take the address: check server.public_url, which needs port 80 or 443.",
    "RepeatingURL": "Another endpoint of the app has the same address.",
}
"""AppsFlyer's codes in words."""

UNREADABLE: Final = "What answered is not AppsFlyer: check base_url and any proxy."

Endpoint = Mapping[str, Any]
"""One endpoint as AppsFlyer describes it. What is not known here is kept."""


class _Configuration(msgspec.Struct):
    endpoints: list[dict[str, Any]] = []
    code: str = ""


def read_request(account: AppsFlyerAccount) -> HttpRequest:
    """Build the request for the endpoints of an app."""
    return account.call("GET", PATH)


def write_request(account: AppsFlyerAccount, endpoints: Sequence[Endpoint]) -> HttpRequest:
    """Build the request that replaces the endpoints of an app."""
    return account.call("PUT", PATH, {"endpoints": endpoints})


def token_request(account: AppsFlyerAccount, token: str, header: str) -> HttpRequest:
    """Build the request that sets the token of an app's endpoints, and the header that carries it."""
    return account.call("PUT", TOKENS, {"token": token, "token_name": header})


def read(response: HttpResponse) -> list[dict[str, Any]] | str:
    """Return the endpoints in an answer, or in a sentence why there are none. Never raises, never quotes the answer."""
    if response.status != 200:
        return refusal(response) or UNREADABLE
    # Those that are not in the answer would be removed by the next request: another object is no answer.
    given = json_object(response.body or b"{}")
    if given is None or (given and "endpoints" not in given):
        return UNREADABLE
    answer = json_of(response.body or b"{}", _Configuration)
    return UNREADABLE if answer is None else answer.endpoints


def refusal(response: HttpResponse) -> str:
    """Return in a sentence why AppsFlyer has not taken a change; empty if it has. Never raises."""
    answer = json_of(response.body or b"{}", _Configuration) or _Configuration()
    match response.status:
        case 200:
            is_object = json_object(response.body or b"{}") is not None
            return "" if is_object and is_success(response.body) else UNREADABLE
        case 401:
            return (
                "AppsFlyer does not accept the token: check api_token. Tokens made before March 10, 2026 are revoked."
            )
        case 404 | 410:
            return "What answered is not AppsFlyer's Push API configuration: check base_url."
        case status:
            return PROBLEMS.get(answer.code, f"AppsFlyer answered {status}: try again later.")


def wanted(url: str, *, in_app: bool) -> dict[str, Any]:
    """Return the endpoint that flybridge needs. `in_app`: in-app events as well."""
    endpoint: dict[str, Any] = {
        "attributing_entity": "appsflyer",
        "enabled": True,
        "method": "POST",
        "url": url,
        "event_types": [*CONVERSIONS, *IN_APP] if in_app else list(CONVERSIONS),
        "selected_fields": "all",
    }
    return endpoint | {"selected_inapps": "all"} if in_app else endpoint


def ours(endpoints: Iterable[Endpoint], url: str) -> list[Endpoint]:
    """Return the endpoints with this address; by its path alone where it names no host that AppsFlyer could reach."""
    path, whole = urlsplit(url).path, urlsplit(url).scheme == "https"
    return [
        one
        for one in endpoints
        if one.get("attributing_entity", "appsflyer") == "appsflyer"
        and (one.get("url") == url if whole else urlsplit(str(one.get("url"))).path == path)
    ]


def differences(endpoint: Endpoint, platform: str, *, in_app: bool, streams: bool) -> list[str]:
    """Return in sentences what an endpoint lacks. Empty if it is as flybridge needs it.

    `streams`: the app also sends events to AppsFlyer.
    """
    found = []
    if endpoint.get("enabled") is False:
        found.append("it is switched off")
    if endpoint.get("method", "POST") != "POST":
        found.append("its method is GET, and long messages do not fit an address: use POST")
    types = endpoint.get("event_types") or ()
    if missing := [name for name in CONVERSIONS if name not in types]:
        found.append(f"it lacks the event types {', '.join(missing)}")
    if not in_app and (extra := [name for name in IN_APP if name in types]):
        found.append(f"the route attribution filters {', '.join(extra)}: deselect them")
    if in_app and set(types) & set(IN_APP) and endpoint.get("selected_inapps", "all") != "all":
        found.append("it sends only some in-app events: select all, and leave events out in apps.mapping")
    fields = endpoint.get("selected_fields", "all")
    if fields == "default":
        found.append("it sends the default fields, which may lack custom_data and identifiers: select all")
    elif fields != "all":
        needed = (*FIELDS, *(OF_STREAMS if streams else ()), *IDENTIFIERS.get(platform, ()))
        if absent := [name for name in needed if name not in fields]:
            found.append(f"it lacks the fields {', '.join(absent)}")
    return found


def unselected(endpoint: Endpoint) -> list[str]:
    """Return the types of in-app events that an endpoint does not send, which may be meant so."""
    return [name for name in IN_APP if name not in (endpoint.get("event_types") or ())]


def merged(endpoints: Sequence[Endpoint], url: str, *, in_app: bool) -> list[Endpoint]:
    """Return the endpoints with ours as flybridge needs it. All others stay as they are."""
    mine = ours(endpoints, url)
    found: list[Endpoint] = [one for one in endpoints if one not in mine[1:]]
    if mine:
        # What it selects of in-app events must not be there without them.
        kept = {name: value for name, value in mine[0].items() if name != "selected_inapps"}
        return [kept | wanted(url, in_app=in_app) if one is mine[0] else one for one in found]
    return [*found, wanted(url, in_app=in_app)]
