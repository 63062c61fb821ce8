"""The endpoints of a list-based partner integration of Amplitude: create a list, add members, remove members.

    POST /v1/cohorts/{app}/lists               {"name": "[Amplitude] {name}: {cohort}"} -> {"listId": "{cohort}"}
    POST /v1/cohorts/{app}/lists/{id}/add      {"userIds": [...]}
    POST /v1/cohorts/{app}/lists/{id}/remove   {"userIds": [...]}

https://amplitude.com/docs/partners/receiving-behavioral-cohorts (read 2026-11-24). A list's id is its cohort's: no
state is needed, and creating it twice gives the same list. A cohort that no audience follows is refused when its list
is created, so that the error shows in Amplitude before members are lost. Amplitude sends up to 10,000 users in a batch,
four batches at a time, and authenticates with the token as user name, or as a bearer token.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from flybridge.amplitude.cohort_message import ADD, REMOVE, cohort_of, framed
from flybridge.lenient_json import decode
from flybridge.web.answers import Answered, Refusal

CREATE: Final = "create"
FRAME_BYTES: Final = 1_000
"""How much longer than its body a call may be that is kept with its list. An unreadable body may grow more."""
NAMED: Final = "Send the list's name as Amplitude does: `[Amplitude] {cohort name}: {cohort id}`."
FOLLOWED: Final = "Add an [[apps.audiences]] with that cohort, or stop the sync in Amplitude."


class Call(Struct, frozen=True):
    """A call to one of these paths. `endpoint` is the app's cohort endpoint, whose token guards its lists."""

    endpoint: str
    action: str
    cohort: str = ""


def call_of(path: str) -> Call | None:
    """Return the call of a path, None if it is none of these."""
    match path.split("/"):
        case ["", "v1", "cohorts", app, "lists"]:
            return Call(f"/v1/cohorts/{app}", CREATE)
        case ["", "v1", "cohorts", app, "lists", cohort, ("add" | "remove") as action] if cohort:
            return Call(f"/v1/cohorts/{app}", ADD if action == "add" else REMOVE, unquote(cohort))
    return None


def judge(call: Call, body: bytes, cohorts: Collection[str]) -> bytes | Answered | Refusal:
    """Return the bytes to be stored, the answer to a call of which nothing is stored, or a refusal. `body` is JSON."""
    cohort = _named(body) if call.action == CREATE else call.cohort
    if not cohort:
        return Refusal(400, "The body's `name` does not end with a colon and a cohort's id.", NAMED)
    if cohort not in cohorts:
        return Refusal(404, f"No audience of this app follows the cohort {cohort[:64]!r}.", FOLLOWED)
    if call.action == CREATE:
        return Answered(msgspec.json.encode({"listId": cohort}))
    return framed(cohort, call.action, body)


def _named(body: bytes) -> str:
    try:
        message: Any = decode(body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    name = message.get("name") if isinstance(message, dict) else None
    return cohort_of(name) if isinstance(name, str) else ""


def user_of(credentials: bytes) -> bytes:
    """Return the user name of basic authentication; nothing if it can't be read."""
    try:
        return b64decode(credentials, validate=True).partition(b":")[0]
    except ValueError:
        return b""
