"""Ad sets and ads are counted where a setting asks for them, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flybridge.config.settings import loads
from flybridge.errors import ConfigError
from flybridge.records import Envelope, Media, Source
from flybridge.wiring import build_flow

CONFIG = """
secret = "0123456789abcdef0123456789abcdef"
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
appsflyer.push_token = "push-token"
amplitude.api_key = "key"
{more}
"""
BODY = {
    "appsflyer_id": "1629191854863-7087038", "event_name": "af_level_achieved", "event_time": "2026-01-02 03:04:05.678",
    "install_time": "2026-01-01 03:04:05", "campaign_type": "ua", "media_source": "Facebook Ads", "campaign": "spring",
    "af_adset": "set 1", "af_ad": "ad 2", "country_code": "DE",
}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "adset", "ad"),
    [
        ("", "", ""),
        ('insight.detail = "campaign"', "", ""),
        ('insight.detail = "adset"', "set 1", ""),
        ('insight.detail = "ad"', "set 1", "ad 2"),
    ],
)
def test_the_finest_level_is_the_one_that_is_asked_for(more, adset, ad):
    flow = build_flow(loads(CONFIG.format(more=more), Path("/"), {}))
    filing = flow.filing(Envelope("shop", Source.PUSH, Media.JSON, 1, json.dumps(BODY).encode(), "r"))
    found = filing.performance
    for dimensions in (found.dimensions, found.origin):
        assert (dimensions.media_source, dimensions.campaign) == ("Facebook Ads", "spring")
        assert (dimensions.adset, dimensions.ad) == (adset, ad)


def test_there_is_no_finer_level():
    with pytest.raises(ConfigError, match="detail"):
        loads(CONFIG.format(more='insight.detail = "creative"'), Path("/"), {})
