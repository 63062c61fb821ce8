"""From the configuration to plans: which audiences there are, and how each is kept in step."""

from __future__ import annotations

from collections.abc import Mapping

from flybridge.amplitude import cohort
from flybridge.appsflyer import audience
from flybridge.audiences.work import Plan
from flybridge.cohorts import Condition, Rule
from flybridge.config import App, Audience, Cadence, Config
from flybridge.config_apps import called


def plans_of(config: Config) -> Mapping[tuple[str, str], Plan]:
    """Give how the audiences of all apps are kept in step, by app and name."""
    return {(app.name, called(one)): _plan(app, one) for app in config.apps for one in app.audiences}


def rules_of(app: App) -> tuple[Rule, ...]:
    """Give how members of the app's audiences are listed."""
    return tuple(_rule(app, one) for one in app.audiences)


def account_of(app: App) -> cohort.Account | None:
    """Give whose cohorts are downloaded; None if the app has no secret key."""
    secret = app.amplitude.secret_key
    if secret is None:
        return None
    host = app.amplitude.base_url or cohort.ORIGINS[app.amplitude.region.value]
    return cohort.Account(host, app.amplitude.api_key.reveal(), secret.reveal())


def _plan(app: App, one: Audience) -> Plan:
    token = app.appsflyer.api_token
    return Plan(
        _rule(app, one),
        audience.Audience(
            app.appsflyer_app_id,
            app.platform.value,
            one.import_key.reveal(),
            token.reveal() if token else "",
            app.appsflyer.base_url,
        ),
        one.cadence.value,
        None if one.cadence is Cadence.REALTIME else account_of(app),
        one.max_devices,
        one.max_shrink_percent / 100,
    )


def _rule(app: App, one: Audience) -> Rule:
    return Rule(
        app.name,
        called(one),
        one.cohort,
        one.identifier.value,
        _name(one.property),
        _name(one.email_property),
        _name(one.phone_property),
        tuple(Condition(where.property, where.one_of, where.none_of) for where in one.where),
    )


def _name(property_name: str) -> str:
    return property_name.removeprefix("user_properties.")
