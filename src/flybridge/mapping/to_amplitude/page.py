"""The tables of docs/reference/mapping.md, printed from the rows and rules that map."""

from __future__ import annotations

from collections.abc import Mapping

from flybridge.appsflyer.postback_kind import Kind
from flybridge.mapping import consent
from flybridge.mapping.restrictions import ADVERTISING, DEFAULTS
from flybridge.mapping.table import as_markdown, derived_as_markdown
from flybridge.mapping.to_amplitude.rows import DERIVED, EVENT, OPTIONAL, TOP, USER
from flybridge.mapping.to_amplitude.rules import TITLES
from flybridge.reference_pages import print_page, table


def parts() -> Mapping[str, str]:
    """Return the printed parts of the page by name."""
    return {
        "kinds": table(("AppsFlyer message", "Route `http_v2`", "Route `attribution`"), map(_kind, Kind)),
        "top": as_markdown(TOP),
        "event": as_markdown(EVENT),
        "user": as_markdown(USER),
        "derived": derived_as_markdown(DERIVED, to="Amplitude", source="AppsFlyer"),
        "optional": as_markdown(OPTIONAL),
        "defaults": f"Without configuration {_defaults()}.",
        "advertising": f"The fields that do not leave: {', '.join(f'`{name}`' for name in sorted(ADVERTISING))}.",
        "consent": consent.as_markdown(),
    }


def _kind(kind: Kind) -> tuple[str, str, str]:
    if kind.is_conversion:
        name = f"`[AppsFlyer] {TITLES[kind.family]}`"
        return f"`{kind}`", name, name
    if kind.is_in_app:
        return f"`{kind}`", "the event's own name", "filtered: `in_app_on_attribution_route`"
    return f"`{kind}`", f"filtered: `{kind}`", f"filtered: `{kind}`"


def _defaults() -> str:
    return ", ".join(f"`{source}` is `{policy}`" for source, policy in DEFAULTS.items())


if __name__ == "__main__":
    print_page(parts())
