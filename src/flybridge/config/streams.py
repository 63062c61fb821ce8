"""Builds the rules of streams from the settings of an app."""

from __future__ import annotations

from flybridge.config.apps import App, CustomerUserId, Stream
from flybridge.errors import ConfigError
from flybridge.mapping.to_appsflyer.rules import StreamRules


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
        events=stream.events,
        where=stream.where,
        rename=stream.rename,
        properties=stream.properties,
        extras=stream.extras,
        without=stream.without,
        sharing_filter=stream.sharing_filter,
        wait_hours=stream.wait_hours,
        loop=stream.loop,
        prefix=f"[{app.mapping.prefix}] ",
        use_customer_user_id=app.mapping.customer_user is not CustomerUserId.NEVER,
    )
