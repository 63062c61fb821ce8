"""Settings of one app: its AppsFlyer side, its Amplitude side, and what is done between them.

The text under each field is its documentation: docs/reference/config.md is printed from it.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field
from msgspec.structs import asdict

from flybridge.appsflyer.raw_pull import USUAL, PulledReport
from flybridge.audiences.settings import AudienceSettings
from flybridge.errors import ConfigError
from flybridge.identity.matching import MAX_WINDOW_HOURS
from flybridge.mapping.conditions import Name, ShortName
from flybridge.mapping.counting import Counting
from flybridge.mapping.restrictions import Policy
from flybridge.mapping.to_amplitude.settings import EventMapping
from flybridge.mapping.to_appsflyer.rules import StreamRules
from flybridge.mapping.to_appsflyer.settings import Stream
from flybridge.system.secret import MAY_BE_EMPTY, Secret

HeaderName = Annotated[
    str,
    Meta(
        pattern=r"\A(Authorization|[Xx]-[A-Za-z0-9_-]{1,28})\Z",
        description="`Authorization`, or `X-` and letters, digits, `-` and `_`, 30 characters at most",
    ),
]


class Platform(StrEnum):
    """The platform of the app."""

    ANDROID = "android"
    IOS = "ios"
    OTHER = "other"


class Route(StrEnum):
    """How attribution reaches Amplitude. One of the two: both at once would double every event."""

    HTTP_V2 = "http_v2"
    ATTRIBUTION = "attribution"


class Region(StrEnum):
    """Where the Amplitude project keeps its data."""

    US = "us"
    EU = "eu"


class AppsFlyer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The AppsFlyer side of the app."""

    push_token: Annotated[Secret, MAY_BE_EMPTY] | None = None
    """The token AppsFlyer sends with every Push API message. Required. It may be the empty text only while
    `server.host` is a loopback address: unauthenticated intake, for trials on one machine."""
    former_push_tokens: tuple[Secret, ...] = ()
    """Tokens that are taken as well, while a new `push_token` is entered in AppsFlyer."""
    token_header: HeaderName = "Authorization"  # noqa: S105 - a header name
    """The header that carries `push_token`, as chosen in AppsFlyer's Push API settings."""
    s2s_key: Secret | None = None
    """The server-to-server key. Needed by `apps.streams`."""
    s2s_concurrency: Annotated[int, Meta(ge=1, le=2_000)] = 1_000
    """The most server-to-server requests in flight. Each holds one event, so the events sent per second are
    this number divided by AppsFlyer's response time. Only as many requests are in flight as the event rate
    needs; after a crash those in flight are uncertain."""
    s2s_requests_per_s: Annotated[float, Meta(ge=0, le=100_000)] = 0.0
    """The most server-to-server requests in a second. 0 sets no limit; AppsFlyer's help
    centre has named 60,000 a minute."""
    api_token: Secret | None = None
    """The API token V2. Needed by `apps.audiences`, and by what reads AppsFlyer's reports: `flybridge pull`, `gaps`,
    `costs` and `reconcile`; also by `setup --apply`, and by `forget` to ask AppsFlyer."""
    base_url: str = ""
    """Empty: AppsFlyer's own hosts. Set: every AppsFlyer call goes to this origin, with the same paths; for example
    to send a staging app to the sandbox."""


