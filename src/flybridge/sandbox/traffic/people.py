"""The people of the traffic: their country and device, and the ids by which both vendors know them.

A person's identity in Amplitude becomes known in one of the ways that apps really use (`IdentitySource`, `SeenBy`); the
way decides which of their messages are delivered at once, which are matched later, and which expire.

Amplitude's device ids are made as its SDKs make them (`DeviceIdKind`):
https://amplitude.com/docs/sdks/analytics/android/android-kotlin-sdk, "Device ID lifecycle",
https://amplitude.com/docs/sdks/analytics/ios/ios-sdk, "Set IDFA as device ID" (read 2026-11-27).
"""

from __future__ import annotations

from enum import StrEnum
from random import Random
from typing import Final

from msgspec import Struct

from flybridge.sandbox.traffic.sources import Weighted

ZEROS: Final = "00000000-0000-0000-0000-000000000000"


class IdentitySource(StrEnum):
    """Where the person's identity in Amplitude comes from."""

    CUSTOM_DATA = "custom_data"  # Amplitude's ids in custom_data of every message
    CUSTOMER_USER_ID = "customer_user_id"  # the company's user id in every message
    EVENT_VALUE = "event_value"  # Amplitude's ids in the value of in-app events: the install waits for the first
    LOGIN = "login"  # the company's user id from the login on: what came before waits
    SEEN_LATE = "seen_late"  # only in Amplitude's stream, later or before
    NEVER = "never"  # not at all: held until it expires


class SeenBy(StrEnum):
    """What Amplitude's stream shows of a person whom AppsFlyer's messages do not identify."""

    PROPERTY = "property"  # events with the user property appsflyer_id
    IDENTIFY = "identify"  # an Identify call that sets appsflyer_id
    DEVICE_ID = "device id"  # events with a device id, and nothing else that AppsFlyer knows


class DeviceIdKind(StrEnum):
    """How Amplitude's SDK made the device id."""

    VENDOR = "idfv"  # iOS: the default
    ADVERTISING = "advertising id"  # useAdvertisingIdForDeviceId
    APP_SET = "app set id"  # Android: useAppSetIdForDeviceId; an S is appended
    RANDOM = "random"  # Android: the default, an R is appended; iOS: an id of the app's own


ALWAYS: Final = frozenset({IdentitySource.CUSTOM_DATA, IdentitySource.CUSTOMER_USER_ID})
"""The ways in which every message carries an identity."""


class Country(Struct, frozen=True):
    """A country as AppsFlyer reports it, with what goes with it. `per_usd` is the currency's rate.

    `shown` is its name in Amplitude (https://amplitude.com/docs/data/destination-catalog/amazon-s3, read 2026-11-29).
    """

    code: str
    shown: str
    region: str
    weight: float
    language: str
    currency: str
    per_usd: float
    cities: tuple[tuple[str, str], ...]
    carriers: tuple[str, ...]
    net: int

    @property
    def shown_language(self) -> str:
        """The language as Amplitude shows it."""
        return _SHOWN_LANGUAGES[self.language]


# https://amplitude.com/docs/apis/analytics/http-v2, "Language field" (read 2026-11-29).
_SHOWN_LANGUAGES: Final = {
    "English": "English",
    "Deutsch": "German",
    "français": "French",
    "português": "Portuguese",
    "日本語": "Japanese",
    "עברית": "Hebrew",
    "español": "Spanish",
}

