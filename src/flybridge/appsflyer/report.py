"""What AppsFlyer's reports have in common: requests with the API token V2, CSV with unknown figures, errors.

Documented errors are JSON with a `message`; the live service also answers plain text, such as 403 with
`Limit reached for partners-daily-report`, which is a quota and no matter of permissions. A quota of ranges up to two
days is one call a minute for each app and report, longer ranges have 24 calls a day for each app and 120 for an account
(https://support.appsflyer.com/hc/en-us/articles/207034366, read 2026-11-27).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from flybridge.delivery.exchange import HttpRequest, HttpResponse, json_of
from flybridge.errors import FlybridgeError

ORIGIN: Final = "https://hq1.appsflyer.com"
UNKNOWN: Final = frozenset({"", "n/a", "none", "null", "-"})
"""What figures say of what is not known, in lower case. `NA` is a country."""
LARGEST: Final = 1e11
"""The largest figure that is taken for one. A day's spend of a campaign reaches a billion in dongs or rupiahs, and
millionths of a hundred billion still add up in 64 bits."""
_QUOTAS: Final = ("limit reached", "limit has been reached", "calls limit", "reached your maximum number")
MINUTE_S: Final = 60.0


class AppsFlyerAccount(Struct, frozen=True):
    """An app in AppsFlyer, and the API token V2 of its account. `origin` is empty for AppsFlyer's own host.

    In the paths of requests `{app}` stands for the app.
    """

    app_id: str
    api_token: str
    origin: str = ""

    def _url(self, path: str) -> str:
        return (self.origin or ORIGIN).rstrip("/") + path.format(app=quote(self.app_id, safe=""))

    def report(self, path: str, given: Mapping[str, str]) -> HttpRequest:
        """Build the request for a report. Parameters that are empty are left out."""
        query = urlencode({name: value for name, value in given.items() if value}, safe=",+*-/().")
        headers = {"Authorization": f"Bearer {self.api_token}", "Accept": "text/csv"}
        return HttpRequest("GET", f"{self._url(path)}{'?' if query else ''}{query}", headers, b"")

    def call(self, method: str, path: str, body: Any = None, accept: str = "application/json") -> HttpRequest:
        """Build a request with a JSON body, or without one."""
        headers = {"Authorization": f"Bearer {self.api_token}", "Content-Type": "application/json", "Accept": accept}
        return HttpRequest(method, self._url(path), headers, b"" if body is None else msgspec.json.encode(body))


class SpendRow(Struct, frozen=True):
    """What a row of any report of costs says. Empty texts are none, None is not known."""

    day: date
    media_source: str
    campaign: str
    country: str
    impressions: int | None
    clicks: int | None
    cost: float | None


class ReportRefused(FlybridgeError):
    """There is no report, for what the text says. `again_s` is when to ask again; None: once something is mended.

    `quota`: the vendor's limit of calls is used up, and nothing is wrong.
    """

    def __init__(self, sentence: str, again_s: float | None = None, *, quota: bool = False) -> None:
        super().__init__(sentence)
        self.again_s = again_s
        self.quota = quota


class ReportTooLarge(ReportRefused):
    """A report is larger than AppsFlyer makes it: it is asked for in fewer days."""


def check_status(response: HttpResponse, what: str) -> None:
    """Raise `ReportRefused` if an answer is no report. `what` names the report in sentences."""
    words = said(response.body)
    match response.status:
        case 200:
            return
        case 400 | 403 | 429 if response.status == 429 or is_quota(words):
            raise ReportRefused(f"AppsFlyer's quota of calls for {what} is used up.", MINUTE_S, quota=True)
        case 401:
            raise ReportRefused(
                "AppsFlyer does not accept the token: check api_token. Tokens made before March 10, 2026 are revoked."
                if "suspended" not in words.lower()
                else "AppsFlyer says that the account may be suspended: look at it in AppsFlyer."
            )
        case 403:
            raise ReportRefused(f"AppsFlyer refuses {what}: check the app id and the permissions of api_token.")
        case 404:
            raise ReportRefused(
                f"AppsFlyer has no {what} for this app: check appsflyer_app_id (`id123456789` of an iOS app), "
                "base_url, and that api_token is of the app's account."
            )
        case 400 | 416:
            raise ReportRefused(
                f"AppsFlyer does not take the request for {what} ({response.status}): check that apps.insight.timezone "
                "is the zone that the app has in AppsFlyer."
            )
        case status:
            raise ReportRefused(f"AppsFlyer answered {status} for {what}: it is asked again later.", 15 * MINUTE_S)


def is_quota(words: str) -> bool:
    """Whether an error says that a quota of calls is used up."""
    folded = words.lower()
    return any(quota in folded for quota in _QUOTAS)


def said(body: bytes) -> str:
    """Return the message of an error, whatever form it has."""
    text = body[:2000].decode("utf-8", "replace")
    found = json_of(body[:2000], object)
    if isinstance(found, dict):
        found = found.get("message") or found.get("error") or found
    return found if isinstance(found, str) else text


def stated(text: str) -> str:
    """Return what a cell says, without blanks around it; empty if it says that this is not known."""
    text = text.strip()
    return "" if text.lower() in UNKNOWN else text


def figure_in(text: str) -> float | None:
    """Return the number that a cell says; None if it says that this is not known.

    Raises `ValueError`, for a number beyond `LARGEST` as well.
    """
    text = stated(text)
    if not text or text.upper() == "NA":  # as R writes what is missing; of a country it is Namibia
        return None
    number = float(text)
    if not abs(number) <= LARGEST or "_" in text:  # NaN is not either; Python reads 1_000
        raise ValueError(f"{text!r} is no number.")
    return number


class ReportLine(Struct, frozen=True):
    """One line of a report by the names of its columns, in lower case."""

    number: int
    values: Mapping[str, str]

    def text(self, *names: str) -> str:
        """Return the first of these columns that is there; empty if it says that there is none."""
        for name in names:
            if name in self.values:
                return stated(self.values[name])
        return ""

    def source(self, name: str) -> str:
        """Return the media source. Raises `ReportRefused` if the line names none."""
        if not (source := self.text(name)):
            raise ReportRefused(f"Line {self.number} of the report names no media source.")
        return source

    def figure(self, name: str) -> float | None:
        """Return a number; None if it is not known. Raises `ReportRefused`."""
        try:
            return figure_in(self.values.get(name, ""))
        except ValueError:
            raise ReportRefused(f"Line {self.number} of the report has no number in {name!r}.") from None

    def whole(self, name: str) -> int | None:
        """Return a whole number; None if it is not known. Raises `ReportRefused`."""
        number = self.figure(name)
        if number is not None and number != int(number):
            raise ReportRefused(f"Line {self.number} of the report has no whole number in {name!r}.")
        return None if number is None else int(number)

    def day(self, *names: str) -> date:
        """Return the date. Raises `ReportRefused`."""
        text = self.text(*names)
        try:
            return date.fromisoformat(text[:10])
        except ValueError:
            raise ReportRefused(f"Line {self.number} of the report has no date in {names[0]!r}.") from None


def header_and_lines(response: HttpResponse, needed: frozenset[str]) -> tuple[list[str], Iterator[ReportLine]]:
    """Return the columns as they are written, and the lines. Raises `ReportRefused`, for the lines while they are read.

    A report without the columns `needed` is none; a line that is shorter or longer than the header may be half a line.
    """
    try:
        text = response.body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ReportRefused("The report is not UTF-8 text.") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    header = [name.strip() for name in next(reader, [])]
    names = [name.lower() for name in header]
    if missing := sorted(needed - set(names)):
        raise ReportRefused(f"What AppsFlyer answered is not a report with the column {missing[0]!r}: check base_url.")

    def lines() -> Iterator[ReportLine]:
        for values in reader:
            if not values:
                continue
            if len(values) != len(names):
                raise ReportRefused(
                    f"Line {reader.line_num} of the report has {len(values)} columns, not {len(names)}."
                )
            yield ReportLine(reader.line_num, dict(zip(names, values, strict=True)))

    return header, lines()
