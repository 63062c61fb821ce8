"""The columns of AppsFlyer's raw-data reports, as a report's header has them, and where a push message says the same.

The 81 default columns in their order, then the additional fields in the order in which the Pull API's specification
lists them (docs/apis/mos/raw_data_pull_api_tokenv2.yaml of AppsFlyer's devhub, read 2026-11-27). This list is the
sandbox's own: flybridge's way of reading columns is tested against it.
"""

from __future__ import annotations

from typing import Final

_OTHERWISE: Final = {
    "Partner": "af_prt", "Channel": "af_channel", "Keywords": "af_keywords", "Campaign ID": "af_c_id",
    "Adset": "af_adset", "Adset ID": "af_adset_id", "Ad": "af_ad", "Ad ID": "af_ad_id", "Ad Type": "af_ad_type",
    "Site ID": "af_siteid", "Sub Site ID": "af_sub_siteid", "Sub Param 1": "af_sub1", "Sub Param 2": "af_sub2",
    "Sub Param 3": "af_sub3", "Sub Param 4": "af_sub4", "Sub Param 5": "af_sub5", "Cost Model": "af_cost_model",
    "Cost Value": "af_cost_value", "Cost Currency": "af_cost_currency",
    "Contributor 1 Partner": "contributor_1_af_prt", "Contributor 2 Partner": "contributor_2_af_prt",
    "Contributor 3 Partner": "contributor_3_af_prt", "Attribution Lookback": "af_attribution_lookback",
    "Reengagement Window": "af_reengagement_window", "Google Play Click Time": "gp_click_time",
    "Google Play Broadcast Referrer": "gp_broadcast_referrer", "Google Play Install Begin Time": "gp_install_begin",
    "Google Play Referrer": "gp_referrer", "Amazon Fire ID": "amazon_aid",
}  # fmt: skip
"""Columns that push messages do not name by the same words."""


def _pushed(column: str) -> str:
    return _OTHERWISE.get(column) or column.lower().replace(" ", "_")


DEFAULT: Final[tuple[tuple[str, str], ...]] = tuple((column, _pushed(column)) for column in (
    "Attributed Touch Type", "Attributed Touch Time", "Install Time", "Event Time", "Event Name", "Event Value",
    "Event Revenue", "Event Revenue Currency", "Event Revenue USD", "Event Source", "Is Receipt Validated", "Partner",
    "Media Source", "Channel", "Keywords", "Campaign", "Campaign ID", "Adset", "Adset ID", "Ad", "Ad ID", "Ad Type",
    "Site ID", "Sub Site ID", "Sub Param 1", "Sub Param 2", "Sub Param 3", "Sub Param 4", "Sub Param 5", "Cost Model",
    "Cost Value", "Cost Currency", "Contributor 1 Partner", "Contributor 1 Media Source", "Contributor 1 Campaign",
    "Contributor 1 Touch Type", "Contributor 1 Touch Time", "Contributor 2 Partner", "Contributor 2 Media Source",
    "Contributor 2 Campaign", "Contributor 2 Touch Type", "Contributor 2 Touch Time", "Contributor 3 Partner",
    "Contributor 3 Media Source", "Contributor 3 Campaign", "Contributor 3 Touch Type", "Contributor 3 Touch Time",
    "Region", "Country Code", "State", "City", "Postal Code", "DMA", "IP", "WIFI", "Operator", "Carrier", "Language",
    "AppsFlyer ID", "Advertising ID", "IDFA", "Android ID", "Customer User ID", "IMEI", "IDFV", "Platform",
    "Device Type", "OS Version", "App Version", "SDK Version", "App ID", "App Name", "Bundle ID", "Is Retargeting",
    "Retargeting Conversion Type", "Attribution Lookback", "Reengagement Window", "Is Primary Attribution",
    "User Agent", "HTTP Referrer", "Original URL",
))  # fmt: skip
"""Each column, and its name in push messages."""

ADDITIONAL: Final[tuple[tuple[str, str, str], ...]] = tuple(
    (_pushed(column).replace("contributor_", "contributor"), column, _pushed(column)) for column in (
        "Store Reinstall", "Impressions", "Contributor 3 Match Type", "Custom Dimension", "Conversion Type",
        "Google Play Click Time", "Match Type", "Mediation Network", "OAID", "Deeplink URL", "Blocked Reason",
        "Blocked Sub Reason", "Google Play Broadcast Referrer", "Google Play Install Begin Time", "Campaign Type",
        "Custom Data", "Rejected Reason", "Device Download Time", "Keyword Match Type", "Contributor 1 Match Type",
        "Contributor 2 Match Type", "Device Model", "Monetization Network", "Segment", "Is LAT",
        "Google Play Referrer", "Blocked Reason Value", "Store Product Page", "Device Category", "App Type",
        "Rejected Reason Value", "Ad Unit", "Keyword ID", "Placement", "Network Account ID", "Install App Store",
        "Amazon Fire ID", "ATT", "Engagement Type", "Contributor 1 Engagement Type",
        "Contributor 2 Engagement Type", "Contributor 3 Engagement Type", "GDPR Applies", "Ad User Data Enabled",
        "Ad Personalization Enabled", "Total Candidates", "Engagement Destination",
    )
)  # fmt: skip
"""The name by which a field is asked for, its column, and its name in push messages."""
