"""What restrictions changed, as people read it."""

from flybridge.cli.inspect import restricted_sums, show_account
from flybridge.insight.account import balance
from flybridge.store.figures import RestrictedCount

FOUND = [
    RestrictedCount("shop", "2026-01-30", "restricted", "organic", 3),
    RestrictedCount("shop", "2026-01-31", "Facebook Ads", "redact", 1),
    RestrictedCount("shop", "2026-01-31", "restricted", "organic", 2),
]


def test_what_policies_changed_is_added_up_over_all_days():
    """Sources are in order."""
    assert restricted_sums(FOUND) == ["Facebook Ads redact 1", "restricted organic 5"]


def test_the_account_shows_them(capsys):
    """In the text for people and in the JSON for programs."""
    show_account(balance({}, {}, []), FOUND, as_json=True)
    assert '"media_source": "Facebook Ads"' in capsys.readouterr().out
