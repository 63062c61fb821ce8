"""Import on many machines: what executors run, by the names of a configuration and an app.

It is called by name in other processes, so that only these names travel, and each process builds its flow once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from flybridge.config.apps import App
from flybridge.config.settings import load
from flybridge.errors import ConfigError
from flybridge.flow import Flow
from flybridge.history.batches import map_files
from flybridge.history.run import refused
from flybridge.wiring import build_flow


@lru_cache(maxsize=4)
def _built(config: str, app_name: str) -> tuple[App, Flow]:
    settings = load(Path(config), os.environ)
    app = settings.app(app_name)
    if app is None:
        raise ConfigError("--app", f"there is no app {app_name!r}.", "Name one of the configuration.")
    if reason := refused(app.route.value):
        raise ConfigError("route", reason, "Import it into an app of the route `http_v2`.")
    return app, build_flow(settings)


def map_configured(batches: Iterable[Any], *, config: str, app: str, zone: str | None, now_ms: int) -> Iterator[Any]:
    """Map the files that Arrow batches name, as `history.batches.map_files`. Raises `ConfigError`, `FlybridgeError`."""
    found, flow = _built(config, app)
    return map_files(
        batches,
        app=found.name,
        app_id=found.appsflyer_app_id,
        flow=flow,
        zone=zone,
        now_ms=now_ms,
        by_attribution=found.by_attribution,
    )
