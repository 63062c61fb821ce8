"""Facts of a message beside its item: whom it names, by what it could be matched, and what a policy changed of its
source. Pure.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from flybridge.amplitude import stream
from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback_time import time_ms
from flybridge.identity import IdKind
from flybridge.identity.masking import dimension
from flybridge.mapping.to_amplitude.content_key import INSTALLED
from flybridge.mapping.to_amplitude.map import Mapped, Rules
from flybridge.records import Carried, Decision, Refuse, Restricted, day_of

MAX_LABEL: Final = 64
MAX_SOURCE: Final = 128

Named = tuple[IdKind, str | None]


def carried(postback: Postback, mapped: Mapped, rules: Rules) -> Carried:
    """Return by what an event could be matched."""
    kinds = _kinds(tuple(mapped.ids), mapped.user_id is not None, mapped.device_id is not None)
    # Masked before it is cut: a part of an identifier is not recognised any more.
    platform = dimension((postback.platform or rules.platform).lower())[:MAX_LABEL]
    version = dimension(postback.app_version or "")[:MAX_LABEL]
    return Carried(platform, version, mapped.media_source, kinds, mapped.reported.family == "install")


@lru_cache(1024)
def _kinds(kinds: tuple[IdKind, ...], named_user: bool, named_device: bool) -> str:
    own = (("amplitude_user_id", named_user), ("amplitude_device_id", named_device))
    return " ".join(sorted([kind.word for kind in kinds] + [name for name, is_there in own if is_there]))


def restricted(postback: Postback, mapped: Mapped | Decision, rules: Rules, received_ms: int) -> Restricted | None:
    """Return what a policy changed, to be counted; None if no policy applied. Other rules are not counted."""
    if not (mapped.restricted if isinstance(mapped, Mapped) else mapped == Refuse("restricted_source")):
        return None
    policy = rules.compiled.policy(postback.media_source, postback.attributed_touch_type)
    event_ms = mapped.event_ms if isinstance(mapped, Mapped) else reported_ms(postback) or received_ms
    return Restricted(policy.word, dimension(postback.media_source or "organic")[:MAX_SOURCE], day_of(event_ms))


def reported_ms(postback: Postback) -> int | None:
    """Return the time that the message itself reports."""
    installed = postback.install_time if postback.event_name in (None, *INSTALLED) else None
    return time_ms(postback.event_time or "") or time_ms(installed or "")


def named(postback: Postback, mapped: Mapped | Decision) -> tuple[list[Named], int]:
    """Return all identifiers of a message, the most stable first, and its time. Includes ids that may not leave."""
    if isinstance(mapped, Mapped):
        user_id, device_id, event_ms = mapped.user_id, mapped.device_id, mapped.event_ms
    else:
        user_id = device_id = None
        event_ms = reported_ms(postback) or 0
    ids = [
        (IdKind.APPSFLYER_ID, postback.appsflyer_id),
        (IdKind.AMPLITUDE_DEVICE_ID, device_id),
        (IdKind.IDFV, postback.idfv),
        (IdKind.APP_SET_ID, postback.android_app_set_id),
        (IdKind.IDFA, postback.idfa),
        (IdKind.ADID, postback.advertising_id),
        (IdKind.ADID, postback.amazon_aid),
        (IdKind.OAID, postback.oaid),
        (IdKind.CUSTOMER_USER_ID, postback.customer_user_id),
        (IdKind.CUSTOMER_USER_ID, user_id),
    ]
    return ids, event_ms


def named_by_amplitude(seen: stream.SeenUser, *, streams: bool) -> tuple[list[Named], int]:
    """Return every identifier that Amplitude shows of a person, the most stable first, and the time of the sighting."""
    ids: list[Named] = [(IdKind.APPSFLYER_ID, seen.ids.get(IdKind.APPSFLYER_ID))]
    ids += [(IdKind.AMPLITUDE_DEVICE_ID, seen.device_id), *seen.ids.items()]
    if streams:  # events held for their AppsFlyer id have these keys
        ids += [(IdKind.INSTALLED_ON_DEVICE, seen.device_id), (IdKind.INSTALLED_BY_USER, seen.user_id)]
    return ids, seen.seen_ms or 0
