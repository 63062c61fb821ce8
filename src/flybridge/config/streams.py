"""Builds the rules of streams from the settings of an app."""

from __future__ import annotations

from msgspec.structs import asdict

from flybridge.config.apps import App
from flybridge.errors import ConfigError
from flybridge.mapping.to_amplitude.settings import CustomerUserId
from flybridge.mapping.to_appsflyer.rules import StreamRules
from flybridge.mapping.to_appsflyer.settings import Stream


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
        use_customer_user_id=app.mapping.customer_user is not CustomerUserId.NEVER,
        **asdict(stream),
    )
