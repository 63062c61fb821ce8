"""Costs from a CSV file: what is read, what is not known, and what is refused."""

from __future__ import annotations

import io
from datetime import date

import pytest

from flybridge.insight.costs import BadCost, read_costs
from flybridge.store.performance import CostRow

HEAD = "date,media_source,campaign,country,spend,currency,clicks,impressions\n"
DAY = 20_484  # 2026-01-31


def read(text: str):
    """Read a file of this text."""
    return read_costs(io.StringIO(text), "shop", "USD")


def test_a_row_is_read_with_everything():
    """Money is kept in millionths."""
    found = read(HEAD + "2026-01-31,Facebook Ads,Spring,de,120.50,EUR,310,20400\n")
    assert found.rows == [CostRow("shop", DAY, "Facebook Ads", "Spring", "DE", "EUR", 120_500_000, 310, 20_400)]
    assert (found.bad, found.days) == ([], (DAY, DAY))


@pytest.mark.parametrize("day", ["2026-02-02", "2062-01-31", "2626-01-31", "2007-12-31", "1999-01-31"])
def test_a_day_that_can_not_have_costs_is_refused(day):
    """A file replaces all that was known from its first day to its last: a wrong year would take years of it away."""
    lines = [HEAD, "2026-01-31,x,,,1,,,\n", f"{day},x,,,1,,,\n", "2026-02-01,x,,,1,,,\n"]
    found = read_costs(lines, "shop", "USD", date(2026, 2, 1))
    assert found.bad == [BadCost(3, "The date is in the future, or before there were apps: look at its year.")]
    assert found.days == (DAY, DAY + 1)


@pytest.mark.parametrize("unknown", ["", "N/A", "-", " null "])
def test_what_is_not_known_is_not_zero(unknown):
    """Each figure for itself."""
    (row,) = read(HEAD + f"2026-01-31,x,,,{unknown},,0,{unknown}\n").rows
    assert (row.spend, row.clicks, row.impressions, row.currency) == (None, 0, None, "USD")


def test_rows_about_the_same_are_added_up_and_labels_are_those_that_are_counted():
    """In any order of columns, with a BOM, organic in small letters, identifiers masked."""
    found = read(
        "\ufeffMedia Source,Date,Spend,Campaign\n"
        "Organic,2026-01-31,1,a@b.example\n"
        "organic,2026-01-31,2,c@d.example\n"
        "\n"
        "organic,2026-01-31,,c@d.example\n"
    )
    assert found.rows == [CostRow("shop", DAY, "organic", "[email]", "", "USD", 3_000_000)]


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("31.01.2026,x,,,1,,,", "date"),
        ("2026-01-31,,,,1,,,", "media_source"),
        ("2026-01-31,x,,Germany,1,,,", "country"),
        ("2026-01-31,x,,,one,,,", "spend"),
        ("2026-01-31,x,,,-1,,,", "spend"),
        ('2026-01-31,x,,,"1,5",,,', "spend"),
        ("2026-01-31,x,,,nan,,,", "spend"),
        ("2026-01-31,x,,,1e300,,,", "spend"),
        ("2026-01-31,x,,,100000000001,,,", "spend"),
        ("2026-01-31,x,,,100000000000,,,", "adds up"),
        ("2026-01-31,x,,,1,Euro,,", "currency"),
        ("2026-01-31,x,,,1,,1.5,", "clicks"),
        ("2026-01-31,x,,,($5),,,", "spend"),
        ("2026-01-31,N/A,,,1,,,", "media_source"),
        ("2026-01-31,null,,,1,,,", "media_source"),
        ("0026-01-31,x,,,1,,,", "date"),
        ("2026-02-30,x,,,1,,,", "date"),
        ("Total,,,,1,,,", "date"),
        ("2026-01-31,Acme, Inc,Spring,DE,1,EUR,1,2", "9 values for 8 columns"),
        ("2026-01-31,x", "ends before spend or clicks or impressions"),
        ('2026-01-31,"Acme,,,1,,,', "quote"),
        ('2026-01-31,"Acme" Inc,,,1,,,', "quote"),
        ("2026-01-31," + "x" * 200_000 + ",,,1,,,", "field larger"),
    ],
)
def test_a_line_that_cant_be_read_is_named_with_its_field(row, word):
    """The others are read: who reads the file decides what to do."""
    found = read(HEAD + "2026-01-31,x,,,1,,,\n" + row + "\n")
    ((line, problem),) = [(bad.line, bad.problem) for bad in found.bad]
    assert line == 3
    assert word in problem
    assert len(found.rows) == 1


def test_the_spend_of_a_day_may_be_billions_of_dongs():
    """A dollar is 25,000 of them."""
    (row,) = read(HEAD + "2026-01-31,x,,,40000000000,VND,,\n").rows
    assert row.spend == 40_000_000_000_000_000


@pytest.mark.parametrize("unknown", ["", "N/A", "None", "-", "null"])
def test_a_campaign_country_or_currency_that_is_not_known_is_none(unknown):
    """As installs without a campaign are counted, and in the app's currency."""
    (row,) = read(HEAD + f"2026-01-31,x,{unknown},{unknown},1,{unknown},,\n").rows
    assert (row.campaign, row.country, row.currency) == ("", "", "USD")


@pytest.mark.parametrize("code", ["GB", "gb", "UK", " uk "])
def test_the_united_kingdom_is_the_country_of_appsflyers_installs(code):
    """AppsFlyer writes UK, networks GB: spend and installs of one country stand in one row."""
    (row,) = read(HEAD + f"2026-01-31,x,,{code},1,,,\n").rows
    assert row.country == "UK"


def test_namibia_is_a_country():
    """Its code is a word for what is missing elsewhere, as R writes it in a column of figures."""
    (row,) = read(HEAD + "2026-01-31,x,NA,NA,1,USD,NA,\n").rows
    assert (row.campaign, row.country, row.clicks) == ("NA", "NA", None)


def test_an_amount_with_an_unquoted_comma_is_not_cut():
    """1,234.50 is two values, of which the second would be left out without a word."""
    found = read("date,media_source,spend\n2026-01-31,x,1,234.50\n2026-01-31,y,5,\n")
    assert [(row.media_source, row.spend) for row in found.rows] == [("y", 5_000_000)]
    assert [bad.line for bad in found.bad] == [2]


def test_spend_of_a_day_in_several_currencies_stays_apart():
    """Amounts are added up only within a currency."""
    found = read(HEAD + "2026-01-31,x,c,DE,5,EUR,1,\n" * 2 + "2026-01-31,x,c,DE,5,usd,,2\n")
    assert [(row.currency, row.spend, row.clicks) for row in found.rows] == [
        ("EUR", 10_000_000, 2),
        ("USD", 5_000_000, None),
    ]


@pytest.mark.parametrize(
    "head",
    [
        "date,media_source,spend,Spend\n",
        '"date,media_source,spend\n',
        "",
        "date,spend\n",
        "date,media_source\n",
        HEAD.replace("clicks", "klicks"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(head):
    """A wrong name would leave a figure out without a word."""
    assert [bad.line for bad in read(head + "2026-01-31,x,1\n").bad] == [1]
    assert isinstance(read(head).bad[0], BadCost)


@pytest.mark.parametrize(("sign", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_another_separator_of_columns_is_named(sign, word):
    (bad,) = read("\ufeff" + sign.join(["date", "media_source", "spend"]) + "\n").bad
    assert bad.problem.startswith(f"The columns are separated by {word}: write commas")