class Amplitude(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Amplitude side of the app."""

    api_key: Secret
    """The API key of the Amplitude project."""
    secret_key: Secret | None = None
    """The secret key of the project. Needed to download cohorts, to compare counts, and by `flybridge forget`."""
    cohort_reserve: Annotated[int, Meta(ge=0, le=1_000_000)] = 50
    """How many cohort downloads of the month scheduled runs leave unused, for runs by hand. Amplitude allows 500 on
    most plans, and counts them over all of an organisation's tools."""
    region: Region = Region.US
    """Where the project keeps its data. It is never guessed: Amplitude refuses the API key in the wrong
    region."""
    base_url: str = ""
    """Empty: Amplitude's own hosts for the region. Set: every Amplitude call goes to this origin."""
    timezone: Name = "UTC"
    """The time zone of the project, by its IANA name, as Amplitude's project settings show it. Its days are compared
    with those of the app (`apps.insight.timezone`) by the hour."""
    min_id_length: Annotated[int, Meta(ge=1, le=64)] = 5
    """The shortest user or device id that is used. Amplitude's own minimum is five characters; requests override it
    if this is less."""
    current_hours: Annotated[float, Meta(ge=0, le=8_760)] = 1.0
    """How long after its reception a message says what is current of its user. What is sent later, because it waited
    for its user or for Amplitude, keeps its own app version, place and the like, and leaves those of the user as they
    are (`$skip_user_properties_sync`). Attribution is set in any case."""
    batch: bool = False
    """Whether events of the route `http_v2` are sent by the Batch Event Upload API: 20 MB in a request instead of 1,
    and up to 1,000 events a second of one user or device instead of 30."""
    webhook_token: Secret | None = None
    """The token that Amplitude's event stream and cohort webhooks send in the `Authorization` header. Absent:
    `/v1/stream/{app}` and `/v1/cohorts/{app}` refuse everything."""
    shared_with: tuple[ShortName, ...] = ()
    """Other apps of the same Amplitude project, by name, one of a platform: events of their platform that are sent to
    this app's `/v1/stream/` are theirs, so that the project needs one webhook. Users go to all of them."""
    stream_fields: dict[str, Name] = field(default_factory=dict)
    """Field names of a webhook template of your own: a field of Amplitude's default payload (`event_type`,
    `event_time`, `user_id`, `user_properties`, `user_properties.plan`), and its path in your message (`name`,
    `properties`)."""


class HoldSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How attribution waits for its user."""

    window_hours: Annotated[float, Meta(gt=0, le=MAX_WINDOW_HOURS)] = 72.0
    """How long attribution waits for a sighting of its user, in hours since reception."""
    at_expiry: Literal["drop", "send-as-customer-user-id"] = "drop"
    """What happens after that. `drop` ends it as expired; `send-as-customer-user-id` sends what has a customer user id
    under that id, which makes a new user in Amplitude if there is none."""
    v1: Literal["immediately", "when-seen"] = "immediately"
    """When the route `attribution` sends: `immediately`, so that Amplitude waits for the user (72 hours, then it drops
    the event silently), or `when-seen`, so that flybridge waits and accounts for what never matched."""


class AppInsight(Counting, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the app's performance is counted. What is counted already stays as it was counted."""

    costs: Literal["nowhere", "aggregate", "master"] = "nowhere"
    """Where spend, clicks and impressions are pulled from every `insight.costs_every_hours`: AppsFlyer's Aggregate Pull
    API (`aggregate`), which every plan has, or its Master API (`master`), which is premium. Both need
    `appsflyer.api_token`."""
    cost_files: Path | None = None
    """A folder with files of AppsFlyer's Cost ETL (a mounted bucket, or a copy of it), read as often. A relative one
    starts at the configuration file. Absent: none. It needs `pip install 'flybridge[parquet]'`."""


class AppHistory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is read of AppsFlyer beside its pushes, because it does not push a message again."""

    pull_every_hours: Annotated[float, Meta(ge=0, le=168)] = 0.0
    """How often `serve` pulls the reports of the last days. 0: not at all. Each time costs one call of each report's
    quota of the day, or more for a full one. Needs `apps.appsflyer.api_token`."""
    reports: tuple[PulledReport, ...] = USUAL
    """The reports that are pulled, in this order."""
    trailing_days: Annotated[int, Meta(ge=1, le=89)] = 3
    """How many days are read again each time: events of devices that were offline come days late. No more than
    `retention.dedup_days`."""
    locker: str = ""
    """The address of a Data Locker, `s3://bucket/home`, `gs://` or `az://`, or a directory. `serve` reads what is
    written there. Empty: none."""
    locker_wait_hours: Annotated[float, Meta(ge=0, le=48)] = 5.0
    """How long an hour's folder without `_SUCCESS` is waited for, after its newest file."""
    gaps: bool = True
    """Whether `serve` compares the last days with the Pull API once a day, or with the Data Locker where there is no
    `api_token`, and reads what is missing."""


class App(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One app: an AppsFlyer app and the Amplitude project it is joined with."""

    name: ShortName
    """Appears in addresses, metrics and reports."""
    appsflyer_app_id: Name
    """The app's id in AppsFlyer: `com.example.shop` for Android, `id123456789` for iOS."""
    platform: Platform
    """What the app runs on."""
    route: Route = Route.HTTP_V2
    """How attribution reaches Amplitude. `http_v2` sends events with a known user, and in-app events; `attribution`
    sends installs and re-engagements to the Attribution API, where Amplitude looks for the user."""
    appsflyer: AppsFlyer = field(default_factory=AppsFlyer)
    """The AppsFlyer side of the app."""
    amplitude: Amplitude
    """The Amplitude side of the app."""
    hold: HoldSettings = field(default_factory=HoldSettings)
    """How attribution waits for its user."""
    mapping: EventMapping = field(default_factory=EventMapping)
    """How a postback becomes an Amplitude event."""
    restrictions: dict[str, Policy] = field(default_factory=dict)
    """What may be sent about a media source, or one kind of its touches (`"Facebook Ads/impression"`), and under
    `default` about all others. `pass` sends all, `redact` sends the event without source and campaign, `organic` sends
    it as organic, `drop` sends nothing. Defaults: `restricted` (as AppsFlyer reports sources that forbid
    sharing) and the view-through attribution of sources on AppsFlyer's list are `redact`, `default` is `pass`."""
    insight: AppInsight = field(default_factory=AppInsight)
    """How the app's performance is counted."""
    history: AppHistory = field(default_factory=AppHistory)
    """What is read of AppsFlyer beside its pushes."""
    streams: tuple[Stream, ...] = ()
    """Amplitude events that go to AppsFlyer."""
    audiences: tuple[AudienceSettings, ...] = ()
    """Amplitude cohorts that go to AppsFlyer Audiences."""

    @property
    def by_attribution(self) -> bool:
        """Whether both copies of an event that AppsFlyer attributes twice are sent."""
        return self.mapping.double_attribution == "both"


def streams_of(app: App, path: str = "") -> tuple[StreamRules, ...]:
    """Return the rules of an app's streams. Raises `ConfigError`; `path` is the app's path in the configuration."""
    found = []
    for number, stream in enumerate(app.streams):
        try:
            found.append(_stream_rules(app, stream))
        except ConfigError as error:
            raise ConfigError(f"{path}.streams[{number}].{error.path}", error.problem, error.remedy) from None
    return tuple(found)


def _stream_rules(app: App, stream: Stream) -> StreamRules:
    return StreamRules(
        app=app.name,
        platform=app.platform.value,
        prefix=f"[{app.mapping.prefix}] ",
        use_customer_user_id=app.mapping.customer_user != "never",
        **asdict(stream),
    )
