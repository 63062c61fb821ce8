"""docs/reference/mapping.md is what the mapping prints."""

from __future__ import annotations

from pathlib import Path

from flybridge.appsflyer.postback_kind import Kind
from flybridge.mapping.consent import RULES
from flybridge.mapping.to_amplitude.page import parts
from flybridge.mapping.to_amplitude.rows import DERIVED, OPTIONAL, ROWS
from flybridge.system.reference_pages import printed

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "mapping.md"


def test_the_page_is_current() -> None:
    """If it is not: make pages."""
    text = PAGE.read_text()
    assert text == printed(text, parts())


def test_every_row_rule_and_kind_is_on_the_page() -> None:
    """Nothing is mapped that the page does not tell."""
    text = PAGE.read_text()
    for row in (*ROWS, *OPTIONAL):
        assert f"[`{row.source}`]({row.doc}) | `{row.target}`" in text
    for derived in DERIVED:
        assert f"[`{derived.target}`]({derived.doc})" in text
    for kind in Kind:
        assert f"| `{kind}` |" in text
    for rule in RULES:
        assert rule.because in text
