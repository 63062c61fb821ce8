"""The settings of `[apps.mapping]`: how a postback becomes an Amplitude event.

The text under each field is its documentation: docs/reference/config.md is printed from it.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from flybridge.mapping.conditions import Condition, Name
from flybridge.mapping.to_amplitude.revenue import RevenueIn

CustomerUserId = Literal["send", "when-seen", "never"]


class MappingRow(Struct, frozen=True, forbid_unknown_fields=True):
    """One more field to carry over."""

    source: Name
    """The AppsFlyer field, or `custom_data.` or `event_value.` and a key."""
    target: Name
    """Its place in the Amplitude event: `event_properties.` or `user_properties.` and a key, or a field of the
    event itself that the mapping table fills."""


class EventMapping(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a postback becomes an Amplitude event."""

    prefix: str = "AppsFlyer"
    """The word in brackets in front of event and property names: `[AppsFlyer] Install`."""
    rename: dict[str, Name] = field(default_factory=dict)
    """Events that get another name in Amplitude: AppsFlyer's name of an in-app event, or the name of a conversion as
    it would be sent (`[AppsFlyer] Install`), and the new name."""
    include: tuple[Name, ...] = ("*",)
    """In-app events that are sent, by AppsFlyer's name or a glob (`af_*`). Others end as filtered."""
    exclude: tuple[Name, ...] = ()
    """Events that are not sent, even if included: in-app events by name or glob, conversions by AppsFlyer's event type
    (`re-engagement`, `organic-*`)."""
    device_id_key: str = "amplitude_device_id"
    """The key of AppsFlyer's custom data, or of an event's value, under which the app passes its Amplitude device id.
    With it a postback is matched without waiting. Dots lead into objects (`user.device_id`); a key in another case of
    letters is found if the exact one is not there."""
    session_id_key: str = "amplitude_session_id"
    """The key of custom data under which the app passes its Amplitude session id, in milliseconds or seconds."""
    user_id_key: str = "amplitude_user_id"
    """The key of custom data under which the app passes its Amplitude user id."""
    customer_user_id: CustomerUserId | None = None
    """What AppsFlyer's customer user id is to Amplitude. `send`, the default: it is the user id, also of a user whom
    Amplitude has not seen; Amplitude then makes a new one. `when-seen`: events wait until Amplitude has seen a user
    with that id. `never`: the two differ, and it is neither sent nor matched by."""
    use_customer_user_id: bool | None = None
    """The former name of `customer_user_id`: true is `send`, false is `never`."""
    revenue: RevenueIn = RevenueIn.EVENT
    """The amount that becomes an event's revenue. Amplitude adds up the revenue of all events as plain numbers,
    whatever their currency: write `usd` (AppsFlyer's conversion to US dollars) or `selected` (to the currency selected
    for the app in AppsFlyer) for an app that sells in several. `event` is the amount in the event's own currency,
    `none` leaves revenue to the app's own SDK. An amount without a currency is never sent."""
    location: Literal["appsflyer", "amplitude"] = "appsflyer"
    """Who says where an event happened. `appsflyer`: country, region, city and DMA as AppsFlyer reports them, all four
    together, because in Amplitude one of them resets the others; none of them if country, state or city is not
    reported. `amplitude`: none of them. Where none is sent, Amplitude looks up the IP address."""
    advertising_ids: Literal["send", "match-only"] = "send"
    """Whether the IDFA and the Google or Amazon advertising id are sent to Amplitude, or only used to match, as keyed
    hashes."""
    uninstalls: Literal["leave-out", "send"] = "leave-out"
    """Whether uninstalls are sent: as the event `[AppsFlyer] Uninstall`, and as the user property
    `[AppsFlyer] uninstalled at`, which the next conversion removes."""
    double_attribution: Literal["primary", "both", "first"] = "primary"
    """Which copies of an in-app event are sent that AppsFlyer attributes twice, within an open re-engagement window:
    `primary` (the other is filtered as `secondary_attribution`), `both` as two events, or the `first` that arrives.
    AppsFlyer tells them apart by `is_primary_attribution`: select it in the Push API settings."""
    without: tuple[Name, ...] = ()
    """AppsFlyer fields of the mapping table that are not sent."""
    rows: tuple[MappingRow, ...] = ()
    """More fields to carry over, beside those of the mapping table."""
    where: tuple[Condition, ...] = ()
    """Conditions that a postback must meet, all of them; others end as filtered. `property` is a field of AppsFlyer
    (`media_source`, `country_code`), or `event_value.` or `custom_data.` and a key."""

    @property
    def customer_user(self) -> CustomerUserId:
        """What the customer user id is to Amplitude, by either name of the setting."""
        if self.customer_user_id is not None:
            return self.customer_user_id
        return "never" if self.use_customer_user_id is False else "send"
