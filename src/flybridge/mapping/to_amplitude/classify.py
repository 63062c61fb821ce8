"""Classify a message before its own values are read: its name, platform and plan, and what may leave.

An app's messages repeat a few combinations of the fields that decide. The classification is therefore made once per
combination and cached. `_decide` reads no field that is not in the combination.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from operator import attrgetter
from typing import Final

from flybridge.amplitude.event import is_reserved
from flybridge.amplitude.stream import ANDROID, IOS
from flybridge.appsflyer.app_id import is_other_package, is_same_app
from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback_kind import NAMES, Kind, is_own_event, is_skadnetwork, kind_of
from flybridge.mapping.person import refused_ids
from flybridge.mapping.restrictions import PASS, RESTRICTED, Policy
from flybridge.mapping.to_amplitude.rules import Classification, CompiledRules, Rules, SentAs
from flybridge.records import Dead, Filter, Refuse

MAX_REMEMBERED: Final = 4096
MAX_SHOWN: Final = 100

FAMILIES: Final = dict.fromkeys(ANDROID, "android") | dict.fromkeys(IOS, "ios")
"""Platforms by whose vendor's id their apps have. An app of the one family has no events of the other."""
OF_THEIR_OWN: Final = frozenset({"tvos", "watchos", "visionos", "android tv"})
PLATFORMS: Final = {name: family for name, family in FAMILIES.items() if name not in OF_THEIR_OWN}
"""AppsFlyer's names of platforms, as Amplitude's SDKs write them. Fire OS is Android."""
DISPLAY: Final = {"android": "Android", "ios": "iOS"}
"""Platforms as Amplitude's SDKs write them."""

NAMED_AS_CONVERSIONS: Final = NAMES | {None}
NEVER_SENT: Final = frozenset({Kind.UNINSTALL, Kind.SKADNETWORK})
DECIDING: Final = (
    "event_name", "event_type", "conversion_type", "retargeting_conversion_type", "campaign_type", "is_retargeting",
    "is_organic", "media_source", "attribution_type", "attributed_touch_type", "platform", "app_id", "bundle_id", "att",
    "is_lat", "gdpr_applies", "ad_user_data_enabled", "ad_personalization_enabled", "is_primary_attribution",
)  # fmt: skip
"""The fields that decide. Of others it matters only whether they are present, and what `is_own_event` finds."""
_deciding: Final = attrgetter(*DECIDING)

V1_IDS: Final = {"ios": ("idfa", "idfv"), "android": ("adid", "android_app_set_id")}
"""Platforms of the Attribution API, and the identifiers of which it needs one."""


def classify(postback: Postback, rules: Rules, compiled: CompiledRules) -> Classification:
    """Return what a message is, and how it is sent, or why it is not. `compiled` is that of the rules."""
    # The fields that decide; of those that differ from message to message only whether they are present.
    deciding = (
        *_deciding(postback),
        postback.campaign is None,
        postback.blocked_reason is None,
        postback.event_name in NAMED_AS_CONVERSIONS and is_own_event(postback),
        is_skadnetwork(postback),
    )
    found = compiled.classifications.get(deciding)
    if found is None:
        found = _decide(postback, rules, compiled)
        if len(compiled.classifications) >= MAX_REMEMBERED:
            compiled.classifications.clear()
        compiled.classifications[deciding] = found
    return found


def _decide(postback: Postback, rules: Rules, compiled: CompiledRules) -> Classification:
    reported = kind_of(postback)
    policy = compiled.policy(postback.media_source, postback.attributed_touch_type)
    outcome = _outcome(reported, policy, postback, rules, compiled)
    return Classification(reported, platform_of(postback, rules), policy, refused_ids(postback), outcome)


