"""Where the sandbox's people come from: media sources with their campaigns, prices and habits.

Names of sources and fields are AppsFlyer's; campaigns are invented. `restricted` is what AppsFlyer reports where the
source forbids naming it, without a campaign (https://support.appsflyer.com/hc/en-us/articles/360006868017,
read 2026-11-24).
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")

RESTRICTED: Final = "restricted"
ORGANIC: Final = "organic"


class MediaSource(Struct, frozen=True):
    """A source of installs. `cost_usd` is the range of what one costs; none for organic and restricted.

    `quality` is how willingly its people come back, from 0 to 1.
    """

    name: str
    weight: float
    campaigns: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    cost_usd: tuple[float, float] | None = None
    touch: str = "click"
    platforms: tuple[str, ...] = ("android", "ios")
    quality: float = 0.5


QUALITY_OF_OTHERS: Final = 0.5

SOURCES: Final = (
    MediaSource(ORGANIC, 34, quality=0.8),
    MediaSource(
        "googleadwords_int",
        20,
        ("Search | Brand | {country}", "UAC | Installs | {country} | tCPI", "UAC | Purchases | {country} | tCPA"),
        ("ACI_Search", "ACI_Display", "ACI_Youtube"),
        (0.6, 3.2),
        quality=0.6,
    ),
    MediaSource(
        "Facebook Ads",
        16,
        ("FB_{country}_Prospecting_AAA", "FB_{country}_Lookalike_3pct_Payers", "FB_{country}_Video_Spring"),
        ("Facebook", "Instagram", "AudienceNetwork"),
        (0.9, 4.5),
    ),
    MediaSource(
        "tiktokglobal_int",
        11,
        ("TT_{country}_Creators_Q1", "TT_{country}_SparkAds", "tiktok app install · {country}"),
        ("TikTok", "Pangle"),
        (0.4, 2.1),
        quality=0.25,
    ),
    MediaSource(
        "Apple Search Ads",
        9,
        ("ASA {country} Brand Exact", "ASA {country} Competitors Broad", "ASA {country} Discovery"),
        ("Search Results",),
        (1.2, 5.0),
        platforms=("ios",),
        quality=0.9,
    ),
    MediaSource(
        "unityads_int",
        6,
        ("unity_{country}_playables", "unity_{country}_rewarded_D7ROAS"),
        ("Unity",),
        (0.3, 1.6),
        touch="impression",
        quality=0.1,
    ),
    MediaSource("applovin_int", 4, ("AL_{country}_ROAS_IAP", "AL_{country}_CPI_Wide"), ("MAX",), (0.3, 1.9)),
    MediaSource("email", 2, ("welcome-back “spring”", "newsletter #42"), ("crm",)),
    MediaSource("af_app_invites", 1, ("invite a friend",), ("whatsapp", "sms")),
)
"""Sources of new people. The restricted one is drawn apart, by its share."""

RETARGETING: Final = (
    MediaSource("Facebook Ads", 5, ("FB_{country}_Retargeting_Cart_7d",), ("Facebook", "Instagram"), (0.2, 1.1)),
    MediaSource("criteo_int", 3, ("criteo_{country}_dynamic_retargeting",), ("Criteo",), (0.1, 0.9)),
    MediaSource("push", 2, ("come back, 20 % off",), ("crm",)),
)
"""Sources that bring people back."""

QUALITY: Final = {source.name: source.quality for source in SOURCES}


class Weighted(Generic[T]):
    """Draws items by weight, in logarithmic time."""

    def __init__(self, items: Sequence[T], weights: Sequence[float]) -> None:
        self._items = items
        self._sums = list(accumulate(weights))

    def draw(self, random: Random) -> T:
        """Draw one item."""
        return self._items[bisect(self._sums, random.random() * self._sums[-1], 0, len(self._items) - 1)]


def _of(sources: Sequence[MediaSource], platform: str) -> Weighted[MediaSource]:
    fitting = [source for source in sources if platform in source.platforms]
    return Weighted(fitting, [source.weight for source in fitting])


_NEW: Final = {platform: _of(SOURCES, platform) for platform in ("android", "ios")}
_BACK: Final = {platform: _of(RETARGETING, platform) for platform in ("android", "ios")}


class Touch(Struct, frozen=True):
    """One attribution: what AppsFlyer says brought this person. `cost_usd` None: free.

    `hidden` is what is restricted in raw data, and in aggregates is not.
    """

    media_source: str
    campaign: str | None
    cost_usd: float | None
    fields: dict[str, Any]
    hidden: Touch | None = None


def restricted_touch(hidden: Touch | None = None) -> Touch:
    """Return an attribution to a source that may not be named. Without `hidden` not even in aggregates."""
    return Touch(RESTRICTED, None, None, {"media_source": RESTRICTED, "match_type": "probabilistic"}, hidden)


def touch(random: Random, platform: str, country: str, *, retargeting: bool = False) -> Touch:
    """Draw an attribution for a person of this platform and country."""
    source = (_BACK if retargeting else _NEW)[platform].draw(random)
    if source.name == ORGANIC:
        return Touch(ORGANIC, None, None, {"media_source": ORGANIC})
    bits = random.getrandbits(48)
    number = bits % len(source.campaigns)
    campaign = source.campaigns[number].replace("{country}", country)
    channel = source.channels[bits % len(source.channels)]
    adset, ad = (bits >> 8) % 4 + 1, (bits >> 12) % 6 + 1
    cost = None
    if source.cost_usd is not None:
        lowest, highest = source.cost_usd
        cost = round(lowest + (highest - lowest) * random.random(), 2)
    # Numbers that stay the same for the same campaign, as a network's ids do.
    base = 120_200_000_000 + sum(source.name.encode()) * 1_000 + number * 100
    fields = {
        "media_source": source.name,
        "campaign": campaign,
        "af_c_id": str(base),
        "af_adset": f"{country}_{channel}_set{adset}",
        "af_adset_id": str(base + adset * 10),
        "af_ad": f"ad {ad} {'video' if ad % 2 else 'static'} 9x16",
        "af_ad_id": str(base + adset * 10 + ad),
        "af_ad_type": "Video" if ad % 2 else "Image",
        "af_channel": channel,
        "af_siteid": f"site{bits >> 20 & 63}",
        "af_sub1": f"creative_{ad}",
        "af_attribution_lookback": "7d" if source.touch == "click" else "24h",
        "attributed_touch_type": source.touch,
        "match_type": "gp_referrer" if platform == "android" else "id_matching",
        "http_referrer": "",
        "original_url": f"https://app.example.com/install?pid={source.name}&af_c_id={base}&af_ad_id={base + ad}",
    }
    return Touch(source.name, campaign, cost, fields)
