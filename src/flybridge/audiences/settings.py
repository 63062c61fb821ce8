"""The settings of `[[apps.audiences]]`: which cohort becomes which audience.

The text under each field is its documentation: docs/reference/config.md is printed from it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from flybridge.mapping.conditions import Condition, Name, ShortName
from flybridge.system.secret import Secret

Identifier = Literal["gaid", "oaid", "imei", "idfa", "idfv", "cuid", "braze_id", "amplitude_id"]
Cadence = Literal["once", "hourly", "daily", "realtime"]


class AudienceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An Amplitude cohort that is synced to an AppsFlyer audience."""

    cohort: Name
    """The id of the cohort in Amplitude (the last part of its address)."""
    name: ShortName | None = None
    """The name of the audience in commands and metrics, unique in its app. Absent: the id of the cohort."""
    import_key: Secret | None = None
    """The import key of the audience, from AppsFlyer Audiences. Absent: `flybridge cohorts create` makes the audience
    in AppsFlyer by `apps.appsflyer.api_token`, and keeps its key sealed in the store."""
    identifier: Identifier
    """The identifier that is sent for members. iOS knows `idfa idfv cuid braze_id amplitude_id`, Android `gaid oaid
    imei cuid braze_id amplitude_id`. `cuid` is the Amplitude user id, `amplitude_id` Amplitude's own; the others are
    user properties."""
    property: str = ""
    """The user property that holds the identifier. Empty: the names that the vendors' SDKs use (`adid`, `gaid`,
    `advertising_id`; `idfv`; ...)."""
    where: tuple[Condition, ...] = ()
    """Conditions on user properties that a member must meet to be sent, such as consent. Members who do not, or
    whose property is absent, are counted as lacking."""
    email_property: str = ""
    """The user property with an e-mail address. Its SHA-256 goes to AppsFlyer's additional identifiers. Empty: none."""
    phone_property: str = ""
    """The user property with a phone number that begins with `+` or `00` and the country code. Its SHA-256 goes to
    AppsFlyer's additional-identifiers API. Empty: none."""
    cadence: Cadence = "daily"
    """How often the audience is synced. `once`, `hourly` and `daily` download the cohort if the app has a
    `secret_key`, and Amplitude allows 500 downloads a month on most plans; without one, and with `realtime` (each
    minute), the messages of Amplitude's cohort webhook or list integration count."""
    max_shrink_percent: Annotated[float, Meta(ge=0, le=100)] = 50.0
    """A downloaded cohort that would remove more than this share of the members is not applied until
    `flybridge cohorts run NAME --accept-shrink` says so. 100 applies every cohort."""
    max_missing_percent: Annotated[float, Meta(ge=0, le=100)] = 10.0
    """A downloaded file that lacks more than this share of the members that Amplitude lists for the cohort is held in
    the same way. 100 applies every file."""
    max_devices: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Devices in one request. AppsFlyer names its limit only when it refuses a request; then that limit is used."""


def called(audience: AudienceSettings) -> str:
    """Return the name of an audience."""
    return audience.name or audience.cohort