COUNTRIES: Final = (
    Country("US", "United States", "NA", 30, "English", "USD", 1.0,
            (("New York", "NY"), ("Austin", "TX"), ("San José", "CA")), ("Verizon", "T-Mobile", "AT&T"), 73),
    Country("UK", "United Kingdom", "EU", 9, "English", "GBP", 0.79, (("London", "ENG"), ("Leeds", "ENG")),
            ("EE", "O2 - UK"), 81),
    Country("DE", "Germany", "EU", 10, "Deutsch", "EUR", 0.92, (("Berlin", "BE"), ("München", "BY")),
            ("Telekom.de", "o2 - de"), 91),
    Country("FR", "France", "EU", 8, "français", "EUR", 0.92, (("Paris", "IDF"), ("Nîmes", "OCC")),
            ("Orange F", "SFR"), 90),
    Country("BR", "Brazil", "SA", 12, "português", "BRL", 5.4, (("São Paulo", "SP"), ("Recife", "PE")),
            ("VIVO", "Claro BR"), 177),
    Country("IN", "India", "AS", 14, "English", "INR", 84.0, (("Mumbai", "MH"), ("Bengaluru", "KA")),
            ("Jio", "airtel"), 106),
    Country("JP", "Japan", "AS", 9, "日本語", "JPY", 150.0, (("東京", "13"), ("大阪", "27")),
            ("NTT DOCOMO", "SoftBank"), 126),
    Country("IL", "Israel", "AS", 4, "עברית", "ILS", 3.7, (("תל אביב", "TA"),), ("Partner", "Cellcom"), 84),
    Country("MX", "Mexico", "NA", 4, "español", "MXN", 18.0, (("Ciudad de México", "CMX"),), ("TELCEL",), 187),
)  # fmt: skip


class DeviceModel(Struct, frozen=True):
    """A model as AppsFlyer writes it, and the systems it runs."""

    model: str
    weight: float
    systems: tuple[str, ...]
    category: str = "phone"


DEVICES: Final = {
    "android": (
        DeviceModel("samsung::SM-S918B", 10, ("14", "15")),
        DeviceModel("samsung::SM-A145F", 12, ("13", "14")),
        DeviceModel("google::Pixel 8", 6, ("14", "15", "16")),
        DeviceModel("xiaomi::Redmi Note 12", 11, ("12", "13")),
        DeviceModel("OPPO::CPH2387", 6, ("12", "13")),
        DeviceModel("motorola::moto g54 5G", 5, ("13", "14")),
        DeviceModel("HUAWEI::VOG-L29", 3, ("10",)),
        DeviceModel("samsung::SM-X210", 2, ("13", "14"), "tablet"),
    ),
    "ios": (
        DeviceModel("iPhone15,3", 10, ("17.6.1", "18.2")),
        DeviceModel("iPhone14,5", 12, ("16.7.2", "17.5.1", "18.1")),
        DeviceModel("iPhone12,1", 9, ("15.8", "16.6", "17.4")),
        DeviceModel("iPhone17,2", 7, ("18.2", "18.3.1")),
        DeviceModel("iPhone10,6", 2, ("14.4", "16.7.10")),
        DeviceModel("iPad13,18", 3, ("16.5", "17.6.1"), "tablet"),
    ),
}

_COUNTRIES: Final = Weighted(COUNTRIES, [country.weight for country in COUNTRIES])
_DEVICES: Final = {name: Weighted(devices, [d.weight for d in devices]) for name, devices in DEVICES.items()}


class TrafficPerson(Struct, frozen=True, gc=False):
    """One person with one device. Ids are None where the device or its owner does not give them.

    `limits`: tracking is limited (Android) or not allowed (ATT); the advertising id is then zeros or missing, and
    may not be used where it is there. `user_id` and `device_id` are Amplitude's.
    """

    platform: str
    country: Country
    city: str
    state: str
    carrier: str
    ip: str
    device: DeviceModel
    os_version: str
    wifi: bool
    limits: bool
    advertising_id: str | None
    idfv: str | None
    android_id: str | None
    identity_source: IdentitySource
    user_id: str | None
    device_id: str | None
    device_id_kind: DeviceIdKind
    seen_by: SeenBy
    session_ms: int

    @property
    def can_be_matched(self) -> bool:
        """Whether what Amplitude's stream shows is also in AppsFlyer's Push messages."""
        if self.seen_by is not SeenBy.DEVICE_ID:
            return True
        return self.device_id_kind in {DeviceIdKind.VENDOR, DeviceIdKind.ADVERTISING}

    @property
    def has_v1_id(self) -> bool:
        """Whether Amplitude's Attribution API can match the person by what AppsFlyer's messages carry."""
        if self.platform == "ios":
            return self.idfv is not None or (self.advertising_id is not None and not self.limits)
        return self.advertising_id is not None and not self.limits


def uuid(random: Random) -> str:
    """Make a UUID in lower case."""
    return as_uuid(f"{random.getrandbits(128):032x}")


