"""Currency codes of ISO 4217, and which of them have no smaller unit.

AppsFlyer reports the currency as the app wrote it: mostly a code, sometimes a sign (`₫`), a name (`Euro`) or one of the
app's own (`GEM`). Only a code says what an amount is worth.

https://www.iso.org/iso-4217-currency-codes.html (read 2026-11-27); codes that were in use within the last years
(`HRK`, `VEF`, ...) are in the list, because files bring events late.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from flybridge.system.text_encoding import bare_text

_CODES: Final = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BYR BZD CAD CDF
CHE CHF CHW CLF CLP CNH CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EEK EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP
GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP
LKR LRD LSL LTL LVL LYD MAD MDL MGA MKD MMK MNT MOP MRO MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR
PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STD STN SVC SYP SZL
THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VEF VES VND VUV WST XAF XCD XCG XOF XPF YER
ZAR ZMK ZMW ZWG ZWL
"""
CODES: Final = frozenset(_CODES.split())

_NOT_TAKEN: Final = "BYR CNH EEK LTL LVL MRO SLE STD VED VEF XCG ZMK ZWG"
TAKEN: Final = CODES - frozenset(_NOT_TAKEN.split())
"""Currencies that AppsFlyer's server-to-server API has in its list (s2s_events_api3.yaml of AppsFlyer's devhub, August
2026, read 2026-11-29): one that it lacks fails the validation of the event."""

_WITHOUT_CENTS: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
WITHOUT_CENTS: Final = frozenset(_WITHOUT_CENTS.split())
"""Currencies without a minor unit."""

_WITHOUT_CENTS_IN_PRACTICE: Final = "AMD COP HUF IDR IQD IRR LAK LBP MGA MMK MNT TZS UZS"
WITHOUT_CENTS_IN_PRACTICE: Final = frozenset(_WITHOUT_CENTS_IN_PRACTICE.split())
"""Currencies whose minor unit is worth so little that prices have none: `15.000` may be fifteen thousand of them."""

WITH_MILLS: Final = frozenset({"BHD", "JOD", "KWD", "LYD", "OMR", "TND"})
"""Currencies whose minor unit is a thousandth: three digits behind a point are these."""

SIGNS: Final = {
    "€": "EUR", "₹": "INR", "₫": "VND", "₩": "KRW", "₽": "RUB", "₺": "TRY", "₴": "UAH", "₪": "ILS", "₱": "PHP",
    "฿": "THB", "₦": "NGN", "₲": "PYG", "₸": "KZT", "₡": "CRC", "₵": "GHS", "₼": "AZN", "₾": "GEL", "₮": "MNT",
}  # fmt: skip
"""Signs of one currency only."""

_DOLLARS: Final = (
    "USD AUD BBD BMD BND BSD BZD CAD CVE FJD GYD HKD JMD KYD LRD NAD NZD SBD SGD SRD TTD TWD XCD ZWG ZWL "
    "ARS BOB BRL CLP COP CUC CUP DOP MOP MXN NIO TOP UYU WST"
)
_POUNDS: Final = "GBP EGP FKP GIP LBP SDG SHP SSP SYP"
_YENS: Final = "JPY CNY CNH"
_SHARED: Final[Mapping[str, str]] = {
    "$": _DOLLARS, "\uff04": _DOLLARS, "£": _POUNDS, "\uffe1": _POUNDS, "¥": _YENS, "\uffe5": _YENS,
    "R$": "BRL", "US$": "USD", "A$": "AUD", "AU$": "AUD", "C$": "CAD NIO", "CA$": "CAD", "HK$": "HKD", "NT$": "TWD",
    "S$": "SGD", "SG$": "SGD", "NZ$": "NZD", "MX$": "MXN", "AR$": "ARS", "CLP$": "CLP", "COL$": "COP", "RD$": "DOP",
    "J$": "JMD", "TT$": "TTD", "BZ$": "BZD", "N$": "NAD", "$U": "UYU", "E£": "EGP", "CN¥": "CNY CNH", "JP¥": "JPY",
    "KR": "SEK NOK DKK ISK EEK", "ZŁ": "PLN", "ZL": "PLN", "KČ": "CZK", "KC": "CZK", "FT": "HUF", "LEI": "RON MDL",
    "ЛВ": "BGN", "RP": "IDR", "RM": "MYR", "RS": "INR PKR LKR NPR MUR SCR", "РУБ": "RUB", "TL": "TRY",
    "FR": "CHF XAF XOF XPF", "S/": "PEN", "B/": "PAB",
    "ГРН": "UAH", "元": "CNY CNH TWD", "円": "JPY", "원": "KRW", "Đ": "VND", "RMB": "CNY CNH",
}  # fmt: skip
SIGNED: Final[Mapping[str, frozenset[str]]] = (
    {code: frozenset({code}) for code in CODES}
    | {sign: frozenset({code}) for sign, code in SIGNS.items()}
    | {sign: frozenset(codes.split()) for sign, codes in _SHARED.items()}
)
"""The currencies of what stands beside an amount, in capitals: codes, signs, and letters with a sign."""


def currency_of(written: Any) -> str | None:
    """Return an ISO 4217 code in capitals, None for anything else."""
    return _code(written) if isinstance(written, str) else None


@lru_cache(maxsize=256)
def _code(written: str) -> str | None:
    code = bare_text(written).upper()
    return code if code in CODES else None
