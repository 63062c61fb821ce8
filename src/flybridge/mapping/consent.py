"""Which identifiers may leave, by what the person has allowed. One table; the first column is the condition.

An identifier that may not leave is not used for matching either: hashing it would still be using it. Vendor ids
(IDFV, App Set ID), AppsFlyer's own id and the app's own user id are not advertising ids and stay.

- ATT: https://support.appsflyer.com/hc/en-us/articles/360014090597. Where it is known, `is_lat` has no meaning any
  more; `af_unknown` and `af_unavailable` are not known.
- Consent: of a person to whom the GDPR does not apply an app says `isUserSubjectToGDPR` false, and no more or three
  times false: https://dev.appsflyer.com/hc/docs/android-send-consent-for-dma-compliance and
  https://dev.appsflyer.com/hc/docs/android-sdk-reference-appsflyerconsent (read 2026-11-28). There `false` is no
  refusal. Without that flag it is: nothing says that the person did not have to be asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from msgspec import Struct

from flybridge.system.reference_pages import table
from flybridge.system.yes_or_no import NOT_KNOWN

ADVERTISING_IDS: Final = frozenset({"idfa", "adid", "oaid", "android_id"})
"""The Android id goes with them: it outlives a reset of the advertising id."""

# https://developer.apple.com/documentation/apptrackingtransparency/attrackingmanager/authorizationstatus, and the words
# of frameworks: `.notDetermined`, `not-determined`, `TrackingStatus.denied`, `granted`.
AUTHORISED: Final = 3
ATT: Final = {
    "notdetermined": 0, "undetermined": 0, "restricted": 1, "denied": 2, "authorized": AUTHORISED,
    "authorised": AUTHORISED, "granted": AUTHORISED,
} | {str(number): number for number in range(4)}  # fmt: skip
_BEFORE_ATT: Final = re.compile(r"^(?:attrackingmanager)?(?:authorizationstatus)?(?:rawvalue)?")


class Signals(Struct, frozen=True):
    """What a postback says about permission. None: unknown."""

    att: int | None = None
    is_lat: bool | None = None
    gdpr_applies: bool | None = None
    ad_user_data: bool | None = None
    ad_personalization: bool | None = None


class Rule(Struct, frozen=True):
    """One line of the table. `removes` are ids that may not leave while `applies`; `because` is for the reader."""

    name: str
    applies: Callable[[Signals], bool]
    removes: frozenset[str]
    because: str


def _att_not_authorised(signals: Signals) -> bool:
    return signals.att is not None and signals.att != AUTHORISED


def _limits_tracking(signals: Signals) -> bool:
    return signals.is_lat is True and signals.att is None


def _data_refused(signals: Signals) -> bool:
    return signals.gdpr_applies is not False and signals.ad_user_data is False


def _personalization_refused(signals: Signals) -> bool:
    return signals.gdpr_applies is not False and signals.ad_personalization is False


RULES: Final = (
    Rule("att", _att_not_authorised, frozenset({"idfa"}), "`att` is known and is not `authorized`."),
    Rule("lat", _limits_tracking, ADVERTISING_IDS, "`is_lat` is true, and no `att` says more."),
    Rule(
        "gdpr_ad_user_data",
        _data_refused,
        ADVERTISING_IDS,
        "`ad_user_data_enabled` is false, and `gdpr_applies` is not.",
    ),
    Rule(
        "gdpr_ad_personalization",
        _personalization_refused,
        ADVERTISING_IDS,
        "`ad_personalization_enabled` is false, and `gdpr_applies` is not.",
    ),
)

NOTHING: Final[frozenset[str]] = frozenset()


def att_of(text: str) -> int | None:
    """Return 0 to 3 for ATTrackingManager's word for it, also with its type or AppsFlyer's `af_` in front; or None."""
    return ATT.get(_BEFORE_ATT.sub("", _plain(text)))


def _plain(text: str) -> str:
    """Return the letters and digits of a word, without its type in front."""
    word = text.strip().lower().removeprefix("af_").removesuffix(".0").rpartition(".")[2]
    return "".join(filter(str.isalnum, word))


@lru_cache(maxsize=1024)
def withheld(
    att: str | None,
    is_lat: bool | None,
    gdpr_applies: bool | None,
    ad_user_data: bool | None,
    ad_personalization: bool | None,
) -> frozenset[str]:
    """Return the names of the identifiers that may not leave. An `att` that can't be read is no permission."""
    status = None
    if att is not None and (status := att_of(att)) is None and _plain(att) not in NOT_KNOWN:
        status = ATT["notdetermined"]
    signals = Signals(status, is_lat, gdpr_applies, ad_user_data, ad_personalization)
    return NOTHING.union(*(rule.removes for rule in RULES if rule.applies(signals)))


def as_markdown() -> str:
    """Return the table for the reference page."""
    cells = ((rule.name, rule.because, ", ".join(sorted(rule.removes))) for rule in RULES)
    return table(("Rule", "When", "Not sent"), cells)
