"""The doors of a list-based partner integration of Amplitude: create a list, add people to it, remove people from it.

    POST /v1/cohorts/{app}/lists               {"name": "[Amplitude] {name}: {cohort}"} -> {"listId": "{cohort}"}
    POST /v1/cohorts/{app}/lists/{id}/add      {"userIds": [...]}
    POST /v1/cohorts/{app}/lists/{id}/remove   {"userIds": [...]}

https://amplitude.com/docs/partners/receiving-behavioral-cohorts (read 2026-11-24). A list's id is its cohort's: nothing
has to be remembered, and creating it twice is the same list. A cohort that no audience follows is refused when its list
is created, where people see it, and not when its members would be lost. Amplitude sends up to 10,000 people in a batch,
four batches at a time, and signs in with the token as user name, or as a bearer token.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from flybridge.amplitude.cohort_message import ADD, REMOVE, cohort_of, framed

CREATE: Final = "create"
NAMED: Final = "Send the list's name as Amplitude does: `[Amplitude] {cohort name}: {cohort id}`."
FOLLOWED: Final = "Add an [[apps.audiences]] with that cohort, or stop the sync in Amplitude."


class Call(Struct, frozen=True):
    """What a path asks for. `door` is the path of the app's door for cohorts, whose token guards its lists."""

    door: str
    action: str
    cohort: str = ""


class Made(Struct, frozen=True):
    """A 200 with a body of its own, of a request that leaves nothing to be stored."""

    body: bytes


class No(Struct, frozen=True):
    """What is wrong, and what to do."""

    status: int
    error: str
    remedy: str


def call_of(path: str) -> Call | None:
    """Read a path; None if it is none of these."""
    match path.split("/"):
        case ["", "v1", "cohorts", app, "lists"]:
            return Call(f"/v1/cohorts/{app}", CREATE)
        case ["", "v1", "cohorts", app, "lists", cohort, ("add" | "remove") as action] if cohort:
            return Call(f"/v1/cohorts/{app}", ADD if action == "add" else REMOVE, unquote(cohort))
    return None


def judge(call: Call, body: bytes, cohorts: Collection[str]) -> bytes | Made | No:
    """What is kept of a call, the answer to one of which nothing is kept, or why there is none. `body` is JSON."""
    cohort = _named(body) if call.action == CREATE else call.cohort
    if not cohort:
        return No(400, "The body's `name` does not end with a colon and a cohort's id.", NAMED)
    if cohort not in cohorts:
        return No(404, f"No audience of this app follows the cohort {cohort[:64]!r}.", FOLLOWED)
    if call.action == CREATE:
        return Made(msgspec.json.encode({"listId": cohort}))
    return framed(cohort, call.action, body)


def _named(body: bytes) -> str:
    message: Any = msgspec.json.decode(body)
    name = message.get("name") if isinstance(message, dict) else None
    return cohort_of(name) if isinstance(name, str) else ""


def user_of(credentials: bytes) -> bytes:
    """Return the user name of basic authentication; nothing if it can't be read."""
    try:
        return b64decode(credentials, validate=True).partition(b":")[0]
    except ValueError:
        return b""
