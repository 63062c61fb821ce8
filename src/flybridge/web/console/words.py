"""Formatting of values: durations, shares, and masked text from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from unicodedata import bidirectional

from flybridge.identity.masking import masked
from flybridge.store.records import Lane
from flybridge.system.counted import percent

MAX_TEXT: Final = 80
RIGHT_TO_LEFT: Final = ("R", "AL")

OUTCOMES: Final[Mapping[str, str]] = {
    "delivered": "Delivered",
    "in flight": "On its way",
    "pending": "On its way",
    "held": "Waits for its user",
    "applied": "Nothing to send",
    "duplicate": "Duplicate",
    "filtered": "Left out",
    "refused": "Not allowed",
    "expired": "User not seen",
    "forgotten": "Erased",
    "dead": "Failed",
}
"""What the console calls an outcome. Commands, metrics and addresses keep its code."""

SOURCES: Final[Mapping[str, str]] = {
    "push": "AppsFlyer push",
    "pull": "AppsFlyer report",
    "locker": "AppsFlyer Data Locker",
    "file": "Imported file",
    "stream": "Amplitude stream",
    "cohort": "Amplitude cohort",
    "sightings": "Imported identifiers",
}
"""What the console calls the intake that a message came through."""

IDENTIFIERS: Final[Mapping[str, str]] = {
    "idfa": "IDFA",
    "idfv": "IDFV",
    "adid": "Android advertising id",
    "oaid": "OAID",
    "app_set_id": "App Set id",
    "appsflyer_id": "AppsFlyer id",
    "customer_user_id": "customer user id",
    "installed_by_user": "Amplitude user id",
    "installed_on_device": "Amplitude device id",
}
"""What the console calls a kind of identifier."""

STAGES: Final[Mapping[str, str]] = {
    "decode": "when it was read",
    "map": "when it was mapped",
    "deliver": "when it was sent",
}
"""When a dead letter failed."""

ENDPOINTS: Final[Mapping[str, str]] = {
    "http_v2": "Amplitude, HTTP V2",
    "batch": "Amplitude, Batch",
    "attribution": "Amplitude, Attribution",
    "inapp_event": "AppsFlyer, in-app events",
}
"""What the console calls an API that events are sent through."""


def shown(text: object) -> str:
    """Return a text from outside, such as a media source, as it may be shown.

    What looks like an identifier of a person is masked, because AppsFlyer's macros put anything into such fields;
    characters that can't be printed or change the direction of text become a mark; a long text is cut.
    """
    plain = uncut(str(text)[: MAX_TEXT * 4])
    return plain if len(plain) <= MAX_TEXT else plain[: MAX_TEXT - 1] + "\u2026"


def uncut(text: str) -> str:
    """Return a text from outside as `shown`, but as long as it is: names in files are matched with those of others."""
    return masked(printable(text))


def isolated(name: str) -> str:
    """Return a name with marks around it if it is written from right to left, so that figures stay beside it."""
    return f"\u2068{name}\u2069" if any(bidirectional(sign) in RIGHT_TO_LEFT for sign in name) else name


def lane_name(lane: Lane) -> str:
    """Return what the console calls a lane."""
    return f"{shown(lane.app)}, {ENDPOINTS.get(lane.endpoint, lane.endpoint)}"


def printable(text: object) -> str:
    """Return the text of an operator or of the configuration, with a mark for each character that can't be seen."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in str(text))


def share(n: int, of: int) -> str:
    """Return a share in percent; only nothing is 0 % and only everything is 100 %."""
    return percent(n / of if of else 0.0, " ")


def masked_sentence(sentence: str) -> str:
    """Return a sentence that may quote text from outside, masked word by word. What ends a word is not cut off."""
    words = [(word.rstrip(",.:;"), word) for word in sentence.split(" ")]
    return " ".join(shown(plain) + word[len(plain) :] for plain, word in words)


def count_of(n: float) -> str:
    """Return a whole number with its thousands apart."""
    return f"{n:,.0f}"
