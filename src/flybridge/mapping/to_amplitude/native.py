"""Recognise events of Amplitude's own AppsFlyer integration among those of the stream.

While it is on beside flybridge, every install is in Amplitude twice: the two must not run at once. Its events have the
names that flybridge's have, but not its insert ids.

https://amplitude.com/docs/data/source-catalog/appsflyer (read 2026-11-26).
"""

from __future__ import annotations

import re
from typing import Any, Final

from flybridge.amplitude.streamed import event_in, is_attribution_event
from flybridge.mapping.table import PREFIX

# `content_key.insert_id` makes these.
OURS: Final = re.compile(r"[0-9a-f]{32}(?:-[0-9a-f]{32})?(?:-\d+)?(?:-r\d+)?")


def from_native_integration(message: Any, route: str) -> bool:
    """Whether a message of the stream is, or holds, an event that AppsFlyer's own integration has sent.

    On the route `attribution` Amplitude makes the events itself, and gives them ids of its own: those that it marks as
    attribution events are flybridge's as far as anybody can tell.
    """
    if isinstance(message, list):
        return any(from_native_integration(one, route) for one in message)
    event = event_in(message)
    if event is None or not event.event_type.startswith(PREFIX):
        return False
    if route == "attribution" and is_attribution_event(event):
        return False
    found = event.find("$insert_id") or event.find("insert_id")
    return not (isinstance(found, str) and OURS.fullmatch(found))
