"""AppsFlyer's event types, and which of them a message is.

AppsFlyer distinguishes them by `event_name`, `conversion_type` and `campaign_type`, and retargeting messages also by
`event_type`; older messages by `is_retargeting` and `retargeting_conversion_type`, Push API v1 by `event_type` and
`attribution_type`:

| message | event_name | conversion_type | campaign_type |
| --- | --- | --- | --- |
| install | install | install | ua, organic |
| reinstall | reinstall | reinstall | ua, organic |
| re-engagement | re-engagement | re-engagement | retargeting |
| re-attribution | re-attribution | reinstall | retargeting |
| in-app event of each | the app's own | as above | as above |

https://support.appsflyer.com/hc/en-us/articles/207034356, "Message characteristics" (read 2026-11-24).

An app names its own events as it likes, also `Install` or `redownload`. A name is therefore a conversion only if it is
exactly AppsFlyer's and the message looks like one: none of these messages has an event value or revenue, an install
happens at its install time, and one that follows an install has another `conversion_type` or is of a retargeting
campaign. A message without a name has the `conversion_type` of its user whatever it is, and is a conversion only if it
looks like one, too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from flybridge.appsflyer.fields import ABSENT, Postback
from flybridge.appsflyer.postback_time import time_of
from flybridge.records import Word


class Kind(Word):
    """AppsFlyer's event types, by AppsFlyer's names."""

    INSTALL = "install"
    ORGANIC_INSTALL = "organic-install"
    REINSTALL = "reinstall"
    ORGANIC_REINSTALL = "organic-reinstall"
    RE_ENGAGEMENT = "re-engagement"
    RE_ATTRIBUTION = "re-attribution"
    INSTALL_IN_APP = "install-in-app-event"
    ORGANIC_INSTALL_IN_APP = "organic-install-in-app-event"
    RE_ENGAGEMENT_IN_APP = "re-engagement-in-app-event"
    RE_ATTRIBUTION_IN_APP = "re-attribution-in-app-event"
    UNINSTALL = "uninstall"
    SKADNETWORK = "skadnetwork"

    family: str
    """The conversion without its source: an organic and an attributed install are both `install`."""
    is_organic: bool
    """Whether no advertising led to it."""
    is_in_app: bool
    """Whether it is an in-app event."""
    is_conversion: bool
    """Whether it is an install, reinstall, re-engagement or re-attribution."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.family = word.removeprefix("organic-")
        self.is_organic = word.startswith("organic-")
        self.is_in_app = word.endswith("-in-app-event")
        self.is_conversion = not self.is_in_app and word not in ("uninstall", "skadnetwork")

    @property
    def as_organic(self) -> Kind:
        """The kind that does not mention advertising. A re-engagement has no such kind and stays the same."""
        return AS_ORGANIC.get(self, self)


AS_ORGANIC: Final = {
    Kind.INSTALL: Kind.ORGANIC_INSTALL,
    Kind.REINSTALL: Kind.ORGANIC_REINSTALL,
    Kind.RE_ATTRIBUTION: Kind.ORGANIC_REINSTALL,
    Kind.INSTALL_IN_APP: Kind.ORGANIC_INSTALL_IN_APP,
    Kind.RE_ENGAGEMENT_IN_APP: Kind.ORGANIC_INSTALL_IN_APP,
    Kind.RE_ATTRIBUTION_IN_APP: Kind.ORGANIC_INSTALL_IN_APP,
}

NAMES: Final = frozenset({"install", "reinstall", "re-engagement", "re-attribution", "uninstall", "af_uninstall"})
"""The names that AppsFlyer gives to messages that are no in-app events. An uninstall has two
(https://support.appsflyer.com/hc/en-us/articles/210289286, read 2026-11-27).
"""

LATER: Final = frozenset({"reinstall", "re-engagement", "re-attribution"})
"""Those that follow an install."""
SAME_MOMENT_S: Final = 1  # in whole seconds, in which a file says the same as a push

# What a conversion is called in conversion_type, retargeting_conversion_type and event_type, without separators. These
# are AppsFlyer's own fields, written in different ways over the years.
ACTS: Final = {
    "install": "install",
    "organicinstall": "install",
    "reinstall": "reinstall",
    "organicreinstall": "reinstall",
    "redownload": "reinstall",
    "reengagement": "re-engagement",
    "reattribution": "re-attribution",
    "uninstall": "uninstall",
    "organicuninstall": "uninstall",
    "afuninstall": "uninstall",
}

WITHOUT_SEPARATORS: Final = str.maketrans("", "", "-_ ")
WITHOUT_BRACKETS: Final = str.maketrans("", "", '{}[]"\\ \t\r\n')
SKAD: Final = b'"skad_'


@lru_cache(maxsize=4096)
def _act(word: str | None) -> str | None:
    return ACTS.get(word.strip().lower().translate(WITHOUT_SEPARATORS)) if word else None


