"""The pages of the console, in the order of the navigation. A new page is a module with `ENTRY` and `routes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from flybridge.web.console.pages import (
    account,
    audiences,
    audit,
    cohorts,
    dead,
    differences,
    events,
    flow,
    holds,
    jobs,
    people,
    setup,
    sources,
)
from flybridge.web.console.site import Group, Page

REGISTRY: Final[Mapping[str, Sequence[Page]]] = {
    "Performance": (sources, cohorts, differences),
    "Data": (events, flow, account, holds, dead, audiences, jobs),
    "Administration": (setup, people, audit),
}
"""Pages by the heading that they stand under."""

GROUPS: Final = tuple(Group(label, tuple(page.ENTRY for page in pages)) for label, pages in REGISTRY.items())

LOOKING_POSTS: Final = frozenset({events.FIND})
"""Paths whose POST only looks something up, which the role `read` may: what is looked for must not be in an address."""
