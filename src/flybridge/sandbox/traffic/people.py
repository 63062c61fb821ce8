"""The sandbox's people: where they live, what they hold in their hands, and by which ids they are known.

A person's identity in Amplitude reaches AppsFlyer in one of the ways that apps really use (`Known`); the way decides
which of their messages can be delivered at once, which wait, and which wait in vain.
"""

from __future__ import annotations

from enum import StrEnum
from random import Random
from typing import Final

from msgspec import Struct

from flybridge.sandbox.traffic.sources import Weighted

ZEROS: Final = "00000000-0000-0000-0000-000000000000"


class IdentitySource(StrEnum):
    """How AppsFlyer's messages tell who the person is in Amplitude."""

    CUSTOM_DATA = "custom_data"  # Amplitude's ids in custom_data of every message
    CUSTOMER_USER_ID = "customer_user_id"  # the company's user id in every message
    EVENT_VALUE = "event_value"  # Amplitude's ids in the value of in-app events: the install waits for the first
    LOGIN = "login"  # the company's user id from the login on: what came before waits
    SEEN_LATE = "seen_late"  # not at all, but Amplitude's event stream tells later (or told before)
    NEVER = "never"  # not at all: held until it expires


ALWAYS: Final = frozenset({IdentitySource.CUSTOM_DATA, IdentitySource.CUSTOMER_USER_ID})
"""The ways in which every message carries an identity."""


class Country(Struct, frozen=True):
    """A country as AppsFlyer reports it, with what goes with it. `per_usd` is the currency's rate."""

    code: str
    region: str
    weight: float
    language: str
    currency: str
    per_usd: float
    cities: tuple[tuple[str, str], ...]
    carriers: tuple[str, ...]
    net: int


COUNTRIES: Final = (
    Country("US", "NA", 30, "English", "USD", 1.0, (("New York", "NY"), ("Austin", "TX"), ("San José", "CA")),
          ("Verizon", "T-Mobile", "AT&T"), 73),
    Country("GB", "EU", 9, "English", "GBP", 0.79, (("London", "ENG"), ("Leeds", "ENG")), ("EE", "O2 - UK"), 81),
    Country("DE", "EU", 10, "Deutsch", "EUR", 0.92, (("Berlin", "BE"), ("München", "BY")),
            ("Telekom.de", "o2 - de"), 91),
    Country("FR", "EU", 8, "français", "EUR", 0.92, (("Paris", "IDF"), ("Nîmes", "OCC")), ("Orange F", "SFR"), 90),
    Country("BR", "SA", 12, "português", "BRL", 5.4, (("São Paulo", "SP"), ("Recife", "PE")),
            ("VIVO", "Claro BR"), 177),
    Country("IN", "AS", 14, "English", "INR", 84.0, (("Mumbai", "MH"), ("Bengaluru", "KA")), ("Jio", "airtel"), 106),
    Country("JP", "AS", 9, "日本語", "JPY", 150.0, (("東京", "13"), ("大阪", "27")), ("NTT DOCOMO", "SoftBank"), 126),
    Country("IL", "AS", 4, "עברית", "ILS", 3.7, (("תל אביב", "TA"),), ("Partner", "Cellcom"), 84),
    Country("MX", "NA", 4, "español", "MXN", 18.0, (("Ciudad de México", "CMX"),), ("TELCEL",), 187),
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
    app_set_id: str | None
    android_id: str | None
    att: str | None
    identity_source: IdentitySource
    user_id: str | None
    device_id: str | None
    session_ms: int

    @property
    def has_v1_id(self) -> bool:
        """Return whether Amplitude's Attribution API can be told who this is by what AppsFlyer's messages carry."""
        if self.platform == "ios":
            return self.idfv is not None or (self.advertising_id is not None and not self.limits)
        return self.advertising_id is not None and not self.limits


def uuid(random: Random) -> str:
    """Make a UUID in lower case."""
    digits = f"{random.getrandbits(128):032x}"
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
    user_id, device_id = _identity(identity_source, bits, vendor_id, ios)
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
        app_set_id=None if ios or limits or bits >> 38 & 1 else vendor_id,
        android_id=None if ios or limits else f"{bits:016x}",
        att=_att(limits, bits) if ios else None,
        identity_source=identity_source,
        user_id=user_id,
        device_id=device_id,
        session_ms=now_ms - bits % 90_000,
    )


def _identity(identity_source: IdentitySource, bits: int, vendor_id: str, ios: bool) -> tuple[str | None, str | None]:
    user_id = f"u{bits >> 8:014x}"
    # Amplitude's iOS SDK takes the vendor id, its Android SDK a UUID with an R behind it.
    device_id = vendor_id.upper() if ios else f"{vendor_id}R"
    match identity_source:
        case IdentitySource.CUSTOM_DATA:
            return (user_id if bits & 1 else None), device_id
        case IdentitySource.CUSTOMER_USER_ID | IdentitySource.LOGIN:
            return user_id, None
        case IdentitySource.EVENT_VALUE:
            return None, device_id
        case IdentitySource.SEEN_LATE:
            return (user_id if bits & 1 else None), device_id
        case IdentitySource.NEVER:
            return None, None


def _limited(advertising_id: str, bits: int, ios: bool) -> str | None:
    # Zeros, or nothing; an old Android may report the id all the same, and it must not leave.
    if bits >> 40 & 3 == 0 and not ios:
        return advertising_id
    return None if bits >> 37 & 1 else ZEROS


def _cased(advertising_id: str, ios: bool) -> str:
    return advertising_id.upper() if ios else advertising_id


def _att(limits: bool, bits: int) -> str:
    if not limits:
        return "authorized"
    return "denied" if bits >> 39 & 1 else "not_determined"
