"""Log lines: to stderr, one canonical line per hop, each emitted from the value the hop returned.

    received    requests accepted and refused at each intake endpoint, at most once per second
    filed       one batch moved from the inbox to the store
    attempted   one request to a vendor, with its verdicts
    dead        something could not be processed or delivered

They carry counts, durations and decisions, never an identifier of a person and never a secret: `scrub` runs
before the renderer and removes what is named like one and what looks like one.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

import structlog

from flybridge.identity.masking import masked

PERSONAL: Final = frozenset(
    {
        "adid", "advertising_id", "amazon_aid", "android_app_set_id", "android_id", "app_set_id", "appsflyer_id",
        "customer_user_id", "device_id", "email", "gaid", "idfa", "idfv", "imei", "ip", "ip_address", "oaid", "phone",
        "user_id", "user_properties", "event_properties", "body", "payload", "query_string", "headers",
    }
)  # fmt: skip
"""Keys whose values identify a person, or contain something that does."""

SECRET: Final = frozenset(
    {
        "api_key", "api_token", "authentication", "authorization", "bearer", "dev_key", "former_push_tokens",
        "import_key", "password", "push_token", "s2s_key", "secret", "secret_key", "token", "webhook_token",
    }
)  # fmt: skip
"""Keys whose values are secrets."""


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, Mapping):
        return {k: _clean(v) for k, v in value.items() if str(k).lower() not in PERSONAL | SECRET}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(v) for v in value]
    return value


def scrub(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Remove identifiers and secrets from a log event: keys that are named like one, and text that looks like one.

    Bytes are replaced by their length. Works on nested mappings and lists, and on the text of tracebacks.
    """
    kept = {
        key: value if key in ("exc_info", "_record") else _clean(value)
        for key, value in event.items()
        if key.lower() not in PERSONAL and key.lower() not in SECRET
    }
    event.clear()
    event.update(kept)
    return event


def show(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Write characters that a terminal would obey as escapes: texts of others must not move its cursor."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = "".join(sign if sign.isprintable() or sign in "\n\t" else _escape(sign) for sign in value)
    return event


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


FORMS: Final = ("auto", "json", "console")
"""How log lines look: `json` for machines, `console` for people, `auto` by whether stderr is a terminal."""


def configure_logging(form: str = "auto", level: str = "info", stream: TextIO | None = None) -> None:
    """Send every log line of this process, flybridge's and its libraries', to `stream` (stderr).

    To be called once, by the program.
    """
    out = sys.stderr if stream is None else stream
    plain = form == "console" or (form == "auto" and out.isatty())
    # Tracebacks are rendered to text before `scrub` sees them, and without local variables: those hold postbacks.
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        scrub,
    ]
    if plain:  # JSON escapes what is not seen
        shared.append(show)
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if plain
        else structlog.processors.JSONRenderer()
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
