"""Checks of the settings of apps that span several of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec.structs import fields

from flybridge.appsflyer.app_id import plain_app_id
from flybridge.audiences.settings import AudienceSettings, Identifier, called
from flybridge.config.apps import App, AppInsight, AppsFlyer, Platform, Route, streams_of
from flybridge.config.check import check_origin, check_zone
from flybridge.config.spelling import check_spelling
from flybridge.errors import ConfigError
from flybridge.mapping.conditions import Condition
from flybridge.mapping.to_appsflyer.settings import Stream
from flybridge.system.secret import Secret

MAX_TOKEN_CHARACTERS: Final = 2000

# What AppsFlyer lets a customer enter as the Push API token
# (https://support.appsflyer.com/hc/en-us/articles/207034356, read 2026-11-24).
_TOKEN = re.compile(r"[A-Za-z0-9\-_. \t]+")
_KEY = re.compile(r"""[^"'\x00-\x1f\x7f-\U0010ffff]*""")
_IOS_APP_ID = re.compile(r"id[0-9]+")
_APP_ID = re.compile(r"[^\s/?#]+")

# https://dev.appsflyer.com/hc/reference/audience-import (read 2026-11-24)
_BOTH: Final[frozenset[Identifier]] = frozenset({"cuid", "braze_id", "amplitude_id"})
AUDIENCE_IDENTIFIERS: Final = {
    Platform.ANDROID: _BOTH | {"gaid", "oaid", "imei"},
    Platform.IOS: _BOTH | {"idfa", "idfv"},
    Platform.OTHER: frozenset[Identifier](),
}


def check_app(path: str, app: App, *, open_intake: bool) -> None:
    """Raise `ConfigError` if settings of an app contradict each other. `open_intake` allows an empty push token."""
    if app.platform is Platform.IOS and not _IOS_APP_ID.fullmatch(app.appsflyer_app_id):
        digits = app.appsflyer_app_id.isascii() and app.appsflyer_app_id.isdigit()
        raise ConfigError(
            f"{path}.appsflyer_app_id",
            f"{app.appsflyer_app_id!r} is not an iOS app id: that is `id` and digits.",
            f'Write "id{app.appsflyer_app_id}".' if digits else 'Write it as in AppsFlyer, such as "id123456789".',
        )
    if app.platform is Platform.ANDROID and _IOS_APP_ID.fullmatch(app.appsflyer_app_id):
        raise ConfigError(
            f"{path}.appsflyer_app_id",
            f"{app.appsflyer_app_id!r} is an iOS app id, and the platform is android.",
            'Write the package name, such as "com.example.shop", or platform = "ios".',
        )
    if app.platform is Platform.ANDROID and app.appsflyer_app_id.isascii() and app.appsflyer_app_id.isdigit():
        raise ConfigError(
            f"{path}.appsflyer_app_id",
            f"{app.appsflyer_app_id!r} is no id of an Android app: that is its package name.",
            f'Write it as in AppsFlyer, such as "com.example.shop"; an iOS app is "id{app.appsflyer_app_id}", and has '
            'platform = "ios".',
        )
    if not _APP_ID.fullmatch(app.appsflyer_app_id):
        raise ConfigError(
            f"{path}.appsflyer_app_id",
            f"{app.appsflyer_app_id[:60]!r} is not an app id: it holds a blank, a slash or a question mark.",
            "Write the id alone, as it stands in AppsFlyer, not the address of a store's page.",
        )
    if app.route is Route.ATTRIBUTION and app.platform is Platform.OTHER:
        raise ConfigError(
            f"{path}.route",
            "Amplitude's Attribution API knows android and ios only.",
            'Write route = "http_v2", or correct the platform.',
        )
    check_origin(f"{path}.appsflyer.base_url", app.appsflyer.base_url)
    check_origin(f"{path}.amplitude.base_url", app.amplitude.base_url)
    _check_push_tokens(f"{path}.appsflyer", app.appsflyer, open_intake=open_intake)
    _check_keys(path, app)
    if not app.mapping.include:
        raise ConfigError(
            f"{path}.mapping.include", "is an empty list, so nothing would be sent.", 'Write ["*"] to send all events.'
        )
    _check_insight(f"{path}.insight", app.insight)
    if app.insight.costs != "nowhere":
        _needs(f"{path}.appsflyer.api_token", app.appsflyer.api_token, "apps.insight.costs")
    check_zone(f"{path}.amplitude.timezone", app.amplitude.timezone)
    check_spelling(path, app)
    for number, stream in enumerate(app.streams):
        _check_stream(f"{path}.streams[{number}]", stream)
    _check_conditions(f"{path}.mapping", app.mapping.where)
    streams_of(app, path)
    if app.streams:
        _needs(f"{path}.appsflyer.s2s_key", app.appsflyer.s2s_key, f"{path}.streams")
        _needs(f"{path}.amplitude.webhook_token", app.amplitude.webhook_token, f"{path}.streams")
    _check_audiences(path, app)


