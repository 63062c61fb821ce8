"""With whom a person, or the company, lets AppsFlyer share an event: consent, and partners that are left out.

Converters, as those of `convert`. What can't be read is no permission.

https://dev.appsflyer.com/hc/reference/s2s-events-api3-post,
https://dev.appsflyer.com/hc/docs/send-consent-for-dma-compliance (read 2026-11-28).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from flybridge.amplitude.stream import object_of
from flybridge.appsflyer.postback import CONSENT, CONSENTS
from flybridge.mapping.table import integer
from flybridge.mapping.to_appsflyer.convert import answer, states, words, writable, yes

TCF_NUMBERS: Final = ("policy_version", "gdpr_applies", "cmp_sdk_id", "cmp_sdk_version")
APPLIES: Final = (-1, 0, 1)
"""Not known, no, yes."""
MANUAL: Final = ("gdpr_applies", "ad_user_data_enabled", "ad_personalization_enabled")

ALL: Final = "all"
ALIASES: Final = {"twitter_int": "twitter", "iossearchads_int": "Apple Search Ads"}
"""Partners that the filter knows by another name than other APIs. Under theirs they would not be left out."""
_SEPARATORS: Final = re.compile("[,;|]")


def partners(value: Any) -> str | list[str] | None:
    """`all`, or a list of partner ids. What says something that can't be read is `all`."""
    if (said := yes(value)) is not None:
        return ALL if said else None
    if isinstance(value, str) and value.strip()[:1] != "{":
        value = [part.strip(" '\"") for part in _SEPARATORS.split(value.strip().strip("[]"))]
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        return ALL if states(value) else None
    names = [ALIASES.get(name.lower(), name) for each in value if (name := words(each))]
    return ALL if any(name.lower() == ALL for name in names) else list(dict.fromkeys(names)) or None


def all_of(one: str | list[str] | None, other: str | list[str] | None) -> str | list[str] | None:
    """Return the partners that one of two filters leaves out."""
    if not isinstance(one, list) or not isinstance(other, list):
        return ALL if ALL in (one, other) else one or other
    return list(dict.fromkeys([*one, *other]))


def consent(value: Any) -> dict[str, Any] | None:
    """AppsFlyer's consent object, also as JSON in text: `tcf`, or `manual` if it has both. What stands in `tcf` or
    `manual` may also stand in the object itself.
    """
    given = object_of(value)
    flags = manual_consent(object_of(given.get("manual")) or given)
    if flags is not None and CONSENTS & flags["manual"].keys():
        return flags
    stated = object_of(given.get("tcf"))
    tcf = _tcf(stated or given)
    return {"tcf": tcf} if tcf and (stated or "tcstring" in tcf) else flags


def manual_consent(flags: Mapping[str, Any]) -> dict[str, Any] | None:
    """The consent object of three flags; None if none of them says anything. What can't be read is no permission."""
    kept = {name: said for name in MANUAL if (said := _allowed(flags.get(name), name)) is not None}
    if MANUAL[0] not in kept and CONSENTS & kept.keys() and states(flags.get(MANUAL[0])):
        kept[MANUAL[0]] = True
    return {"manual": kept} if kept else None


def with_flags(stated: dict[str, Any] | None, flags: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the consent of an object and of the `flags` beside it. What one of them denies is denied."""
    if stated is None or flags is None:
        return stated or flags
    beside, own = flags["manual"], stated.get("manual")
    if own is None:  # AppsFlyer goes by the flags if an event has both
        return flags if CONSENTS & beside.keys() else stated
    merged = {
        name: _stricter(name, own.get(name), beside.get(name)) for name in MANUAL if name in own or name in beside
    }
    return {"manual": merged}


def _stricter(name: str, one: bool | None, other: bool | None) -> bool:
    known = [flag for flag in (one, other) if flag is not None]
    return any(known) if name == "gdpr_applies" else all(known)


def _tcf(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what AppsFlyer knows of a consent string: its numbers, and the string."""
    numbers = {name: _number(given[name]) for name in TCF_NUMBERS if given.get(name) is not None}
    kept: dict[str, Any] = {name: number for name, number in numbers.items() if number is not None}
    if kept.get("gdpr_applies", 0) not in APPLIES:
        del kept["gdpr_applies"]
    text = given.get("tcstring")
    found = words(text) if isinstance(text, str) else None
    return kept if found is None or not writable(found) else kept | {"tcstring": found}


def _number(value: Any) -> int | None:
    found = integer(value)
    return found if found is not None or (said := yes(value)) is None else int(said)


def _allowed(value: Any, name: str) -> bool | None:
    """Return a flag of consent, also in Google's words."""
    unread = False if states(value) and name in CONSENTS else None
    said = CONSENT.get(answer(value)) if name in CONSENTS else None
    said = yes(value) if said is None else said
    return unread if said is None else said