def is_own_event(postback: Postback) -> bool:
    """Whether a message is an event of the app, though its name is one of AppsFlyer's, or missing."""
    name = postback.event_name
    if postback.event_type is not None or (name is not None and name not in NAMES):
        return False
    if postback.event_revenue or says_something(postback.event_value):
        return True
    if name is None:
        name = _act(postback.conversion_type)
    elif name in LATER:
        return _act(postback.conversion_type) == "install" and not _campaign(postback)[0]
    if name != "install" or (postback.event_time is not None and postback.event_time == postback.install_time):
        return False
    event_ms, install_ms = time_of(postback, "event_time"), time_of(postback, "install_time")
    if event_ms is None or install_ms is None:
        return False
    return abs(event_ms // 1000 - install_ms // 1000) > SAME_MOMENT_S


def says_something(value: object) -> bool:
    """Whether an event value, or custom data, holds anything but brackets, blanks and words for nothing."""
    if not isinstance(value, str):
        return bool(value)
    return value.translate(WITHOUT_BRACKETS) not in ABSENT


def is_from_server(event_source: str | None) -> bool:
    """Whether an event came to AppsFlyer from a server, not from an SDK.

    https://support.appsflyer.com/hc/en-us/articles/208387843 (read 2026-11-28).
    """
    return event_source is not None and event_source.strip().upper() == "S2S"


def is_skadnetwork(postback: Postback) -> bool:
    """Whether a message is of Apple's SKAdNetwork: it has a field `skad_...`, of whatever version."""
    if postback.skad_transaction_id or postback.skad_campaign_id or postback.skad_version:
        return True
    # Searched from the end: a search that finds nothing, as in nearly all messages, then takes half the time.
    return postback.body.rfind(SKAD) >= 0 and _has_skad_field(postback.body)


def _has_skad_field(body: bytes) -> bool:
    """Whether a message has such a field itself. Names and values of an app's events may hold the same text."""
    try:
        message = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return any(
        name.startswith("skad_") and value is not None and not (isinstance(value, str) and value in ABSENT)
        for name, value in message.items()
    )


def kind_of(postback: Postback) -> Kind | None:
    """Return the kind of a message; None if it names no event at all."""
    if is_skadnetwork(postback):
        return Kind.SKADNETWORK
    retargeting, organic = _campaign(postback)
    name, event_type = postback.event_name, postback.event_type
    is_own = is_own_event(postback)
    if name is None and is_own:
        return None
    named = _act(name) if name in NAMES and not is_own else None
    if event_type is not None:
        in_app = "app" in event_type.lower()
        named = None if in_app else _act(event_type) or named
        if in_app and name is None:
            return None
    if named is None and name is not None:
        return _in_app(_conversion(postback, None, retargeting), organic)
    act = named or _act(postback.conversion_type) or _act(postback.retargeting_conversion_type)
    if act is None:
        return None
    if act == "uninstall":
        return Kind.UNINSTALL
    act = _conversion(postback, act, retargeting)
    if organic and act in ("install", "reinstall"):
        return Kind(f"organic-{act}")
    return Kind(act)


def _campaign(postback: Postback) -> tuple[bool, bool]:
    """Return whether the message is of a retargeting campaign, and whether it is organic."""
    campaign_type = postback.campaign_type
    if campaign_type is not None:
        word = campaign_type.strip().lower()
        if word in ("ua", "retargeting", "organic"):
            return word == "retargeting", word == "organic"
    by_type = _act(postback.retargeting_conversion_type) in ("re-engagement", "re-attribution", "reinstall")
    retargeting = postback.is_retargeting is True or (postback.is_retargeting is None and by_type)
    if retargeting:
        return True, False
    if postback.is_organic is not None:
        return False, postback.is_organic
    source = postback.media_source or postback.attribution_type or "organic"
    return False, source.lower() == "organic"


def _conversion(postback: Postback, named: str | None, retargeting: bool) -> str:
    """Return the conversion that a message is or belongs to, by the most specific of its fields."""
    if named in ("re-engagement", "re-attribution"):
        return named
    reported = _act(postback.conversion_type)
    if not retargeting:
        if reported in ("re-engagement", "re-attribution"):
            return reported
        return "reinstall" if "reinstall" in (named, reported) else "install"
    if reported is None:
        reported = _act(postback.retargeting_conversion_type)
    if reported == "re-engagement":
        return reported
    return "re-attribution" if reported is not None or named is not None else "re-engagement"


def _in_app(act: str, organic: bool) -> Kind:
    if act in ("re-engagement", "re-attribution"):
        return Kind(f"{act}-in-app-event")
    return Kind.ORGANIC_INSTALL_IN_APP if organic else Kind.INSTALL_IN_APP
