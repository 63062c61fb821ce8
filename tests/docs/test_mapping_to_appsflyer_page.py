"""docs/reference/mapping-to-appsflyer.md is what the mapping prints."""

from __future__ import annotations

from pathlib import Path

from flybridge.mapping.consent import RULES
from flybridge.mapping.to_appsflyer.map import MAX_BYTES, REVENUE
from flybridge.mapping.to_appsflyer.page import parts
from flybridge.mapping.to_appsflyer.rows import OPTIONAL, PARAMETERS, ROWS
from flybridge.system.reference_pages import printed

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "mapping-to-appsflyer.md"


def test_the_page_is_current() -> None:
    """If it is not: make pages."""
    text = PAGE.read_text()
    assert text == printed(text, parts())
    assert f"{MAX_BYTES:,} bytes" in text


def test_every_row_rule_and_parameter_is_on_the_page() -> None:
    """Nothing is sent that the page does not tell."""
    text = PAGE.read_text()
    for row in (*ROWS, *OPTIONAL):
        assert f"[`{row.target}`]({row.doc}) | `{row.source}`" in text
    for target in ("eventName", "eventTime", "eventValue", REVENUE, "eventCurrency", "amazon_aid", "consent_data"):
        assert f"| [`{target}`](" in text.partition("## What is decided by a rule")[2].partition("\n## ")[0]
    for parameter in PARAMETERS:
        assert f"`{parameter}`" in text
    for rule in RULES:
        assert rule.because in text