def check_trailing_days(path: str, app: App, dedup_days: int) -> None:
    """Raise `ConfigError` if more days are pulled by schedule than what was pushed is remembered for."""
    days = app.history.trailing_days
    if app.history.pull_every_hours and days > dedup_days:
        raise ConfigError(
            f"{path}.history.trailing_days",
            f"is {days}, more than retention.dedup_days ({dedup_days}): events from before would be sent again.",
            f"Write trailing_days = {dedup_days} or less, or set retention.dedup_days to {days}.",
        )


def check_shared(apps: Sequence[App]) -> None:
    """Raise `ConfigError` if events of a stream can't be told apart by the platforms of the apps that share it."""
    known = {app.name: app for app in apps}
    for number, app in enumerate(apps):
        path, platforms = f"apps[{number}].amplitude.shared_with", {app.platform}
        for name in app.amplitude.shared_with:
            other = known.get(name)
            if other is None or other is app:
                raise ConfigError(path, f"names {name!r}, which is not another app.", "Name apps of the same file.")
            if (other.amplitude.api_key, other.amplitude.region) != (app.amplitude.api_key, app.amplitude.region):
                raise ConfigError(
                    path, f"names {name!r}, which is of another Amplitude project.", "Name apps with the same api_key."
                )
            if other.platform in platforms:
                raise ConfigError(
                    path,
                    f"has two apps of the platform {other.platform.value!r}.",
                    "Events are given to apps by their platform: name one app of each.",
                )
            platforms.add(other.platform)


def check_never_both(apps: Sequence[App]) -> None:
    """Refuse two entries that send one AppsFlyer app to one Amplitude project, whatever their routes.

    Each install would be there twice. Two apps in one project, and one app in two projects, stay possible.
    """
    seen: dict[tuple[str, str, str], int] = {}
    for number, app in enumerate(apps):
        pair = (plain_app_id(app.appsflyer_app_id), app.amplitude.api_key.reveal().strip(), app.amplitude.base_url)
        if pair in seen:
            raise ConfigError(
                f"apps[{number}].appsflyer_app_id",
                f"apps[{seen[pair]}] ({apps[seen[pair]].name}) is the same AppsFlyer app and sends to the same "
                "Amplitude project: every install would be there twice.",
                "Remove one of the two entries. An app has one route; to try the other one, use another project.",
            )
        seen[pair] = number


def _check_keys(path: str, app: App) -> None:
    """Raise `ConfigError` for a key with what was copied along: quotes, line ends, and signs that can't be seen."""
    keys = {
        "amplitude.api_key": app.amplitude.api_key,
        "amplitude.secret_key": app.amplitude.secret_key,
        "appsflyer.s2s_key": app.appsflyer.s2s_key,
        "appsflyer.api_token": app.appsflyer.api_token,
    }
    for name, key in keys.items():
        if key is not None and not _KEY.fullmatch(key.reveal()):
            raise ConfigError(
                f"{path}.{name}",
                "holds a quote, a line end or a sign that is no letter, digit or mark of ASCII: no key has one.",
                "Copy it anew, alone.",
            )


def _check_push_tokens(path: str, appsflyer: AppsFlyer, *, open_intake: bool) -> None:
    token = appsflyer.push_token
    if token is None:
        raise ConfigError(
            f"{path}.push_token",
            "is missing.",
            "Enter a token in AppsFlyer's Push API settings and write it here, best as "
            '"env:NAME". Only while server.host is a loopback address may it be "".',
        )
    value = token.reveal()
    if not value and not open_intake:
        raise ConfigError(
            f"{path}.push_token",
            "is empty, and server.host can be reached from other machines: anybody could send events.",
            "Set a token, the same as in AppsFlyer's Push API settings.",
        )
    if appsflyer.former_push_tokens and not value:
        raise ConfigError(
            f"{path}.former_push_tokens", "is of no use while push_token is empty.", "Set push_token, or leave it out."
        )
    tokens = {f"{path}.push_token": value} if value else {}
    for number, former in enumerate(appsflyer.former_push_tokens):
        tokens[f"{path}.former_push_tokens[{number}]"] = former.reveal()
    for name, one in tokens.items():
        if not _TOKEN.fullmatch(one) or len(one) > MAX_TOKEN_CHARACTERS:
            raise ConfigError(
                name,
                "holds characters that AppsFlyer does not take in a token, or too many.",
                f"Use letters, digits, `-`, `_` and `.`, {MAX_TOKEN_CHARACTERS} characters at most.",
            )


