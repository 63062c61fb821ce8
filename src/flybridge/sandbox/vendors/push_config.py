"""AppsFlyer's Push API configuration API as its specification describes it: endpoints, fields, event types, token.

`GET /sandbox/push_config?app=` shows the token of an app, which the real API never does. Not as in the real one: an API
token is any text that does not begin with `invalid`, `noasset` stands for a subscription without Push API, and
`/validate-url` sends no request.

https://dev.appsflyer.com/hc/reference/pushapi-config (docs/apis/mos/pushapi_config_api.yaml of AppsFlyer's devhub, read
2026-11-27).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from msgspec import field

from flybridge.delivery.exchange import json_of
from flybridge.sandbox.http import SandboxAnswer, Scope, bearer_of, query_of
from flybridge.sandbox.played import VendorApi

PATH: Final = "/api/pushapi/v1.0/"
CONTROL: Final = "/sandbox/push_config"
MAX_ENDPOINTS: Final = 6
REQUEST_ID: Final = "8a3f4fa6-a91c-11ec-b909-0242ac120002"

EVENT_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "appsflyer": (
        "organic-install-in-app-event", "install", "organic-install", "re-engagement", "re-attribution", "reinstall",
        "organic-reinstall", "install-in-app-event", "re-engagement-in-app-event", "re-attribution-in-app-event",
    ),
    "skadnetwork": ("in-app-event", "re-download", "install", "postbacks-copy", "postback"),
}  # fmt: skip

FIELDS: Final = (
    "api_version", "af_c_id", "campaign", "af_adset_id", "af_adset", "af_ad_id", "af_ad", "af_ad_type",
    "af_channel", "af_cost_currency", "af_cost_model", "af_cost_value", "af_keywords",
    "af_attribution_lookback", "af_prt", "af_reengagement_window", "af_siteid", "af_sub_siteid", "af_sub1",
    "af_sub2", "af_sub3", "af_sub4", "af_sub5", "is_retargeting", "media_source", "original_url", "user_agent",
    "advertising_id", "android_id", "amazon_aid", "app_id", "app_name", "app_version", "appsflyer_id",
    "bundle_id", "carrier", "country_code", "custom_data", "customer_user_id", "device_category", "device_type",
    "device_model", "event_name", "event_revenue", "event_revenue_currency", "event_time", "event_value",
    "idfa", "idfv", "imei", "install_app_store", "install_time", "ip", "language", "operator", "os_version",
    "platform", "sdk_version", "wifi", "gp_broadcast_referrer", "city", "attributed_touch_time",
    "attributed_touch_type", "contributor_1_af_prt", "contributor_1_campaign", "contributor_1_match_type",
    "contributor_1_media_source", "contributor_1_touch_time", "contributor_1_touch_type",
    "contributor_2_af_prt", "contributor_2_campaign", "contributor_2_match_type", "contributor_2_media_source",
    "contributor_2_touch_time", "contributor_2_touch_type", "contributor_3_af_prt", "contributor_3_campaign",
    "contributor_3_match_type", "contributor_3_media_source", "contributor_3_touch_time",
    "contributor_3_touch_type", "dma", "event_revenue_usd", "event_source", "http_referrer",
    "is_primary_attribution", "is_receipt_validated", "match_type", "postal_code", "region",
    "retargeting_conversion_type", "state", "network_account_id", "gp_click_time", "gp_install_begin",
    "gp_referrer", "keyword_match_type", "selected_currency", "revenue_in_selected_currency",
    "cost_in_selected_currency", "attributed_touch_time_selected_timezone", "install_time_selected_timezone",
    "event_time_selected_timezone", "selected_timezone", "deeplink_url", "oaid", "keyword_id",
    "store_reinstall", "is_lat", "device_download_time", "device_download_time_selected_timezone",
    "conversion_type", "custom_dimension", "campaign_type",
)  # fmt: skip
"""Fields that can be selected, on every platform."""
PLATFORMS: Final = frozenset({"android", "ios", "windowsphone"})
MANDATORY: Final = frozenset({"event_name", "event_time", "app_id"})

_TOKEN: Final = re.compile(r"[ \t\-_.a-zA-Z0-9]{0,2000}")
_HEADER: Final = re.compile(r"(Authorization|X-[a-zA-Z0-9\-_]{0,28})")


class PushConfig(VendorApi):
    """The API for every app. `endpoints` and `tokens` are by app id; a token is its header and its value."""

    pages = (CONTROL,)
    below = (PATH,)

    endpoints: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    tokens: dict[str, tuple[str, str]] = field(default_factory=dict)

    def own_page(self, scope: Scope, _: bytes) -> SandboxAnswer:
        """Return the endpoints and the token of an app."""
        app = query_of(scope).get("app", "")
        header, token = self.tokens.get(app, ("Authorization", ""))
        return SandboxAnswer(200, {"endpoints": self.endpoints.get(app, []), "header": header, "token": token})

    def answer(self, scope: Scope, body: bytes | None) -> SandboxAnswer:
        token = bearer_of(scope)
        if not token or token.startswith("invalid"):
            return _error(401, "AuthenticationFailed", "Authentication failed. The authentication token is not valid.")
        if token.startswith("noasset"):
            return _error(402, "MissingAsset", "Push API isn't part of your subscription.")
        parts = [unquote(part) for part in scope["path"].removeprefix(PATH).split("/")]
        match scope["method"], parts:
            case "GET", ["app", app] if app and not app.startswith("unknown"):
                return SandboxAnswer(200, {"endpoints": self.endpoints.get(app, [])})
            case "PUT", ["app", app] if app and not app.startswith("unknown"):
                return self._put(app, body or b"")
            case "PUT", ["tokens", "app", app] if app and not app.startswith("unknown"):
                return self._set_token(app, body or b"")
            case _, ["app", _] | ["tokens", "app", _]:
                return _error(403, "UnknownAppid", "The app ID specified wasn't found.")
            case "GET", ["fields", platform] if platform in PLATFORMS:
                return SandboxAnswer(200, {"fields": FIELDS, "request_id": REQUEST_ID})
            case "GET", ["event-types", entity] if entity in EVENT_TYPES:
                return SandboxAnswer(200, {"event_types": list(EVENT_TYPES[entity]), "request_id": REQUEST_ID})
            case "GET", ["fields" | "event-types", _]:
                return _error(422, "SchemaError", "Invalid path-params. Verify the content and resubmit.")
        return _error(404, "InvalidVersion", "The API version listed in the URL doesn't exist.")

    def _put(self, app: str, body: bytes) -> SandboxAnswer:
        if (endpoints := (json_of(body, dict[str, list[dict[str, Any]]]) or {}).get("endpoints")) is None:
            return _error(422, "SchemaError", "Invalid JSON format or no JSON found. Verify the content and resubmit.")
        if len(endpoints) > MAX_ENDPOINTS:
            return _error(422, "TooManyEndpoints", "Too many endpoints.")
        for endpoint in endpoints:
            if (fault := _fault(endpoint)) is not None:
                return _error(422, *fault)
        if len({one["url"] for one in endpoints}) < len(endpoints):
            return _error(422, "RepeatingURL", "Repeating URL.")
        self.endpoints[app] = endpoints
        return SandboxAnswer(200, {"request_id": REQUEST_ID})

    def _set_token(self, app: str, body: bytes) -> SandboxAnswer:
        if (given := json_of(body, dict[str, str | None])) is None:
            return _error(400, "JSONParsingError", "An error occurred while parsing the JSON body.")
        token, header = given.get("token"), given.get("token_name") or self.tokens.get(app, ("Authorization", ""))[0]
        if token is None or not _TOKEN.fullmatch(token) or not _HEADER.fullmatch(header):
            return _error(422, "SchemaError", "Invalid token. Verify the content and resubmit.")
        self.tokens[app] = (header, token)
        return SandboxAnswer(200, {"request_id": REQUEST_ID, "message": "Your token has been set successfully"})


def _fault(endpoint: Mapping[str, Any]) -> tuple[str, str] | None:
    entity, types = str(endpoint.get("attributing_entity")), endpoint.get("event_types")
    if entity not in EVENT_TYPES or not isinstance(endpoint.get("enabled"), bool):
        return "SchemaError", "Invalid JSON format or no JSON found. Verify the content and resubmit."
    if endpoint.get("method") not in {"GET", "POST"}:
        return "InvalidMethod", "Method must be POST or GET."
    parts = urlsplit(str(endpoint.get("url") or ""))
    if parts.scheme not in {"http", "https"} or not parts.hostname or len(str(endpoint["url"])) > 2048:
        return "InvalidURL", "Invalid URL."
    if not isinstance(types, list) or not set(types) <= set(EVENT_TYPES[entity]):
        return "SchemaError", "Invalid event types. Verify the content and resubmit."
    if entity == "skadnetwork":
        return None
    fields = endpoint.get("selected_fields")
    if isinstance(fields, list):
        if len(set(fields)) < len(fields):
            return "InvalidMessageFields", "The selected_fields specified are not unique. Use unique selected_fields."
        if not set(fields) <= set(FIELDS):
            return "InvalidMessageFields", "Incorrect message-fields specified."
        if not set(fields) >= MANDATORY:
            return "MissingMandatoryFields", "Every endpoint must include the mandatory selected_fields."
    elif fields not in {"all", "default"}:
        return "InvalidMessageFields", "Incorrect message-fields specified."
    in_app, events = any(name.endswith("in-app-event") for name in types), endpoint.get("selected_inapps")
    if in_app and not events:
        return "MissingEvents", "Every endpoint must include selected_inapps when an in-app event-type is selected."
    if events and not in_app:
        return "MissingEventTypes", "Every endpoint must include an in-app event-type when listing selected_inapps."
    return None


def _error(status: int, code: str, message: str) -> SandboxAnswer:
    return SandboxAnswer(status, {"code": code, "message": message, "request_id": REQUEST_ID})
