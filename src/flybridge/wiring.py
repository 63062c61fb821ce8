"""Builds mapping rules, endpoints, limits, intake apps and audience plans from the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import asdict

from flybridge.amplitude import cohort
from flybridge.amplitude.attribution import AttributionApi
from flybridge.amplitude.upload import Batch, History, HttpV2, origin
from flybridge.appsflyer import audience
from flybridge.appsflyer.inapp_event import ORIGIN as APPSFLYER
from flybridge.appsflyer.inapp_event import InAppEvent
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.audiences.plan import AudiencePlan
from flybridge.audiences.rules import AudienceRule
from flybridge.audiences.settings import AudienceSettings, called
from flybridge.clock import Clock
from flybridge.config.apps import App, streams_of
from flybridge.config.settings import Config
from flybridge.delivery.exchange import Download, Endpoint
from flybridge.errors import ConfigError
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.insight.performance import AppScope
from flybridge.mapping.to_amplitude.map import Rules
from flybridge.notifications.channel import Channel, HttpTarget, SlackChannel, WebhookChannel
from flybridge.notifications.mail import MailChannel
from flybridge.records import HOUR_MS
from flybridge.store.records import Lane
from flybridge.system.secret import Secret
from flybridge.web.intake import IntakeApp, StreamRoutes


def rules_of(app: App, path: str = "apps") -> Rules:
    """Return the mapping rules of one app. Raises `ConfigError`; `path` is the app's path in the configuration."""
    try:
        return Rules(
            app=app.name,
            platform=app.platform.value,
            app_id=app.appsflyer_app_id,
            route=app.route.value,
            min_id_length=app.amplitude.min_id_length,
            restrictions={source: policy.value for source, policy in app.restrictions.items()},
            **asdict(app.mapping),
        )
    except ConfigError as error:
        section = path if error.path.startswith("restrictions.") else f"{path}.mapping"
        raise ConfigError(f"{section}.{error.path}", error.problem, error.remedy) from None


def check(config: Config) -> None:
    """Build everything that `serve` builds from the configuration alone. Raises `ConfigError` for what can't work."""
    build_flow(config)
    for app in config.apps:
        _ = rules_of(app).compiled
    endpoints_of(config)
    intake_apps_of(config)
    plans_of(config)


def build_flow(config: Config) -> Flow:
    """Build the flow of all apps."""
    apps = {
        app.name: AppFlow(
            rules_of(app, f"apps[{number}]"),
            hold_window_hours=app.hold.window_hours,
            hold_attribution=app.hold.v1 == "when-seen",
            customer_user_at_expiry=app.hold.at_expiry == "send-as-customer-user-id",
            kept=config.retention,
            current_ms=round(app.amplitude.current_hours * HOUR_MS),
            streams=streams_of(app, f"apps[{number}]"),
            stream_fields=app.amplitude.stream_fields,
            audiences=tuple(AudienceRule(app.name, one) for one in app.audiences),
            counting=app.insight,
        )
        for number, app in enumerate(config.apps)
    }
    return Flow(apps, Keyring(*config.secrets))


def scopes_of(config: Config, now_ms: int) -> list[AppScope]:
    """Return what reports of performance have to know of each app."""
    return [
        AppScope(
            app.name,
            app.insight.currency,
            app.insight.rates,
            app.platform.value,
            app.insight.day(now_ms),
            app.insight.timezone,
        )
        for app in config.apps
    ]


def endpoints_of(config: Config) -> Mapping[Lane, Endpoint]:
    """Build the endpoints of all apps, both routes of each: after a change of route the old one is still emptied."""
    endpoints: dict[Lane, Endpoint] = {}
    for app in config.apps:
        key = app.amplitude.api_key.reveal()
        host = origin(app.amplitude.region.value, app.amplitude.base_url)
        to_amplitude: list[Endpoint] = [
            upload(
                key,
                host,
                min_id_length=app.amplitude.min_id_length,
                gzip=config.delivery.gzip,
                current_ms=round(app.amplitude.current_hours * HOUR_MS),
            )
            for upload in (Batch if app.amplitude.batch else HttpV2, History)
        ]
        to_amplitude.append(AttributionApi(key, host))
        for endpoint in to_amplitude:
            endpoint.limits = config.delivery.tuned(endpoint.limits)
            endpoints[Lane(app.name, endpoint.name)] = endpoint
        if app.appsflyer.s2s_key:  # also without streams: what was filed while there were some is sent
            to_appsflyer = InAppEvent(
                app.appsflyer.s2s_key.reveal(),
                app.appsflyer_app_id,
                app.appsflyer.base_url or APPSFLYER,
                concurrency=config.delivery.concurrency or app.appsflyer.s2s_concurrency,
                requests_per_s=app.appsflyer.s2s_requests_per_s or config.delivery.requests_per_s,
            )
            endpoints[Lane(app.name, to_appsflyer.name)] = to_appsflyer
    return endpoints


