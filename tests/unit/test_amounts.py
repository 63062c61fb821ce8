"""Amounts of money as apps write them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.appsflyer.amounts import amount_of, currency_in, reported_amount
from flybridge.appsflyer.currencies import currency_of
from flybridge.appsflyer.postback import read
from flybridge.records import Media


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("1,234.56", 1234.56), ("1.234,56", 1234.56), ("1 234,56", 1234.56), ("1\u00a0234,56", 1234.56),
        ("1'234.50", 1234.5), ("1,234,567", 1234567), ("1.234.567,89", 1234567.89), ("12,34,567.50", 1234567.5),
        ("9,99", 9.99), ("0,999", 0.999), ("$9.99", 9.99), ("€ 9,99", 9.99), ("9.99 USD", 9.99), ("R$ 9,90", 9.9),
        ("Rs. 1,500.00", 1500), ("-9.99", -9.99), ("\u22129,99", -9.99), ("-$5", -5), (["9.99"], 9.99), (7, 7.0),
        ("Optional(9.99)", 9.99), ('Optional("1.234,50 €")', 1234.5), ('"Optional(-5)"', -5), ("\u200b9.99", 9.99),
        ("0.000123", 0.000123), (" 5 ", 5), ('"9.99"', 9.99), ("'9,99'", 9.99),
        ("(9.99)", -9.99), ("($1,234.50)", -1234.5), ("€(9,99)", -9.99), ("\u0669\u066b\u0665", 9.5),
        ("\u0661\u066c\u0662\u0663\u0664", 1234), ("\uff11\uff12", 12), ("9,99 z\u0142", 9.99),
    ],
)  # fmt: skip
def test_an_amount_is_read_where_it_can_mean_one_thing_only(written, amount):
    """Grouping, decimal comma, currency signs and codes, a list of one."""
    assert amount_of(written) == amount


@pytest.mark.parametrize(
    "written",
    ["1,234", "1,234,56", "9.99.9", "5-3", "9.99-", "-(9)", "(-9)", "(9", "10K", "1.5 M", "9.99 CR", "15.000 €", "1 2",
     "", "abc", "USD", "NaN", "inf", "1e400", True, None, [], ["1", "2"], {"a": 1}, "9" * 41, "$" * 40,
     "Optional()", "Optional(nil)", "Optional(9.99", "Optional(1,234)"],
)  # fmt: skip
def test_what_is_in_doubt_is_no_amount(written):
    """A thousand or a little more than one: nobody can tell."""
    assert amount_of(written) is None


@pytest.mark.parametrize("written", ["1,234", "1.234"])
def test_a_currency_without_cents_has_no_fraction(written):
    """So that a single group of three digits is thousands."""
    assert amount_of(written, "JPY") == 1234


@pytest.mark.parametrize(
    ("written", "amount"), [("15.000", None), ("15.00", 15), ("15000", 15000), ("15.000,00", 15000)]
)
def test_a_currency_whose_cents_are_worth_nothing_leaves_three_digits_in_doubt(written, amount):
    """Nobody sells for fifteen rupiah, but the SDK asks for a decimal point."""
    assert amount_of(written, "IDR") == amount


@pytest.mark.parametrize("written", ["9.99 EUR", "EUR 9.99", "9.99€", "₫ 9.99", "9.99 eur"])
def test_an_amount_of_another_currency_is_none_of_this(written):
    """Which of the two it is can't be told."""
    assert amount_of(written, "USD") is None
    assert amount_of(written) == 9.99


@pytest.mark.parametrize(
    ("written", "currency"), [("9.99 USD", "USD"), ("$9.99", "CAD"), ("9,99 €", "EUR"), ("9 kr", "SEK")]
)
def test_the_sign_of_the_same_currency_does_not_matter(written, currency):
    """Some signs are of several currencies."""
    assert amount_of(written, currency) in {9.99, 9}


