"""The tables of docs/reference/mapping.md, printed from the rows and rules that map."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flybridge.appsflyer.postback_kind import Kind
from flybridge.mapping import consent
from flybridge.mapping.restrictions import ADVERTISING, DEFAULTS
from flybridge.mapping.table import Derived, Row
from flybridge.mapping.to_amplitude.rows import DERIVED, EVENT, OPTIONAL, TOP, USER
from flybridge.mapping.to_amplitude.rules import TITLES
from flybridge.system.reference_pages import print_page, table


def parts() -> Mapping[str, str]:
    """Return the printed parts of the page by name."""
    return {
        "kinds": table(("AppsFlyer message", "Route `http_v2`", "Route `attribution`"), map(_kind, Kind)),
        **{
            name: _rows(rows) for name, rows in (("top", TOP), ("event", EVENT), ("user", USER), ("optional", OPTIONAL))
        },
        "derived": table(("Amplitude", "From AppsFlyer", "Rule"), map(_derived, DERIVED)),
        "defaults": f"Without configuration {', '.join(f'`{name}` is `{DEFAULTS[name]}`' for name in DEFAULTS)}.",
        "advertising": f"The fields that are not sent: {', '.join(f'`{name}`' for name in sorted(ADVERTISING))}.",
        "consent": consent.as_markdown(),
    }


def _kind(kind: Kind) -> tuple[str, str, str]:
    if kind.is_conversion:
        name = f"`[AppsFlyer] {TITLES[kind.family]}`"
        return f"`{kind}`", name, name
    if kind.is_in_app:
        return f"`{kind}`", "the event's own name", "filtered: `in_app_on_attribution_route`"
    return f"`{kind}`", f"filtered: `{kind}`", f"filtered: `{kind}`"


def _rows(rows: Iterable[Row]) -> str:
    cells = (
        (
            f"[`{row.source}`]({row.doc})",
            f"`{row.target}`",
            row.convert.__name__,
            "conversions" if row.conversions_only else "all",
            row.note,
        )
        for row in rows
    )
    return table(("AppsFlyer", "Amplitude", "As", "For", "Note"), cells)


def _derived(rule: Derived) -> tuple[str, str, str]:
    return f"[`{rule.target}`]({rule.doc})", ", ".join(f"`{source}`" for source in rule.sources), rule.note


if __name__ == "__main__":
    print_page(parts())
