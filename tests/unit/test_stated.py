"""Words for what is not known: every reader of figures has the same."""

from __future__ import annotations

from decimal import Decimal

import pytest

from flybridge.appsflyer import cost_file
from flybridge.appsflyer.report import ReportLine, ReportRefused, stated
from flybridge.insight.costs import read_costs

NOTHING = ["", " ", "N/A", "n/a", "None", "null", "NULL", "-", " - "]


@pytest.mark.parametrize("written", NOTHING)
def test_what_is_not_known_is_nothing_in_every_file(written):
    """As a name and as a figure."""
    assert stated(written) == ""
    line = ReportLine(2, {"campaign": written, "clicks": written})
    assert (line.text("campaign"), line.whole("clicks")) == ("", None)
    etl = {"date": "2026-01-31", "media_source": "x", "campaign": written, "geo": written, "clicks": written}
    row = cost_file.read_row(etl)
    assert (row.campaign, row.country, row.clicks) == ("", "", None)
    lines = ["date,media_source,campaign,country,spend,clicks", f"2026-01-31,x,{written},{written},1,{written}"]
    (cost,) = read_costs(lines, "shop", "USD").rows
    assert (cost.campaign, cost.country, cost.clicks) == ("", "", None)


def test_namibia_and_a_campaign_of_its_name_are_known_in_every_file():
    """`NA` is the code of a country."""
    assert stated(" NA ") == "NA"
    assert ReportLine(2, {"country": "NA"}).text("country") == "NA"
    assert cost_file.read_row({"date": "2026-01-31", "media_source": "x", "geo": "NA"}).country == "NA"
    (cost,) = read_costs(["date,media_source,campaign,country,spend", "2026-01-31,x,NA,NA,1"], "shop", "USD").rows
    assert (cost.campaign, cost.country) == ("NA", "NA")


@pytest.mark.parametrize(
    ("written", "figure"),
    [
        ("7", 7), (" 7 ", 7), ("1e3", 1000), ("0", 0), ("+7", 7), ("NA", None), ("na", None), ("1_000", ValueError),
        ("1,000", ValueError), ("nan", ValueError), ("inf", ValueError), ("1e999", ValueError), ("0x10", ValueError),
        ("seven", ValueError), ("7 USD", ValueError),
    ],
)  # fmt: skip
def test_a_figure_is_the_same_number_in_every_file(written, figure):
    """And none of them has one that another refuses."""
    readers = (
        lambda: ReportLine(2, {"clicks": written}).whole("clicks"),
        lambda: cost_file.read_row({"date": "2026-01-31", "media_source": "x", "clicks": written}).clicks,
        lambda: clicks_of(written),
    )
    for reader in readers:
        if figure is ValueError:
            with pytest.raises((ValueError, ReportRefused)):
                reader()
        else:
            assert reader() == figure


def clicks_of(written: str) -> int | None:
    """Return the clicks of a line that people wrote. Raises `ValueError`."""
    lines = ["date,media_source,spend,clicks", f'2026-01-31,x,1,"{written}"']
    found = read_costs(lines, "shop", "USD")
    if found.bad:
        raise ValueError(found.bad[0].problem)
    return found.rows[0].clicks


@pytest.mark.parametrize(
    ("value", "figure"),
    [
        (7, 7),
        (7.0, 7),
        (Decimal("7.000"), 7),
        (0, 0),
        (None, None),
        (True, ValueError),
        ([7], ValueError),
        (-1, ValueError),
    ],
)
def test_a_typed_figure_is_its_number(value, figure):
    """As Parquet has them."""
    row = {"date": "2026-01-31", "media_source": "x", "clicks": value}
    if figure is ValueError:
        with pytest.raises(ValueError, match="A row's clicks"):
            cost_file.read_row(row)
    else:
        assert cost_file.read_row(row).clicks == figure
