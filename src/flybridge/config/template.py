"""The configuration file that `flybridge init` writes, and the values to enter at the vendors."""

from __future__ import annotations

import json
from typing import Final

from msgspec import Struct, structs

from flybridge.config.apps import App, Platform, Region, Route
from flybridge.config.settings import Config


class Answers(Struct, frozen=True, kw_only=True):
    """Input of `flybridge init`. Secrets are written as given, best as references."""

    name: str
    appsflyer_app_id: str
    platform: Platform
    route: Route = Route.HTTP_V2
    region: Region = Region.US
    host: str = "127.0.0.1"
    port: int = 8700
    public_url: str = ""
    secret: str = "env:FLYBRIDGE_SECRET"  # noqa: S105 - a reference
    push_token: str = "env:AF_PUSH_TOKEN"  # noqa: S105 - a reference
    api_key: str = "env:AMPLITUDE_API_KEY"
    webhook_token: str = "env:AMPLITUDE_WEBHOOK_TOKEN"  # noqa: S105 - a reference


TEMPLATE: Final = """\
# flybridge: joins AppsFlyer and Amplitude.
# Any text may be "env:NAME" (an environment variable) or "file:PATH" (the content of a file).
# All keys: docs/reference/config.md.

# The directory of messages and state. A relative path starts at this file.
data_dir = "./data"

# The key for hashing identifiers and encrypting stored data. 16 characters or more; keep it safe: if it is lost,
# queued data cannot be decrypted. To change it, move the old one to `former_secrets`.
secret = {secret}
# former_secrets = ["env:FLYBRIDGE_FORMER_SECRET"]

[server]
# Put a proxy that speaks TLS in front before AppsFlyer sends here.
host = {host}
port = {port}
# The address at which AppsFlyer and Amplitude reach flybridge.
public_url = {public_url}

# [console]
# Without a password the console answers on this machine only.
# password = "env:FLYBRIDGE_CONSOLE_PASSWORD"

[[apps]]
name = {name}
appsflyer_app_id = {appsflyer_app_id}
platform = {platform}
# "http_v2": events with a known user, and in-app events. "attribution": Amplitude looks for the user itself.
# See docs/how-to/choose-a-route.md.
route = {route}

[apps.appsflyer]
# The token of the Push API settings in AppsFlyer.
push_token = {push_token}
# Needed to send Amplitude events to AppsFlyer ([[apps.streams]]):
# s2s_key = "env:AF_S2S_KEY"
# Needed for audiences ([[apps.audiences]]), and to read AppsFlyer's reports:
# api_token = "env:AF_API_TOKEN"

[apps.amplitude]
api_key = {api_key}
# Needed to download cohorts, and to compare counts with Amplitude's:
# secret_key = "env:AMPLITUDE_SECRET_KEY"
# "us" or "eu": where the project keeps its data.
region = {region}
# The token that Amplitude sends with its event stream. flybridge learns its users from the stream, so that held
# attribution is matched to them.
webhook_token = {webhook_token}

[apps.mapping]
# Amplitude adds up the revenue of all events as plain numbers, whatever their currency, so that it is sent in one.
revenue = "usd"

# The zone and currency of the figures: those that the app has in AppsFlyer. Without these they are UTC and USD. An
# amount in another currency needs a rate, here what a dollar is in euros.
# [apps.insight]
# timezone = "Europe/Berlin"
# currency = "EUR"
# rates = {{ "USD" = 0.92 }}

[apps.hold]
# How long attribution is held until its user is seen in Amplitude.
window_hours = 72

[apps.restrictions]
# What may be sent about a media source: "pass", "redact" (as `restricted`, no campaign), "organic" or "drop".
restricted = "redact"
default = "pass"

# Amplitude events for AppsFlyer's optimisation and reports:
# [[apps.streams]]
# events = ["Purchase", "Trial *"]
# rename = {{ "Purchase" = "af_purchase" }}
# [apps.streams.properties]
# appsflyer_id = "user_properties.appsflyer_id"

# An Amplitude cohort as an AppsFlyer audience:
# [[apps.audiences]]
# cohort = "7khm89cz"
# import_key = "env:AF_IMPORT_KEY"
# identifier = "{identifier}"
# cadence = "daily"
# See docs/how-to/cohorts.md.
"""


