"""AppsFlyer's Audiences as its documentation describes them: creation, import (add, remove, overwrite) and additional
identifiers.

An audience is what was imported under a key. `GET /sandbox/audiences` shows what is in each. The page states neither a
limit of devices nor a rate: `max_devices` and `requests_per_s` are the sandbox's own. Additional identifiers are
accepted for any device and have an effect for those that were first reported a day ago or earlier
(https://support.appsflyer.com/hc/en-us/articles/4411552670993).

https://dev.appsflyer.com/hc/reference/audience-external-api,
https://dev.appsflyer.com/hc/reference/audience-import-post,
https://dev.appsflyer.com/hc/reference/audience-put-additional-identifier (read 2026-11-24).
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct, field

from flybridge.delivery.exchange import json_of
from flybridge.records import DAY_MS
from flybridge.sandbox.http import SandboxAnswer, Scope, bearer_of, query_of
from flybridge.sandbox.played import VendorApi

IMPORT: Final = "/api/audiences-import-api/v2/"
ADDITIONAL: Final = "/api/audience-bulk-api/v1/additional-identifiers/app/"
EXTERNAL: Final = "/api/audiences-external-api/"
CONTROL: Final = "/sandbox/audiences"
MAX_ROWS: Final = 4000
MAX_EMAILS: Final = 2
FITTING: Final = {
    "android": ("gaid", "oaid", "imei", "cuid", "braze_id", "amplitude_id"),
    "ios": ("idfv", "idfa", "cuid", "braze_id", "amplitude_id"),
}
UUIDS: Final = frozenset({"gaid", "idfa", "idfv"})
FIRST_ID: Final = 101
MAX_MADE: Final = 1000
KINDS_OF_KEYS: Final = {"customer_user_id": "cuid"}
KEY_TYPES: Final = frozenset({"idfa", "gaid", "idfv", "customer_user_id", "imei", "oaid"})
KINDS: Final = frozenset({"hashed_emails", "phone_number_sha256", "phone_number_e164_sha256"})
TOLD: Final = "Invalid audience platform, this audience is already configured for {}. "
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HASH: Final = re.compile(r"[0-9a-fA-F]{64}")


class _Creation(Struct):
    audience_name: Annotated[str, Meta(min_length=2, max_length=100)]
    platform: str
    connections: list[dict[str, Any]] = []


class _Import(Struct):
    import_key: str
    platform: str
    devices: list[dict[str, Any]]


class _Row(Struct):
    key_value: str
    identifiers: dict[str, Any] | list[str]


class _Bulk(Struct):
    key_type: str = ""
    action: str = "add"
    data: list[_Row] = []


Identifier = tuple[str, str]


class Audiences(VendorApi):
    """Both APIs. `listed` holds (kind, value) by import key; `extras` the hashes by app and (key type, value)."""

    pages = (CONTROL,)
    below = (IMPORT, ADDITIONAL, EXTERNAL)
    max_bytes = 16 * 2**20

    max_devices: int = 10_000
    requests_per_s: float = 50.0
    listed: defaultdict[str, set[Identifier]] = field(default_factory=lambda: defaultdict(set))
    extras: defaultdict[str, dict[Identifier, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    made: dict[str, str] = field(default_factory=dict)
    """Import keys by the names of audiences that were created."""
    without_effect: int = 0
    """Additional identifiers of devices that were not reported a day ago."""
    _reported: dict[tuple[str, str, str], int] = field(default_factory=dict)
    _platforms: dict[str, str] = field(default_factory=dict)
    _second: tuple[int, int] = (0, 0)

    def own_page(self, scope: Scope, _: bytes) -> SandboxAnswer:
        """Return the devices of an audience, or how many are in each."""
        key = query_of(scope).get("import_key", "")
        if key:
            return SandboxAnswer(200, {"devices": sorted(map(list, self.listed[key]))})
        return SandboxAnswer(200, {"audiences": {key: len(devices) for key, devices in self.listed.items()}})

    def answer(self, scope: Scope, body: bytes | None) -> SandboxAnswer:
        token = bearer_of(scope)
        if not token or token.startswith(("invalid", "revoked")):
            return SandboxAnswer(403, {"message": "Forbidden"})
        if body is None:
            return SandboxAnswer(413, {"message": "Payload too large"})
        if self._too_fast():
            return SandboxAnswer(429, {"message": "Too many requests"})
        if scope["path"].startswith(ADDITIONAL):
            return self._additional(scope, body)
        if scope["path"].startswith(EXTERNAL):
            return self._external(scope["method"], scope["path"].removeprefix(EXTERNAL), body)
        action = scope["path"].removeprefix(IMPORT)
        if scope["method"] != "POST" or action not in {"add", "remove", "overwrite"}:
            return SandboxAnswer(404, {"message": "Not found"})
        if (asked := json_of(body, _Import)) is None:
            return SandboxAnswer(400, {"message": "Invalid request body"})
        problem = self._problem(action, asked)
        if problem:
            return SandboxAnswer(400, {"message": problem})
        self._platforms.setdefault(asked.import_key, asked.platform)
        if action != "remove":
            for device in asked.devices:
                known = (str(device["app_id"]), *_identifier(asked.platform, device))
                self._reported.setdefault(known, self.clock.now_ms())
        devices = {_identifier(asked.platform, device) for device in asked.devices}
        match action:
            case "add":
                self.listed[asked.import_key] |= devices
            case "remove":
                self.listed[asked.import_key] -= devices
            case _:
                self.listed[asked.import_key] = devices
        return SandboxAnswer(200, {"message": "The request was successful"})

    def _too_fast(self) -> bool:
        second = self.clock.now_ms() // 1000
        before, n = self._second
        self._second = (second, n + 1 if second == before else 1)
        return self._second[1] > self.requests_per_s

    def _problem(self, action: str, asked: _Import) -> str:
        fitting = FITTING.get(asked.platform, ())
        configured = self._platforms.get(asked.import_key, asked.platform)
        if not fitting or configured != asked.platform:
            rest = "To use a different platform, please create a new audience in the UI"
            return TOLD.format("iOS" if configured == "ios" else "Android") + rest
        if not asked.devices:
            return "Device list cannot be empty"
        if len(asked.devices) > self.max_devices:
            counted = f"({len(asked.devices)} devices counted in this request)"
            return f"Cannot process more than {self.max_devices} devices per request {counted}"
        nameless = sum(not device.get("app_id") for device in asked.devices)
        if nameless:
            rest = "You must attach an app id to each row."
            return f"{nameless} or more of your rows do not contain an app id. {rest}"
        kinds = [[name for name in device if name != "app_id"] for device in asked.devices]
        bare = sum(not any(name in fitting for name in names) for names in kinds)
        if bare:
            return f"{bare} or more of your rows does not contain a valid unique identifier"
        several = sum(len(names) > 1 for names in kinds)
        if action == "remove" and several:
            return f"{several} or more of devices to remove contain more than one identifier per device"
        named = (_identifier(asked.platform, device) for device in asked.devices)
        is_text = all(isinstance(value, str) for device in asked.devices for value in device.values())
        if not is_text or not all(_UUID.fullmatch(value) if kind in UUIDS else value.strip() for kind, value in named):
            return "We couldn’t understand one or more of your device IDs"  # noqa: RUF001 - as the page spells it
        return ""

    def _additional(self, scope: Scope, body: bytes) -> SandboxAnswer:
        trace = {"trace-id": "698ed323-c787-45b5-b792-463c67c94064"}
        if scope["method"] != "PUT":
            return SandboxAnswer(404, {"error": "Page not found", **trace})
        if (asked := json_of(body, _Bulk)) is None:
            return SandboxAnswer(400, {"error": "Request body must be valid JSON", **trace})
        if asked.key_type not in KEY_TYPES:
            return SandboxAnswer(400, {"error": "Request body must have a valid key_type", **trace})
        if not 0 < len(asked.data) <= MAX_ROWS:
            text = f"Request 'data' should not exceeds the size of {MAX_ROWS} in a single request"
            return SandboxAnswer(400, {"error": text, **trace})
        good = [row for row in asked.data if _is_row(asked.action, row)]
        invalid = len(asked.data) - len(good)
        if invalid > len(good):
            text = "Request data has too many invalid 'data' elements"
            return SandboxAnswer(400, {"error": text, "valid": len(good), "invalid": invalid, **trace})
        app_id = scope["path"].removeprefix(ADDITIONAL)
        kept, kind = self.extras[app_id], KINDS_OF_KEYS.get(asked.key_type, asked.key_type)
        for row in good:
            name = (asked.key_type, row.key_value)
            reported_ms = self._reported.get((app_id, kind, row.key_value))
            if asked.action == "add" and (reported_ms is None or self.clock.now_ms() - reported_ms < DAY_MS):
                self.without_effect += 1
            elif isinstance(row.identifiers, dict):
                kept.setdefault(name, {}).update(row.identifiers)
            else:
                left = {kind: value for kind, value in kept.pop(name, {}).items() if kind not in row.identifiers}
                kept.update({name: left} if left else {})
        answer = {"message": "Accepted for processing", "received": len(asked.data), "invalid": invalid}
        return SandboxAnswer(202, {**answer, **trace})

    def _external(self, method: str, path: str, body: bytes) -> SandboxAnswer:
        """Answer the Audience External API: creating, and the partners that an audience is connected to (none)."""
        numbers = {str(number): name for number, name in enumerate(self.made, FIRST_ID)}
        match method, path.split("/"):
            case "POST", ["audience"]:
                return self._create(body)
            case "GET", ["audience", number, "connections"]:
                if number not in numbers:
                    return _refused(1002, "Audience does not exist under your account", spelled="messege")
                return SandboxAnswer(200, {"message": {"connections": []}})
            case "PUT", ["audience", number, "connections"]:
                if number not in numbers:
                    return _refused(1002, "Audience does not exist under your account")
                return _refused(1003, "The following integrations are invalid: 1234")
            case "POST", ["audience", number, "upload_now"]:
                if number not in numbers:
                    return _refused(1002, "Audience does not exist under your account")
                return _refused(1006, "There are no partners connected, upload is not possible")
            case "GET", ["connections"]:
                return SandboxAnswer(200, {"message": {"connections": []}})
        return SandboxAnswer(404, {"message": "Not found"})

    def _create(self, body: bytes) -> SandboxAnswer:
        try:
            asked = msgspec.json.decode(body, type=_Creation)
        except msgspec.DecodeError as problem:
            return _refused(1000, {"errors": {"body": str(problem)}})
        if asked.platform not in FITTING:
            return _refused(1000, {"errors": {"platform": "must be android or ios"}})
        if asked.connections:
            ids = ", ".join(str(one.get("integration_id")) for one in asked.connections)
            return _refused(1003, f"The following integrations are invalid: {ids}")
        if asked.audience_name in self.made:
            return _refused(1001, "Audience already exists under your account", spelled="messege")
        if len(self.made) >= MAX_MADE:
            return _refused(1004, "Creation is no longer allowed for this account")
        key = self.made[asked.audience_name] = f"SANDBOX{len(self.made) + 1:04}"
        self._platforms[key] = asked.platform
        return SandboxAnswer(200, {"message": {"audience_id": FIRST_ID + len(self.made) - 1, "import_key": key}})


def _refused(code: int, message: Any, *, spelled: str = "message") -> SandboxAnswer:
    """Return a refusal of the External API, whose page spells the message in two ways."""
    return SandboxAnswer(400, {"error_code": code, spelled: message})


def _identifier(platform: str, device: dict[str, Any]) -> Identifier:
    kind = next(name for name in device if name in FITTING[platform])
    return kind, str(device[kind])


def _is_row(action: str, row: _Row) -> bool:
    if not row.key_value:
        return False
    if isinstance(row.identifiers, list):
        return action == "remove" and set(row.identifiers) <= KINDS
    emails = row.identifiers.get("hashed_emails", [])
    if action != "add" or not set(row.identifiers) <= KINDS or not isinstance(emails, list) or len(emails) > MAX_EMAILS:
        return False
    values = [*emails, *(value for kind, value in row.identifiers.items() if kind != "hashed_emails")]
    return bool(values) and all(isinstance(one, str) and _HASH.fullmatch(one) for one in values)
