"""The OpenAPI 3.1 description of the HTTP endpoints, served at /openapi.json and tested against the application.

The description is `openapi.json` beside this module. Bodies are described as loosely as they are accepted: any
JSON. The fields are described by AppsFlyer and Amplitude.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import msgspec


def description(version: str) -> dict[str, Any]:
    """Return the whole description, for this version of flybridge."""
    found: dict[str, Any] = msgspec.json.decode(files(__package__).joinpath("openapi.json").read_bytes())
    found["info"]["version"] = version
    return found
