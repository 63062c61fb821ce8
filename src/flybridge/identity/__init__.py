"""Identifiers: which strings are ids, how they are normalised, and the keyed hashes by which they are matched.

A matching key is `HMAC-SHA256(secret, app, kind, normalised id)`, so that the store can match people without
being able to name them. Advertising ids are UUIDs and arrive in both cases: AppsFlyer reports a GAID in lower
and an IDFA in upper case, Amplitude's SDKs as the platform gives them. Keys are therefore made from the
lower-case form, while what is sent to Amplitude keeps the case it came in, because Amplitude's own matching
is case sensitive (https://amplitude.com/docs/apis/analytics/attribution, read 2026-11-24).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from flybridge.records import Word
from flybridge.system.text_encoding import BLANKS, EDGES


class IdKind(Word):
    """The kinds of identifier a person is matched by."""

    IDFA = "idfa"
    IDFV = "idfv"
    ADID = "adid"  # Google's GAID, or Amazon's advertising id on Amazon devices
    OAID = "oaid"
    APP_SET_ID = "app_set_id"
    APPSFLYER_ID = "appsflyer_id"
    CUSTOMER_USER_ID = "customer_user_id"
    AMPLITUDE_DEVICE_ID = "amplitude_device_id"  # names a person to be forgotten; not used for matching
    # For events that go to AppsFlyer: under these the AppsFlyer id of an Amplitude user or device is found. They share
    # no key with the kinds above, because what is found is never an Amplitude identity.
    INSTALLED_BY_USER = "installed_by_user"
    INSTALLED_ON_DEVICE = "installed_on_device"
    # Amplitude's own number of a user. It names members of an audience, and in sightings the number that it was merged
    # with, so that what is known of the one is found for the other.
    AMPLITUDE_ID = "amplitude_id"
    BRAZE_ID = "braze_id"  # these two name members of an audience; not used for matching
    IMEI = "imei"


OF_APPSFLYER: Final = frozenset({IdKind.INSTALLED_BY_USER.value, IdKind.INSTALLED_ON_DEVICE.value})
"""The kinds whose ids are AppsFlyer's, for events that go there: postbacks show them, not Amplitude."""

CASELESS: Final = frozenset({IdKind.IDFA, IdKind.IDFV, IdKind.ADID, IdKind.OAID, IdKind.APP_SET_ID})
"""Kinds that are the same id in either case. Customer user ids are the company's own and keep theirs."""

# https://amplitude.com/docs/apis/analytics/http-v2 lists ids it refuses; the rest are what SDKs send when
# they have none.
JUNK: Final = frozenset(
    {
        "", "anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "{}", "lmy47d", "0", "-1",
        "(null)", "nan", "false", "true", "[]", "(none)", "(nil)", "<null>", "<nil>", "#n/a", "\\n", "(not set)",
        "not set", "(undefined)", "(unknown)", "#nv", "#n/d", "#name?", "#value!", "#ref!", "#null!", "#num!",
        "#div/0!",
    }
)  # fmt: skip

ZEROS: Final = 32
"""How many digits an advertising id has, all of them zeros for everybody who has forbidden it."""
LONGEST_JUNK: Final = max(map(len, JUNK))
AROUND: Final = "\"'{}=" + EDGES
HEXADECIMAL: Final = frozenset("0123456789abcdef")

# https://dev.appsflyer.com/hc/reference/s2s-events-api3-post has 13 digits, a dash, and 19 digits for Android, 7 for
# iOS, and an example of 7 for both.
INSTALLATION: Final = re.compile(r"[0-9]{13}-[0-9]{7,19}")

BLOCK_BYTES: Final = 64
INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


def usable(value: str | None) -> str | None:
    """Return the id trimmed, or None if it is absent, all zeros, or a placeholder word."""
    if not value:
        return None
    value = value.strip(EDGES if value.isascii() else BLANKS)
    if len(value) <= LONGEST_JUNK and value.lower() in JUNK:
        return None
    left = value.strip("0-")
    # What SDKs append says what an id is made of, and zeros stay nobody's.
    return value if left and (left not in {"R", "S"} or len(value) < ZEROS) else None


def installation(value: str | None) -> str | None:
    """Return an AppsFlyer id trimmed, and without quotes or braces around it; None if the value is no id."""
    found = usable(value)
    return found if found is None or found[0].isdecimal() else usable(found.strip(AROUND))


def appsflyer_id(value: str | None) -> str | None:
    """Return an AppsFlyer id under which AppsFlyer records events: 13 digits, a dash, 7 to 19 digits. None for another.

    An event under another is answered 200 and recorded nowhere.
    """
    found = installation(value)
    return found if found is not None and INSTALLATION.fullmatch(found) else None


def device_identifier(value: str | None) -> str | None:
    """Return a device's identifier without quotes or braces around it, or None if the value is none.

    A macro that was not filled in (`{gaid}`, `%%ADID%%`) and words (`Limit Ad Tracking`) are the same for many people:
    as identifiers they would make one person of them.
    """
    found = usable(value.strip(AROUND if value.isascii() else AROUND + BLANKS)) if value else None
    if found is None:
        return None
    plain = found.replace("-", "")
    if not (plain.isascii() and plain.isalnum()) or (plain.isalpha() and not HEXADECIMAL.issuperset(plain.lower())):
        return None
    return found


def normalise(kind: IdKind, value: str | None) -> str | None:
    """Return the form in which an id is compared, or None if the value is not an id."""
    if kind not in CASELESS:
        return installation(value) if kind is IdKind.APPSFLYER_ID else usable(value)
    found = device_identifier(value)
    return None if found is None else found.lower()


class Keyring:
    """Makes matching keys under the current and former secrets, because older keys stay in use until they expire."""

    def __init__(self, *secrets: bytes) -> None:
        if not secrets or not all(secrets):
            raise ValueError("a keyring needs at least one secret, and none may be empty")
        self._hashes = [_hmac(secret) for secret in secrets]

    def key(self, app: str, kind: IdKind, value: str | None) -> bytes | None:
        """Return the 16-byte matching key under the current secret, or None if the value is no id."""
        keys = self.keys(app, kind, value)
        return keys[0] if keys else None

    def keys(self, app: str, kind: IdKind, value: str | None) -> tuple[bytes, ...]:
        """Return the matching keys under every secret, current first."""
        normal = normalise(kind, value)
        if normal is None:
            return ()
        message = f"{app}\0{kind.word}\0{normal}".encode("utf-8", "surrogatepass")
        return tuple([hashed(message)[:16] for hashed in self._hashes])


def _hmac(secret: bytes) -> Callable[[bytes], bytes]:
    """Return a function from a message to its HMAC-SHA256 (https://www.rfc-editor.org/rfc/rfc2104, section 4).

    What depends on the secret alone is hashed once. `hmac.digest` takes more than twice as long, for it begins anew
    with every message.
    """
    block = (sha256(secret).digest() if len(secret) > BLOCK_BYTES else secret).ljust(BLOCK_BYTES, b"\0")
    begun, ended = (sha256(block.translate(pad)).copy for pad in (INNER, OUTER))

    def hashed(message: bytes) -> bytes:
        inner, outer = begun(), ended()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()

    return hashed
