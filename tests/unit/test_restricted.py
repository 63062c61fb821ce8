"""What restrictions changed, as people read it."""

from flybridge.cli.inspect import restricted_sums, show_account
from flybridge.insight.account import balance
from flybridge.insight.restricted import Change, changes
from flybridge.store.figures import RollupRow


def row(kind, event, source, n, day="2026-01-31"):
    """Build a row of the rollups."""
    return RollupRow("shop", day, kind, event, source, "", "", "", n, 0.0, 0.0)


def test_changes_are_found_among_the_rollups_and_added_up():
    """Days and sources are in order; the events' own rows are no changes."""
    rows = [
        row("restricted", "organic", "restricted", 2),
        row("install", "[AppsFlyer] Install", "organic", 9),
        row("restricted", "redact", "Facebook Ads", 1),
        row("restricted", "organic", "restricted", 3, "2026-01-30"),
    ]
    found = changes(rows)
    assert found == [
        Change("shop", "2026-01-30", "restricted", "organic", 3),
        Change("shop", "2026-01-31", "Facebook Ads", "redact", 1),
        Change("shop", "2026-01-31", "restricted", "organic", 2),
    ]
    assert restricted_sums(found) == ["Facebook Ads redact 1", "restricted organic 5"]


def test_the_account_shows_them(capsys):
    """In the text for people and in the JSON for programs."""
    found = [Change("shop", "2026-01-31", "Facebook Ads", "redact", 7)]
    show_account(balance({}, {}, []), found, as_json=True)
    assert '"media_source": "Facebook Ads"' in capsys.readouterr().out
