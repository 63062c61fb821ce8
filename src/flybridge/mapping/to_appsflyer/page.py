"""The tables of docs/reference/mapping-to-appsflyer.md, printed from the rows and rules that map."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flybridge.mapping import consent
from flybridge.mapping.table import Row
from flybridge.mapping.to_appsflyer import rows as mapping
from flybridge.system.reference_pages import print_page, table


def parts() -> Mapping[str, str]:
    """Return the printed parts of the page by name."""
    return {
        "rows": _rows(mapping.ROWS),
        "optional": _rows(mapping.OPTIONAL),
        "consent": consent.as_markdown(),
        "withheld": _withheld(),
        "order": _order(),
    }


def _rows(rows: Iterable[Row]) -> str:
    cells = ((f"[`{row.target}`]({row.doc})", f"`{row.source}`", row.convert.__name__, row.note) for row in rows)
    return table(("AppsFlyer", "Amplitude", "As", "Note"), cells)


def _withheld() -> str:
    names = ", ".join(f"`{name}` (as `{called}`)" for name, called in mapping.WITHHELD_AS.items())
    return f"The parameters that the rules speak of: {names}."


def _order() -> str:
    always = ", ".join(f"`{name}`" for name in ("eventName", "eventTime", *sorted(mapping.ESSENTIAL)))
    rest = ", ".join(f"`{name}`" for name in mapping.PARAMETERS if name not in mapping.ESSENTIAL)
    return (
        f"- Always: {always}, and `eventValue.af_revenue`.\n- Then, the most important first: {rest}.\n"
        "- Then the other keys of `eventValue` that rows or `properties` give.\n"
        "- Then `extras`, in the order in which they are listed."
    )


if __name__ == "__main__":
    print_page(parts())