@pytest.mark.parametrize(
    ("written", "currency", "amount"),
    [
        ("$9", "USD", 9), ("$9", "AUD", 9), ("$9", "MXN", 9), ("$9", "EUR", None), ("$9", "JPY", None),
        ("9 $", "GBP", None),
        ("US$9", "USD", 9), ("US$9", "CAD", None), ("CA$ 9", "CAD", 9), ("A$9", "USD", None), ("R$ 9,90", "BRL", 9.9),
        ("R$ 9,90", "USD", None), ("HK$9", "HKD", 9), ("NT$90", "TWD", 90), ("NT$90", "USD", None),
        ("£9", "GBP", 9), ("£9", "EGP", 9), ("£9", "USD", None), ("¥900", "JPY", 900), ("¥9.50", "CNY", 9.5),
        ("¥9", "USD", None), ("\uffe5900", "JPY", 900), ("€9", "USD", None), ("€9", "EUR", 9),
        ("9 kr", "SEK", 9), ("9 kr.", "NOK", 9), ("9 kr", "EUR", None),
        ("9,99 zł", "PLN", 9.99), ("9,99 zł", "EUR", None),
        ("99 Kč", "CZK", 99), ("Rs. 900", "INR", 900), ("Rs 900", "PKR", 900), ("Rs. 900", "USD", None),
        ("Rp 15000", "IDR", 15000), ("Rp 15000", "USD", None), ("RM 9.90", "MYR", 9.9), ("RM 9.90", "SGD", None),
        ("USD 9", "USD", 9), ("USD 9", "EUR", None), ("$9 USD", "USD", 9), ("$9 EUR", "EUR", None),
        ("€9 USD", "USD", None),
        ("9 GEM", "USD", 9), ("9", "EUR", 9), ("9 ₫", "VND", 9), ("900 đ", "VND", 900), ("900 đ", "USD", None),
        ("900円", "JPY", 900), ("90元", "CNY", 90), ("90元", "USD", None), ("($9)", "EUR", None), ("($9)", "USD", -9),
    ],
)  # fmt: skip
def test_a_sign_or_a_name_beside_an_amount_must_fit_its_currency(written, currency, amount):
    """`$` is of dollars and pesos, `kr` of crowns. A word that is no currency says nothing."""
    assert amount_of(written, currency) == amount


@pytest.mark.parametrize(
    ("written", "currency"),
    [("Optional(9,99 €)", "EUR"),
     ("9,99 €", "EUR"), ("9.99 USD", "USD"), ("US$9", "USD"), ("R$ 9,90", "BRL"), (["₹ 9"], "INR"), ("9 zł", "PLN"),
     ("$9 USD", "USD"), ("(€9)", "EUR"), ("-9 CHF", "CHF"), ("$9", None), ("9 kr", None), ("£9", None), ("9", None),
     ("9 GEM", None), ("€9 USD", None), ("EUR", None), ("1,234 €", None), (9.99, None), (None, None), ({}, None)],
)  # fmt: skip
def test_the_currency_that_an_amount_names(written, currency):
    """Only if it can be no other one."""
    assert currency_in(written) == currency


@pytest.mark.parametrize(
    ("written", "code"),
    [('Optional("EUR")', "EUR"), ("Optional(eur)", "EUR"), ("Optional(nil)", None),
     ("EUR", "EUR"), (" eur ", "EUR"), ("Jpy", "JPY"), ("€", None), ("US$", None), ("Euro", None), ("ZZZ", None),
     ("RMB", None), ("GEM", None), ("", None), (None, None), (978, None)],
)  # fmt: skip
def test_a_currency_is_a_code_of_the_standard(written, code):
    """Three letters that are none say nothing about the worth of an amount."""
    assert currency_of(written) == code


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=2), st.sampled_from([",.", ".,", " ,", "'."]))
def test_what_a_locale_prints_is_read_back(amount, signs):
    """Whatever signs group thousands and begin the fraction."""
    thousands, point = signs
    printed = f"{amount:,.2f}".translate({ord(","): thousands, ord("."): point})
    assert amount_of(printed) == float(amount)
    if amount > 0:
        assert amount_of(f"({printed})") == amount_of(f"$({printed})") == -float(amount)


@given(st.text(max_size=60))
def test_no_text_raises(written):
    """And what is read is a number that JSON can carry."""
    found = amount_of(written)
    assert found is None or -1e15 <= found <= 1e15


@pytest.mark.parametrize(
    ("written", "currency", "amount"),
    [
        ("1.000", "JPY", 1.0),
        ("1,000", "JPY", 1000.0),
        ("980", "JPY", 980.0),
        ("1.500", "IDR", 1.5),
        ("12.5", "EUR", 12.5),
        (" 7.250 ", "KRW", 7.25),
        ("ten", "JPY", None),
        (None, "JPY", None),
    ],
)
def test_the_point_of_a_number_that_appsflyer_reports_is_a_decimal_one(written, currency, amount):
    """Whoever reads a report has the amount that is sent of its rows."""
    assert reported_amount(written, currency) == amount
    body = json.dumps({"event_revenue": written, "event_revenue_currency": currency}).encode()
    assert read(body, Media.JSON).event_revenue == amount
