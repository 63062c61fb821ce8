"""The doors as an OpenAPI 3.1 description, served at /openapi.json and tested against what the application answers.

The description is `openapi.json` beside this module. Bodies are described as loosely as they are taken: any JSON. What
the fields mean is AppsFlyer's and Amplitude's to describe.
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
