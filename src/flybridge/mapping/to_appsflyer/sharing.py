"""With whom a person, or the company, lets AppsFlyer share an event: consent, and partners that are left out.

Converters, as those of `convert`.

https://dev.appsflyer.com/hc/reference/s2s-events-api3-post (read 2026-11-24).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flybridge.amplitude.stream import object_of, only
from flybridge.mapping.to_appsflyer.convert import states, words, writable, yes

TCF: Final = frozenset({"policy_version", "gdpr_applies", "cmp_sdk_id", "cmp_sdk_version", "tcstring"})
MANUAL: Final = ("gdpr_applies", "ad_user_data_enabled", "ad_personalization_enabled")


def partners(value: Any) -> str | list[str] | None:
    """`all`, or a list of partner ids."""
    if isinstance(value, str):
        value = [part.strip() for part in value.strip().strip("[]").replace('"', "").split(",")]
    if not isinstance(value, list):
        return None
    names = [name for each in value if isinstance(each, str) and (name := words(each))]
    return "all" if any(name.lower() == "all" for name in names) else names or None


def consent(value: Any) -> dict[str, Any] | None:
    """AppsFlyer's consent object, also as JSON in text: `tcf` or `manual`, and in it what is documented."""
    given = object_of(value)
    if tcf := object_of(given.get("tcf")):
        kept = {key: part for key, part in tcf.items() if key in TCF and isinstance(part, int | str)}
        return {"tcf": kept} if kept and writable(kept) else None
    return manual_consent(object_of(given.get("manual")))


def manual_consent(flags: Mapping[str, Any]) -> dict[str, Any] | None:
    """The consent object of three flags; None if none of them says anything. What can't be read is no permission."""
    kept = {name: said for name in MANUAL if (said := _allowed(flags.get(name), name)) is not None}
    return {"manual": kept} if kept else None


def _allowed(value: Any, name: str) -> bool | None:
    """Return a flag of consent, also in Google's words."""
    text = (words(only(value)) or "").lower()
    unread = False if states(value) and name != "gdpr_applies" else None
    return {"granted": True, "denied": False}.get(text, unread if (said := yes(value)) is None else said)