def render(answers: Answers) -> str:
    """Return the text of a configuration file."""
    plain = {key: _toml(text) if isinstance(text, str) else text for key, text in structs.asdict(answers).items()}
    return TEMPLATE.format(**plain, identifier="idfv" if answers.platform is Platform.IOS else "gaid")


def what_to_paste(config: Config) -> str:
    """Return what to enter in AppsFlyer and Amplitude for each app, and what the app has to pass.

    The text holds the tokens in clear: print it to a terminal only.
    """
    base = _base(config)
    parts = [_paste(app, base) for app in config.apps]
    if not config.server.public_url:
        parts.append(
            "AppsFlyer and Amplitude need an address they can reach, with https on port 443: AppsFlyer sends to ports\n"
            f"80 and 443 only. Set server.public_url to it, and read it above in place of {base}.\n"
        )
    return "\n".join(parts)


def push_url(config: Config, app: App) -> str:
    """Return the address that AppsFlyer sends an app's messages to."""
    return f"{_base(config)}/v1/push/{app.name}"


def _base(config: Config) -> str:
    server = config.server
    return server.public_url or f"http://{f'[{server.host}]' if ':' in server.host else server.host}:{server.port}"


def _paste(app: App, base: str) -> str:
    token = app.appsflyer.push_token
    webhook = app.amplitude.webhook_token
    lines = [
        f"{app.name}",
        "  In AppsFlyer, in the settings of the Push API (side menu, API access), add an endpoint:",
        f"    method        POST\n    address       {base}/v1/push/{app.name}",
        f"    header        {app.appsflyer.token_header}",
        f"    token         {token.reveal() if token else '(none: this machine only)'}",
        f"    event types   {_EVENT_TYPES[app.route]}",
        "    fields        all",
        "  In Amplitude, in Organization settings > API Keys, choose the project: there are its API key and secret key",
        "    (apps.amplitude.api_key and secret_key). Its region must be apps.amplitude.region.",
    ]
    if webhook:
        lines += [
            "  In Amplitude, Data > Catalog > Destinations > Webhook, send events to:",
            f"    address       {base}/v1/stream/{app.name}",
            f"    header        Authorization: {webhook.reveal()}",
            "  and, for cohorts, Cohort Webhook:",
            f"    address       {base}/v1/cohorts/{app.name}",
            f"    header        Authorization: {webhook.reveal()}",
        ]
    return "\n".join([*lines, *_in_the_app(app)]) + "\n"


def _in_the_app(app: App) -> list[str]:
    """Return what the app has to pass so that postbacks are matched, the best way first."""
    keys = (
        (app.mapping.device_id_key, "Amplitude's device id"),
        (app.mapping.user_id_key, "Amplitude's user id, once known"),
        (app.mapping.session_id_key, "Amplitude's session id"),
    )
    lines = ["  In the app, the best first:", "    1. Before AppsFlyer's SDK starts, pass as additional (custom) data:"]
    lines += [f"       {key:<22}{meaning}" for key, meaning in keys if key]
    lines.append("    2. In Amplitude, set the user property appsflyer_id; events for AppsFlyer need it too.")
    is_sent = app.mapping.customer_user == "send"
    if is_sent:
        lines.append("    3. Set AppsFlyer's customer user id to the user id that Amplitude knows.")
    if advice := _DEVICE_IDS.get(app.platform):
        lines.append(f"    {4 if is_sent else 3}. {advice}")
    return lines


_DEVICE_IDS: Final = {
    Platform.IOS: "Leave Amplitude's device id as its SDK makes it: it is the IDFV.",
    Platform.ANDROID: "Or let Amplitude's SDK use the advertising id as device id (useAdvertisingIdForDeviceId).",
}


_EVENT_TYPES: Final = {
    Route.HTTP_V2: "all installs, re-engagements, re-attributions, reinstalls and in-app events",
    Route.ATTRIBUTION: "all installs, re-engagements, re-attributions and reinstalls (no in-app events)",
}


def _toml(text: str) -> str:
    """Return a TOML string. JSON's escapes are valid in TOML, which also requires DEL to be escaped."""
    return json.dumps(str(text), ensure_ascii=False).replace("\x7f", "\\u007f")