def as_uuid(digits: str) -> str:
    """Write 32 hexadecimal digits as a UUID."""
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def make_person(
    random: Random, platform: str, identity_source: IdentitySource, lat: float, now_ms: int
) -> TrafficPerson:
    """Make up a person of this platform. `lat` is the share that limits tracking."""
    country = _COUNTRIES.draw(random)
    device = _DEVICES[platform].draw(random)
    bits = random.getrandbits(64)
    city, state = country.cities[bits % len(country.cities)]
    limits = random.random() < lat
    ios = platform == "ios"
    advertising_id = uuid(random)
    vendor_id = uuid(random)
    id_kind = _device_id_kind(bits, ios=ios, limits=limits)
    device_id = _device_id(id_kind, vendor_id, advertising_id, ios=ios)
    user_id, known_device_id = _identity(identity_source, bits, device_id)
    return TrafficPerson(
        platform=platform,
        country=country,
        city=city,
        state=state,
        carrier=country.carriers[(bits >> 4) % len(country.carriers)],
        ip=f"{country.net}.{bits >> 8 & 255}.{bits >> 16 & 255}.{bits >> 24 & 255}",
        device=device,
        os_version=device.systems[(bits >> 32) % len(device.systems)],
        wifi=bool(bits >> 36 & 1),
        limits=limits,
        advertising_id=_limited(advertising_id, bits, ios) if limits else _cased(advertising_id, ios),
        idfv=vendor_id.upper() if ios else None,
        android_id=None if ios or limits else f"{bits:016x}",
        identity_source=identity_source,
        user_id=user_id,
        device_id=known_device_id,
        device_id_kind=id_kind,
        seen_by=_SEEN_BY[bits >> 48 & 15],
        session_ms=now_ms - bits % 90_000,
    )


_SEEN_BY: Final = (SeenBy.PROPERTY,) * 5 + (SeenBy.IDENTIFY,) * 3 + (SeenBy.DEVICE_ID,) * 8
"""Shares in sixteenths, as the next two."""

_DEVICE_IDS: Final = {
    "ios": (DeviceIdKind.VENDOR,) * 13 + (DeviceIdKind.ADVERTISING,) + (DeviceIdKind.RANDOM,) * 2,
    "android": (DeviceIdKind.RANDOM,) * 11 + (DeviceIdKind.ADVERTISING,) * 3 + (DeviceIdKind.APP_SET,) * 2,
}


def _device_id_kind(bits: int, *, ios: bool, limits: bool) -> DeviceIdKind:
    kind = _DEVICE_IDS["ios" if ios else "android"][bits >> 44 & 15]
    if kind is DeviceIdKind.ADVERTISING and limits:
        return DeviceIdKind.VENDOR if ios else DeviceIdKind.RANDOM
    return kind


def _device_id(kind: DeviceIdKind, vendor_id: str, advertising_id: str, *, ios: bool) -> str:
    match kind:
        case DeviceIdKind.VENDOR:
            return vendor_id.upper()
        case DeviceIdKind.ADVERTISING:
            return _cased(advertising_id, ios)
        case DeviceIdKind.APP_SET:
            return f"{vendor_id}S"
        case DeviceIdKind.RANDOM:
            # On iOS not the vendor id, but another UUID.
            return as_uuid(vendor_id.replace("-", "")[::-1]) if ios else f"{vendor_id}R"


def _identity(identity_source: IdentitySource, bits: int, device_id: str) -> tuple[str | None, str | None]:
    user_id = f"u{bits >> 8:014x}"
    match identity_source:
        case IdentitySource.CUSTOM_DATA | IdentitySource.SEEN_LATE:
            return (user_id if bits & 1 else None), device_id
        case IdentitySource.CUSTOMER_USER_ID | IdentitySource.LOGIN:
            return user_id, None
        case IdentitySource.EVENT_VALUE:
            return None, device_id
        case IdentitySource.NEVER:
            return None, None


def _limited(advertising_id: str, bits: int, ios: bool) -> str | None:
    # Zeros, or nothing; an old Android may report the id all the same, and it must not leave.
    if bits >> 40 & 3 == 0 and not ios:
        return advertising_id
    return None if bits >> 37 & 1 else ZEROS


def _cased(advertising_id: str, ios: bool) -> str:
    return advertising_id.upper() if ios else advertising_id
