"""What the page of AppsFlyer's server-to-server API says of the parameters of an in-app event, each of them.

https://dev.appsflyer.com/hc/reference/s2s-events-api3-post (read 2026-11-29). Whether AppsFlyer enforces its schema is
*unverified*. An empty text stands for no value. Of hashes the page says that they are SHA-256, of a Facebook login id
that it is a numeric string, and its pattern of an App Set id is that of a UUID with misprints.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

Check = Callable[[Any], bool]

_CURRENCIES: Final = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF
CHE CHF CHW CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD
GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP
LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN
PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT
TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VES VND VUV WST XAF XAG XAU XBA XBB XBC XBD XCD XDR XOF
XPD XPF XPT XSU XTS XUA YER ZAR ZMW ZWL
"""
CURRENCIES: Final = frozenset(_CURRENCIES.split()) | {3 * "X"}  # ISO's code of no currency reads like a note
"""The 179 codes of the page, which does not have all that are in use."""
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,3})?")


def _text(pattern: str) -> Check:
    compiled = re.compile(pattern)
    return lambda said: isinstance(said, str) and bool(compiled.fullmatch(said))


def _is_text(said: Any) -> bool:
    return isinstance(said, str)


def _is_number(said: Any, least: int, most: int) -> bool:
    return type(said) is int and least <= said <= most


def _is_time(said: Any) -> bool:
    if not isinstance(said, str) or not _TIME.fullmatch(said):
        return False
    try:
        datetime.fromisoformat(said[:19])
    except ValueError:
        return False
    return True


_apple: Final = _text(r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}")
_uuid: Final = _text(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_sha256: Final = _text(r"[0-9a-fA-F]{64}")
_ipv4: Final = _text(r"[12]?[0-9]?[0-9](?:\.[12]?[0-9]?[0-9]){3}")

_TCF: Final[Mapping[str, Check]] = {
    "gdpr_applies": lambda said: _is_number(said, -1, 1),
    "tcstring": _is_text,
} | dict.fromkeys(("policy_version", "cmp_sdk_id", "cmp_sdk_version"), lambda said: type(said) is int)
_MANUAL: Final[Mapping[str, Check]] = dict.fromkeys(
    ("gdpr_applies", "ad_user_data_enabled", "ad_personalization_enabled"), lambda said: isinstance(said, bool)
)
_CONSENT: Final = {"tcf": _TCF, "manual": _MANUAL}


def _is_consent(said: Any) -> bool:
    """Whether this is one of the page's two objects: of a consent string, or of flags."""
    if not isinstance(said, dict) or len(said) != 1 or not said.keys() <= _CONSENT.keys():
        return False
    ((kind, inner),) = said.items()
    known = _CONSENT[kind]
    return isinstance(inner, dict) and all(name in known and known[name](value) for name, value in inner.items())


def _is_filter(said: Any) -> bool:
    """Whether this is `all`, or a list of partners."""
    return said == "all" or (
        isinstance(said, list) and bool(said) and all(isinstance(one, str) and one for one in said)
    )


def _is_app_set(said: Any) -> bool:
    return (
        isinstance(said, dict)
        and said.keys() <= {"scope", "id"}
        and ("scope" not in said or _is_number(said["scope"], 1, 2))
        and ("id" not in said or _uuid(said["id"]))
    )


_TEXTS: Final = (
    "advertising_id", "oaid", "amazon_aid", "imei", "customer_user_id", "app_version_name", "app_store",
    "bundleIdentifier", "custom_dimension", "custom_data", "os", "ua",
)  # fmt: skip
_HASHES: Final = (
    "email_hashed", "phone_number_hashed", "phone_number_e164_hashed", "first_name_hashed", "last_name_hashed",
)  # fmt: skip
SCHEMA: Final[Mapping[str, Check]] = {
    **dict.fromkeys(_TEXTS, _is_text),
    **dict.fromkeys(_HASHES, _sha256),
    "eventTime": _is_time,
    "eventCurrency": lambda said: isinstance(said, str) and said in CURRENCIES,
    "fb_login_id": _text(r"[0-9]+"),
    "ip": _ipv4,
    "att": lambda said: _is_number(said, 0, 3),
    "idfa": _apple,
    "idfv": _apple,
    "aie": lambda said: isinstance(said, bool),
    "app_type": lambda said: said == "app_clip",
    "app_set_id": _is_app_set,
    "consent_data": _is_consent,
    "sharing_filter": _is_filter,
}


def fits_schema(message: Mapping[str, Any]) -> bool:
    """Whether every parameter of an event is as the page's schema says, besides those that are required."""
    return all(fits(said) for name, fits in SCHEMA.items() if (said := message.get(name)) is not None and said != "")
