"""Which event a message is, in AppsFlyer's present words and its former ones."""

from __future__ import annotations

from typing import Any

import pytest

from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback_kind import Kind, kind_of

PRESENT = [
    ("install", "install", "ua", Kind.INSTALL),
    ("install", "install", "organic", Kind.ORGANIC_INSTALL),
    ("reinstall", "reinstall", "ua", Kind.REINSTALL),
    ("reinstall", "reinstall", "organic", Kind.ORGANIC_REINSTALL),
    ("install", "reinstall", "ua", Kind.REINSTALL),
    ("re-engagement", "re-engagement", "retargeting", Kind.RE_ENGAGEMENT),
    ("re-attribution", "reinstall", "retargeting", Kind.RE_ATTRIBUTION),
    ("reinstall", "reinstall", "retargeting", Kind.RE_ATTRIBUTION),
    ("install", "reinstall", "retargeting", Kind.RE_ATTRIBUTION),
    ("install", "re-engagement", "retargeting", Kind.RE_ENGAGEMENT),
    ("Re-Engagement", "Re-engagement", "Retargeting", Kind.RE_ENGAGEMENT),
    ("re_attribution", None, None, Kind.RE_ATTRIBUTION),
    ("af_purchase", "install", "ua", Kind.INSTALL_IN_APP),
    ("af_purchase", "install", "organic", Kind.ORGANIC_INSTALL_IN_APP),
    ("af_purchase", "re-engagement", "retargeting", Kind.RE_ENGAGEMENT_IN_APP),
    ("af_purchase", "reinstall", "retargeting", Kind.RE_ATTRIBUTION_IN_APP),
    ("af_purchase", "re-attribution", "retargeting", Kind.RE_ATTRIBUTION_IN_APP),
    ("af_purchase", "reinstall", "ua", Kind.INSTALL_IN_APP),
    ("af_purchase", "reinstall", "organic", Kind.ORGANIC_INSTALL_IN_APP),
    ("uninstall", "install", "ua", Kind.UNINSTALL),
    (None, "install", "ua", Kind.INSTALL),
    (None, None, None, None),
]


@pytest.mark.parametrize(("name", "conversion", "campaign", "expected"), PRESENT)
def test_present_messages(
    name: str | None, conversion: str | None, campaign: str | None, expected: Kind | None
) -> None:
    """event_name, conversion_type and campaign_type decide."""
    postback = Postback(event_name=name, conversion_type=conversion, campaign_type=campaign, media_source="x_int")
    assert kind_of(postback) is expected


FORMER: list[tuple[dict[str, Any], Kind | None]] = [
    ({"event_name": "install", "media_source": "x_int", "is_retargeting": False}, Kind.INSTALL),
    ({"event_name": "install", "media_source": "Organic"}, Kind.ORGANIC_INSTALL),
    ({"event_name": "install"}, Kind.ORGANIC_INSTALL),
    ({"event_name": "install", "media_source": "restricted"}, Kind.INSTALL),
    (
        {"event_name": "login", "is_retargeting": True, "retargeting_conversion_type": "re-engagement"},
        Kind.RE_ENGAGEMENT_IN_APP,
    ),
    (
        {"event_name": "login", "is_retargeting": True, "retargeting_conversion_type": "re-attribution"},
        Kind.RE_ATTRIBUTION_IN_APP,
    ),
    (
        {"event_name": "install", "is_retargeting": True, "retargeting_conversion_type": "re-attribution"},
        Kind.RE_ATTRIBUTION,
    ),
    ({"event_type": "install", "attribution_type": "regular", "media_source": "x"}, Kind.INSTALL),
    ({"event_type": "install", "attribution_type": "organic"}, Kind.ORGANIC_INSTALL),
    (
        {"event_type": "in-app-event", "attribution_type": "organic", "event_name": "install"},
        Kind.ORGANIC_INSTALL_IN_APP,
    ),
    ({"event_type": "in-app-event"}, None),
    (
        {"event_type": "install", "is_retargeting": True, "retargeting_conversion_type": "re-engagement"},
        Kind.RE_ENGAGEMENT,
    ),
    ({"event_name": "login", "is_organic": True, "media_source": "x"}, Kind.ORGANIC_INSTALL_IN_APP),
    ({"event_name": "af_skad_install", "skad_transaction_id": "1"}, Kind.SKADNETWORK),
]


@pytest.mark.parametrize(("fields", "expected"), FORMER)
def test_former_messages(fields: dict[str, Any], expected: Kind | None) -> None:
    """Without the present fields, is_retargeting, media_source and v1's event_type decide."""
    assert kind_of(Postback(**fields)) is expected


def test_every_kind_is_a_conversion_or_in_app_or_neither() -> None:
    """The three groups do not overlap."""
    assert [kind for kind in Kind if kind.is_conversion and kind.is_in_app] == []
    assert {kind for kind in Kind if not kind.is_conversion and not kind.is_in_app} == {
        Kind.UNINSTALL,
        Kind.SKADNETWORK,
    }


def test_organic_kinds_stay_what_they_are() -> None:
    """Nothing is more organic than organic, and a conversion stays a conversion."""
    for kind in Kind:
        assert kind.as_organic.as_organic is kind.as_organic
        assert kind.as_organic.is_conversion == kind.is_conversion
    assert Kind.RE_ATTRIBUTION.as_organic is Kind.ORGANIC_REINSTALL
    assert Kind.RE_ENGAGEMENT.as_organic is Kind.RE_ENGAGEMENT