def intake_apps_of(config: Config) -> list[IntakeApp]:
    """Return the intake settings of all apps."""
    return [
        IntakeApp(
            name=app.name,
            push_token=clear(app.appsflyer.push_token),
            former_push_tokens=tuple(token.reveal().encode() for token in app.appsflyer.former_push_tokens),
            stream_token=clear(app.amplitude.webhook_token),
            token_header=app.appsflyer.token_header.lower().encode(),
            takes_apart=bool(app.streams or app.amplitude.shared_with),
            cohorts=frozenset(one.cohort for one in app.audiences),
            routes=_routes(config, app),
        )
        for app in config.apps
    ]


def _routes(config: Config, app: App) -> StreamRoutes | None:
    others = [other for name in app.amplitude.shared_with if (other := config.app(name)) is not None]
    if not others:
        return None
    by_platform = {one.platform.value: one.name for one in (*others, app)}
    return StreamRoutes(app.name, by_platform, app.amplitude.stream_fields)


def clear(secret: Secret | None) -> bytes | None:
    """Return the bytes of a secret; None if there is none."""
    return None if secret is None else secret.reveal().encode()


def plans_of(config: Config) -> Mapping[tuple[str, str], AudiencePlan]:
    """Return the plans of the audiences of all apps, by app and name."""
    return {(app.name, called(one)): _plan(app, one) for app in config.apps for one in app.audiences}


def cohort_credentials_of(app: App) -> cohort.Credentials | None:
    """Return the credentials for cohort downloads; None if the app has no secret key."""
    secret = app.amplitude.secret_key
    if secret is None:
        return None
    host = app.amplitude.base_url or cohort.ORIGINS[app.amplitude.region.value]
    return cohort.Credentials(host, app.amplitude.api_key.reveal(), secret.reveal())


def appsflyer_account_of(app: App) -> AppsFlyerAccount | None:
    """Return the app in AppsFlyer; None if there is no API token."""
    token = app.appsflyer.api_token
    if token is None:
        return None
    return AppsFlyerAccount(app.appsflyer_app_id, token.reveal(), app.appsflyer.base_url)


def _plan(app: App, one: AudienceSettings) -> AudiencePlan:
    return AudiencePlan(
        AudienceRule(app.name, one),
        audience.ImportTarget(
            appsflyer_account_of(app) or AppsFlyerAccount(app.appsflyer_app_id, "", app.appsflyer.base_url),
            app.platform.value,
            one.import_key.reveal() if one.import_key is not None else "",
        ),
        None if one.cadence == "realtime" else cohort_credentials_of(app),
        app.amplitude.cohort_reserve,
    )


def channels_of(config: Config, download: Download, clock: Clock) -> list[Channel]:
    """Return the channels of notifications."""
    notify, found = config.notify, list[Channel]()
    if hook := notify.webhook:
        target = HttpTarget(hook.url.reveal(), hook.private)
        found.append(WebhookChannel(target, hook.secret.reveal().encode(), download, clock))
    if slack := notify.slack:
        found.append(SlackChannel(HttpTarget(slack.url.reveal(), slack.private), download))
    if notify.email:
        found.append(MailChannel(notify.email))
    return found


def channel_names(config: Config) -> tuple[str, ...]:
    """Return the names of the channels of notifications."""
    notify = config.notify
    ways = (("webhook", notify.webhook), ("slack", notify.slack), ("email", notify.email))
    return tuple(name for name, way in ways if way is not None)
