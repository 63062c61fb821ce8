"""What is to be known of an app to compare the three counts: where the vendors are asked, and under which names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from flybridge.amplitude.cohort import Credentials
from flybridge.appsflyer.raw_pull import LOOKBACK_DAYS
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.config.apps import App, AppInsight, Platform
from flybridge.config.settings import Config, Insight
from flybridge.flow import Flow
from flybridge.history.pull import PullPlan
from flybridge.insight.comparison import CONVERSIONS
from flybridge.mapping.to_amplitude.classify import DISPLAY
from flybridge.records import Envelope, Filing
from flybridge.wiring import appsflyer_account_of, build_flow, cohort_credentials_of, rules_of


class RawSource(Struct, frozen=True):
    """Where raw data of an app is pulled, how its rows are processed, and where files may lie meanwhile."""

    pull: PullPlan
    filings: Callable[[Sequence[Envelope]], list[Filing]]
    data_dir: Path
    lookback_days: int = LOOKBACK_DAYS


class ReconcilePlan(Struct, frozen=True):
    """How one app is compared: what is `chosen` for all, and the `insight` of the app: its zone, currency and rates.

    `name_of` returns the name of a kind and event in Amplitude, None if it is never sent. `source_property` is the
    property of the event, or of its user (`of_user`), that has the media source; empty if it is not sent. `platform` is
    what tells the app's events from those of another app in the same project, empty if there is none. Without
    `credentials` Amplitude is not asked, without `account` AppsFlyer, and without `raw` no raw data is read.
    """

    app: str
    chosen: Insight
    platform: str
    route: str
    insight: AppInsight
    amplitude_zone: str
    name_of: Callable[[str, str], str | None]
    source_property: str
    of_user: bool
    credentials: Credentials | None
    account: AppsFlyerAccount | None
    raw: RawSource | None

    @property
    def asks(self) -> bool:
        """Whether a vendor can be asked at all."""
        return self.credentials is not None or self.account is not None

    @property
    def by_export(self) -> bool:
        """Whether each event is looked for by its insert id. Those of the Attribution API get one from Amplitude."""
        return self.chosen.reconcile_by_export and not self.of_user


def reconcile_plans_of(config: Config) -> list[ReconcilePlan]:
    """Return how each app of the configuration is compared."""
    shared = Counter(_project(app) for app in config.apps)
    same = Counter((_project(app), app.platform) for app in config.apps)
    flow = build_flow(config)
    return [
        _plan(
            app,
            config.insight,
            platform=DISPLAY.get(app.platform.value, "") if shared[_project(app)] > 1 else "",
            is_alone=same[_project(app), app.platform] == 1,
            raw=_raw(app, config, flow),
        )
        for app in config.apps
    ]


def _project(app: App) -> tuple[str, str]:
    return app.amplitude.api_key.reveal(), app.amplitude.base_url


def _raw(app: App, config: Config, flow: Flow) -> RawSource | None:
    account = appsflyer_account_of(app)
    if not config.insight.reconcile_by_raw_data or account is None or app.platform is Platform.OTHER:
        return None
    return RawSource(PullPlan(app.name, account, app.history.reports), flow.filings, config.data_dir)


def _plan(app: App, chosen: Insight, *, platform: str, is_alone: bool, raw: RawSource | None) -> ReconcilePlan:
    rules = rules_of(app)
    return ReconcilePlan(
        app.name,
        chosen,
        platform,
        rules.route,
        app.insight,
        app.amplitude.timezone,
        _naming(app),
        "" if "media_source" in rules.without else f"{rules.mark}media source",
        rules.route != "http_v2",
        # Two apps of one platform in one project can't be told apart there.
        cohort_credentials_of(app) if is_alone else None,
        # Apps of other platforms have no aggregate reports.
        appsflyer_account_of(app) if app.platform is not Platform.OTHER else None,
        raw,
    )


def _naming(app: App) -> Callable[[str, str], str | None]:
    rules = rules_of(app)
    compiled = rules.compiled

    def name(kind: str, event: str) -> str | None:
        if kind in CONVERSIONS:
            return compiled.conversion_name[kind]
        return compiled.in_app_name(event) if rules.route == "http_v2" else None

    return name