def _check_stream(path: str, stream: Stream) -> None:
    if not stream.events:
        raise ConfigError(f"{path}.events", "is an empty list.", 'Name events, or write ["*"] for all of them.')
    _check_conditions(path, stream.where)


def _check_conditions(path: str, conditions: Sequence[Condition]) -> None:
    for number, where in enumerate(conditions):
        here = f"{path}.where[{number}]"
        if where.exists and where.absent:
            raise ConfigError(here, "asks for a property that is present and absent.", "Remove `exists` or `absent`.")
        operators = [field for field in fields(Condition) if field.name != "path"]
        if all(getattr(where, field.name) == field.default for field in operators):
            words = ", ".join(field.encode_name for field in operators)
            raise ConfigError(here, "asks for nothing.", f"Add one of {words}.")


def _check_audiences(path: str, app: App) -> None:
    seen: set[tuple[str, Secret | None]] = set()
    names: set[str] = set()
    for number, audience in enumerate(app.audiences):
        here = f"{path}.audiences[{number}]"
        _check_identifier(f"{here}.identifier", audience, app)
        if audience.import_key is not None and (audience.cohort, audience.import_key) in seen:
            raise ConfigError(f"{here}.cohort", "goes to the same audience twice.", "Remove one of the two sections.")
        seen.add((audience.cohort, audience.import_key))
        if called(audience) in names:
            raise ConfigError(
                f"{here}.name", f"{called(audience)!r} is another audience's name, too.", "Give each a name of its own."
            )
        names.add(called(audience))
        _check_additional(here, audience)
        _check_conditions(here, audience.where)
    if app.audiences:
        _needs(f"{path}.appsflyer.api_token", app.appsflyer.api_token, f"{path}.audiences")
    if app.audiences and not (app.amplitude.secret_key or app.amplitude.webhook_token):
        raise ConfigError(
            f"{path}.amplitude.secret_key",
            f"is missing, and {path}.audiences needs it.",
            "Set it to download cohorts, or set webhook_token to have Amplitude send them.",
        )


def _check_additional(path: str, audience: AudienceSettings) -> None:
    extra = audience.email_property or audience.phone_property
    if extra and audience.identifier in {"braze_id", "amplitude_id"}:
        raise ConfigError(
            f"{path}.{'email_property' if audience.email_property else 'phone_property'}",
            f"can't be used with the identifier {audience.identifier!r}: AppsFlyer's additional identifiers need "
            "one that it knows devices by.",
            "Use another identifier, or leave it out.",
        )


def _check_identifier(path: str, audience: AudienceSettings, app: App) -> None:
    platform, fitting = app.platform, AUDIENCE_IDENTIFIERS[app.platform]
    if audience.identifier not in fitting:
        raise ConfigError(
            path,
            f"{audience.identifier!r} is not an identifier of audiences on {platform.value}.",
            f"Use one of {', '.join(sorted(fitting))}." if fitting else "Audiences need an Android or iOS app.",
        )
    differ = app.mapping.customer_user == "never"
    if audience.identifier == "cuid" and differ and not audience.property:
        raise ConfigError(
            path,
            "'cuid' lists Amplitude's user ids, and mapping.customer_user_id says that AppsFlyer's differ from them.",
            "Name the user property that holds AppsFlyer's customer user id as `property`, or use another identifier.",
        )


def _needs(path: str, value: Secret | None, because: str) -> None:
    if not value:
        raise ConfigError(path, f"is missing, and {because} needs it.", f"Set it, or remove {because}.")


def _check_insight(path: str, insight: AppInsight) -> None:
    check_zone(f"{path}.timezone", insight.timezone)
    for code in insight.rates:
        if len(code) != 3 or not code.isascii() or not code.isupper():
            raise ConfigError(
                f"{path}.rates.{code}", "is not the code of a currency.", 'Write three capital letters, such as "EUR".'
            )