def _outcome(
    reported: Kind | None, policy: Policy, postback: Postback, rules: Rules, compiled: CompiledRules
) -> SentAs | Filter | Refuse | Dead:
    platform = platform_of(postback, rules)
    if (other := _other_app(postback, rules, platform)) is not None:
        return other
    if reported is None:
        missing = "event_name and conversion_type are missing."
        if is_own_event(postback):
            missing = "event_name is missing, and it is no conversion by its value, its revenue or its time."
        remedy = (
            "Select event_name, conversion_type and campaign_type in AppsFlyer's Push API settings; in a report, "
            "Event Name."
        )
        if not any(_deciding(postback)):
            remedy = (
                "Send AppsFlyer's fields, by their names in its Push API, at the top of a JSON object: what they may "
                f"stand in beside that is not read. {remedy}"
            )
        return Dead("map", "no_event_name", f"The message names no event: {missing}", remedy)
    event_type = _event_type(reported, postback, rules, compiled)
    if not isinstance(event_type, str):
        return event_type
    if policy is Policy.DROP:
        return Refuse("restricted_source")
    if rules.route == "attribution" and platform not in V1_IDS:
        return Refuse("platform_unsupported")
    kind = reported
    if policy is Policy.ORGANIC:
        kind = reported.as_organic
        event_type = compiled.conversion_name[kind.family] if kind.is_conversion else event_type
    # Organic events have no campaign: one that names a campaign reveals it no more than a restricted one.
    shows_source = policy is PASS and not (kind.is_organic and postback.campaign is not None)
    source = _media_source(postback, kind, policy)
    plan = compiled.plan(kind.is_conversion, not shows_source)
    return SentAs(
        kind,
        kind.is_conversion,
        event_type,
        "" if kind.is_conversion else _owner_of(postback.event_name or "", compiled),
        source,
        DISPLAY.get(platform, platform),
        platform if platform in DISPLAY else None,
        plan,
        (source, kind.word) if plan.shows_source else (kind.word,),
        (source,) if plan.shows_source and kind.is_conversion else (),
    )


def _owner_of(name: str, compiled: CompiledRules) -> str:
    if is_reserved(name):
        return "Amplitude's own"
    return "those of conversions" if name in compiled.taken_names else ""


def _other_app(postback: Postback, rules: Rules, platform: str) -> Dead | None:
    """Return why a message is not of the app that it was posted to; None if it is, or does not say its app."""
    if not rules.app_id:
        return None
    said = postback.app_id
    if said is not None and not is_same_app(said, rules.app_id):
        detail = f"Its app_id is {said[:MAX_SHOWN]!r}, and that of the app {rules.app!r} is {rules.app_id!r}."
    elif said is None and rules.platform == "android" and is_other_package(postback.bundle_id or "", rules.app_id):
        bundle_id = (postback.bundle_id or "")[:MAX_SHOWN]
        detail = f"Its bundle_id is {bundle_id!r}, and the app_id of the app {rules.app!r} is {rules.app_id!r}."
    elif {FAMILIES.get(platform), rules.platform} == {"android", "ios"}:
        detail = f"Its platform is {platform!r}, and that of the app {rules.app!r} is {rules.platform!r}."
    else:
        return None
    remedy = (
        "Give AppsFlyer the address of the right app for these messages, or correct appsflyer_app_id or platform; "
        "replay it if the configuration was wrong."
    )
    return Dead("map", "other_app", f"The message is of another app. {detail}", remedy)


def _event_type(kind: Kind, postback: Postback, rules: Rules, compiled: CompiledRules) -> str | Filter:
    if postback.blocked_reason is not None:
        return Filter("blocked_as_fraud")
    if kind.is_conversion:
        if any(fnmatchcase(kind.word, pattern) for pattern in rules.exclude):
            return Filter("event_excluded")
        return compiled.conversion_name[kind.family]
    if kind is Kind.UNINSTALL and rules.uninstalls == "send" and rules.route == "http_v2":
        return compiled.uninstall_name
    if kind in NEVER_SENT:
        return Filter(kind.word)
    if rules.route == "attribution":
        return Filter("in_app_on_attribution_route")
    # https://support.appsflyer.com/hc/en-us/articles/360016371077: within an open re-engagement window AppsFlyer
    # reports an event twice, and the copy for the source of the install is the secondary one.
    if rules.double_attribution == "primary" and postback.is_primary_attribution is False:
        return Filter("secondary_attribution")
    return compiled.in_app_name(postback.event_name or "") or Filter("event_excluded")


def _media_source(postback: Postback, kind: Kind, policy: Policy) -> str | None:
    """Return the source as it may be sent; None if it is unknown."""
    if policy is not PASS:
        return "organic" if policy is Policy.ORGANIC else RESTRICTED
    source = postback.media_source
    if source is None:
        return "organic" if kind.is_organic else None
    return "organic" if source.lower() == "organic" else source


def platform_of(postback: Postback, rules: Rules) -> str:
    """Return the platform of a message, in Amplitude's lower-case words."""
    if postback.platform is None:
        return rules.platform
    name = postback.platform.strip().lower()
    return PLATFORMS.get(name, name)
