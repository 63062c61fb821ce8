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
    ("re-engagement", "Re-engagement", "Retargeting", Kind.RE_ENGAGEMENT),
    ("re-attribution", None, None, Kind.RE_ATTRIBUTION),
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


OWN_NAMES = [
    *("Install", "INSTALL", "organic_install", "organic-install", "Reinstall", "re-install", "redownload"),
    *("re_engagement", "reengagement", "Re-Engagement", "re_attribution", "Uninstall", "organic uninstall"),
]


@pytest.mark.parametrize("name", OWN_NAMES)
@pytest.mark.parametrize("campaign", [("install", "ua"), ("reinstall", "retargeting"), (None, None)])
def test_an_event_of_the_app_may_be_named_like_a_conversion(name: str, campaign: tuple[str | None, str | None]) -> None:
    """Only AppsFlyer's exact names are conversions."""
    found = kind_of(Postback(event_name=name, conversion_type=campaign[0], campaign_type=campaign[1]))
    assert found is not None
    assert found.is_in_app


AT = {"event_time": "2026-11-20 10:00:00.500", "install_time": "2026-11-20 10:00:00.500"}
LATER = {"event_time": "2026-11-21 10:00:00.500", "install_time": "2026-11-20 10:00:00.500"}


@pytest.mark.parametrize(
    ("fields", "is_own"),
    [
        (AT, False),
        (AT | {"install_time": "2026-11-20 10:00:00"}, False),
        (AT | {"install_time": "2026-11-20T10:00:00.500Z"}, False),
        ({"event_time": "2026-11-20 10:00:00"}, False),
        ({"install_time": "2026-11-20 10:00:00"}, False),
        (AT | {"event_time": "unreadable"}, False),
        (LATER, True),
        (AT | {"event_value": '{"widget":"clock"}'}, True),
        (AT | {"event_value": {"widget": "clock"}}, True),
        (AT | {"event_value": "clock"}, True),
        (AT | {"event_value": "{}"}, False),
        (AT | {"event_value": " { } "}, False),
        (AT | {"event_value": '"{}"'}, False),
        (AT | {"event_value": '"null"'}, False),
        ({"event_time_selected_timezone": "2026-11-20 12:00:00+0200", "install_time": "2026-11-20 10:00:00"}, False),
        ({"event_time_selected_timezone": "2026-11-21 12:00:00+0200", "install_time": "2026-11-20 10:00:00"}, True),
        (AT | {"event_value": {}}, False),
        (LATER | {"event_type": "install"}, False),
        (AT | {"event_type": "in-app-event"}, True),
    ],
)
def test_an_install_happens_at_its_install_time_and_has_no_value(fields: dict[str, Any], is_own: bool) -> None:
    """Anything else named `install` is an event of the app, unless AppsFlyer says the type."""
    found = kind_of(Postback(event_name="install", conversion_type="install", campaign_type="ua", **fields))
    assert found is (Kind.INSTALL_IN_APP if is_own else Kind.INSTALL)


@pytest.mark.parametrize("name", ["re-engagement", "re-attribution", "reinstall", "uninstall"])
def test_other_conversions_happen_after_the_install(name: str) -> None:
    """Their time says nothing about what they are."""
    found = kind_of(Postback(event_name=name, conversion_type="reinstall", campaign_type="retargeting", **LATER))
    assert found is not None
    assert not found.is_in_app


@pytest.mark.parametrize("name", ["reinstall", "re-engagement", "re-attribution"])
def test_what_follows_an_install_is_not_said_to_be_one(name: str) -> None:
    """The app's own event may have AppsFlyer's very name, and is attributed to the install."""
    found = kind_of(Postback(event_name=name, conversion_type="install", campaign_type="ua", **LATER))
    assert found is Kind.INSTALL_IN_APP
    former = kind_of(Postback(event_name=name, conversion_type="install", is_retargeting=True, **LATER))
    assert former is not None
    assert former.is_conversion


@pytest.mark.parametrize("name", ["install", "reinstall", "re-engagement", "re-attribution", "uninstall"])
@pytest.mark.parametrize("conversion", [("install", "ua"), ("reinstall", "organic"), ("re-engagement", "retargeting")])
def test_no_conversion_has_an_event_value(name: str, conversion: tuple[str, str]) -> None:
    """One that has a value is an event of the app, whatever it is attributed to."""
    for value in ('{"push":"1"}', {"push": 1}, "tuesday", '"{\\"push\\":1}"'):
        found = kind_of(
            Postback(
                event_name=name, conversion_type=conversion[0], campaign_type=conversion[1], event_value=value, **AT
            )
        )
        assert found is not None
        assert found.is_in_app


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
    ({"event_type": "re-engagement", "event_name": "re-engagement"}, Kind.RE_ENGAGEMENT),
    (
        {
            "event_type": "re-attribution-in-app-event",
            "event_name": "re-engagement",
            "conversion_type": "reinstall",
            "campaign_type": "retargeting",
        },
        Kind.RE_ATTRIBUTION_IN_APP,
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
