"""Choose whom an identifier belongs to, and until when attribution waits for a match. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from flybridge.identity import IdKind
from flybridge.records import HOUR_MS, Sighting

MAX_WINDOW_HOURS: Final = 30 * 24

# An advertising id is a person's across apps and re-installs, a vendor or App Set id a device's until the vendor's
# last app is removed, an AppsFlyer id one installation's, and a customer user id whatever the company made it:
# the order of precedence when sightings of the same moment disagree.
RANK: Final = {
    kind.value: rank
    for rank, kind in enumerate(
        (
            IdKind.CUSTOMER_USER_ID,
            IdKind.APPSFLYER_ID,
            IdKind.IDFA,
            IdKind.ADID,
            IdKind.OAID,
            IdKind.IDFV,
            IdKind.APP_SET_ID,
        )
    )
}


# An event of Amplitude belongs to the installation on its own device, even if its user has a newer one elsewhere.
EXACT: Final = IdKind.INSTALLED_ON_DEVICE.value


class Match(Struct, frozen=True):
    """The identity given to a held event. `conflict`: other sightings name another person.

    The ids are Amplitude's; for an event that goes to AppsFlyer, `device_id` is the AppsFlyer id.
    """

    user_id: str | None
    device_id: str | None
    conflict: bool = False


def choose(sightings: Iterable[Sighting]) -> Match | None:
    """Choose among sightings of any of an event's keys: the newest wins, then the better kind.

    An AppsFlyer id seen on the event's own device takes precedence over others of its user.

    What the winner lacks (a device without a user id, or the reverse) is taken from the next sighting that does not
    contradict it: a user id is never joined with another person's device. None if no sighting names a person.
    """
    ranked = sorted(
        (s for s in sightings if s.user_id or s.device_id),
        key=lambda s: (s.kind != EXACT, -s.seen_ms, RANK.get(s.kind, len(RANK)), s.user_id or "", s.device_id or ""),
    )
    if not ranked:
        return None
    user_id, device_id, conflict = ranked[0].user_id, ranked[0].device_id, False
    for other in ranked[1:]:
        same_user = not (user_id and other.user_id) or user_id == other.user_id
        same_device = not (device_id and other.device_id) or device_id == other.device_id
        if same_user and same_device and (other.user_id == user_id or other.device_id == device_id):
            user_id, device_id = user_id or other.user_id, device_id or other.device_id
        elif not same_user:
            conflict = True
    return Match(user_id, device_id, conflict)


def expires_ms(received_ms: int, window_hours: float) -> int:
    """Return the first moment at which attribution received at `received_ms` no longer waits."""
    if not 0 < window_hours <= MAX_WINDOW_HOURS:
        raise ValueError(f"a hold window is more than 0 and at most {MAX_WINDOW_HOURS} hours, not {window_hours}")
    return received_ms + round(window_hours * HOUR_MS)
