"""Words for what is not known: every reader of figures has the same."""

import pytest

from flybridge.appsflyer import cost_file
from flybridge.appsflyer.report import ReportLine, stated
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
