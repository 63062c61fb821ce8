"""The pages of the console, in the order of the navigation. A new page is a module with `ENTRY` and `routes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from flybridge.web.console.pages import account, cohorts, dead, flow, holds, sources
from flybridge.web.console.site import Group, Page

REGISTRY: Final[Mapping[str, Sequence[Page]]] = {
    "Performance": (sources, cohorts),
    "Data": (flow, account, holds, dead),
}
"""Pages by the heading that they stand under."""

GROUPS: Final = tuple(Group(label, tuple(page.ENTRY for page in pages)) for label, pages in REGISTRY.items())
