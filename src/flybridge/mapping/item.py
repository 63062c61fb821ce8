"""One Amplitude item in the making, and its two forms.

https://amplitude.com/docs/apis/analytics/http-v2, https://amplitude.com/docs/apis/analytics/attribution
(read 2026-11-24).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from flybridge.amplitude.event import Event, is_reserved, joined, within_limits
from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback_kind import Kind
from flybridge.mapping.person import Person, custom_data, names_a_device
from flybridge.mapping.restrictions import PASS, Policy
from flybridge.mapping.revenue import cost_usd, revenue_of, revenue_usd
from flybridge.mapping.rules import Compiled, Plan, Rules
from flybridge.records import Measure, day_of

_encoder: Final = msgspec.json.Encoder()

DISPLAY: Final = {"android": "Android", "ios": "iOS"}
"""Platforms as Amplitude's SDKs write them."""


class Item(Struct, frozen=True, gc=False):
    """One item in the making: everything that is known before its JSON is written."""

    postback: Postback
    rules: Rules
    compiled: Compiled
    kind: Kind
    event_type: str
    policy: Policy
    platform: str
    person: Person
    value: Any
    event_ms: int
    insert_id: str

    def media_source(self) -> str | None:
        """Give the source as it may be told; None if it may not, or nobody knows it."""
        if self.policy is not PASS:
            return "organic" if self.policy is Policy.ORGANIC else None
        source = self.postback.media_source
        if source is None:
            return "organic" if self.kind.is_organic else None
        return "organic" if source.lower() == "organic" else source

    def http_v2(self, notes: list[str]) -> bytes:
        """Write the item for the HTTP V2 API."""
        revenue = revenue_of(self.postback, self.value, notes)
        facts = Event(
            event_type=self.event_type,
            time=self.event_ms,
            insert_id=self.insert_id,
            platform=DISPLAY.get(self.platform, self.platform),
            os_name=self.platform if self.platform in DISPLAY else None,
            session_id=self.person.session_id,
        )
        if revenue is not None:
            facts.revenue = revenue.amount
            facts.currency = revenue.currency
            facts.revenueType = revenue.type
            facts.productId = revenue.product_id
            facts.quantity = revenue.quantity
        if is_reserved(self.postback.event_name or ""):
            notes.append("The event's name is one of Amplitude's own and got the prefix.")
        facts.event_properties = Raw(self.event_properties(notes))
        plan = self.plan
        if plan.user.keys:
            facts.user_properties = Raw(self.user_properties(notes))
        return joined(self.write(facts), plan.top.write(plan.top.values(self.postback, self.find)))

    def attribution(self, notes: list[str]) -> bytes:
        """Write the item for the Attribution API: identifiers and user properties, no event properties."""
        facts = Event(event_type=self.event_type, time=self.event_ms, platform=self.platform)
        facts.user_properties = Raw(self.user_properties(notes))
        return self.write(facts)

    def write(self, facts: Event) -> bytes:
        """Write the event's own fields, with the identifiers that may leave."""
        for name, value in self.person.top.items():
            setattr(facts, name, value)
        return _encoder.encode(facts)

    @property
    def plan(self) -> Plan:
        """Give the forms for this kind of message."""
        policy = Policy.ORGANIC if self.is_told_apart else self.policy
        return self.compiled.plan(self.kind.is_conversion, policy)

    @property
    def is_told_apart(self) -> bool:
        """Say whether it is organic and names a campaign all the same. Organic events carry none."""
        return self.postback.campaign is not None and self.kind.is_organic

    def event_properties(self, notes: list[str]) -> bytes:
        """Write the properties: the app's own, and those of the rows."""
        form = self.plan.event
        values = form.values(self.postback, self.find)
        values[form.slot[self.compiled.media_source_key]] = self.media_source()
        values[form.slot[self.compiled.message_type_key]] = self.kind.value
        written = form.write(values)
        own: dict[str, Any] = {}
        if self.value is not None:
            own = self.own_properties()
            written = joined(_write(own, notes), written)
        return self._without_devices(own | form.as_dict(values), notes) if self._tells(written) else written

    def user_properties(self, notes: list[str]) -> bytes:
        """Write the user's properties. The source is told of conversions, which are what it is known from."""
        form = self.plan.user
        values = form.values(self.postback, self.find)
        if self.kind.is_conversion:
            values[form.slot[self.compiled.media_source_key]] = self.media_source()
        written = form.write(values)
        return self._without_devices(form.as_dict(values), notes) if self._tells(written) else written

    def own_properties(self) -> dict[str, Any]:
        """Give the properties in the event's value, without those that hold an identifier by name."""
        if not isinstance(self.value, dict):
            return {"event_value": self.value}
        hides = self.compiled.hides
        return {key: part for key, part in self.value.items() if not hides(key)}

    def _tells(self, written: bytes) -> bool:
        """Say whether properties contain one of the person's device identifiers."""
        written = written.lower()
        return any([device in written for device in self.person.devices])  # noqa: C419 - half the time of a generator

    def _without_devices(self, properties: dict[str, Any], notes: list[str]) -> bytes:
        for key in [key for key, value in properties.items() if names_a_device(value, self.person.devices)]:
            del properties[key]
            notes.append(f"The property {key} contains a device identifier and was left out.")
        return _write(properties, notes)

    def find(self, source: str) -> Any:
        """Give a source that is no field of `Postback`."""
        place, dot, key = source.partition(".")
        if dot and place == "custom_data":
            return custom_data(self.postback).get(key)
        if dot and place == "event_value":
            return self.value.get(key) if isinstance(self.value, dict) else None
        return self.postback.get(source)

    def measure(self, source: str) -> Measure:
        """Say what the item adds to the rollups."""
        postback = self.postback
        told = self.policy is PASS and not self.is_told_apart
        return Measure(
            kind=self.kind.value,
            event=self.event_type,
            media_source=source,
            campaign=(postback.campaign or "") if told else "",
            country=postback.country_code or "",
            platform=self.platform,
            event_day=day_of(self.event_ms),
            revenue=revenue_usd(postback, self.value),
            cost=cost_usd(postback) if told and self.kind.is_conversion else 0.0,
        )


def _write(properties: dict[str, Any], notes: list[str]) -> bytes:
    """Write JSON; what JSON can't carry is brought inside the limits first."""
    try:
        return _encoder.encode(properties)
    except (OverflowError, ValueError, RecursionError):
        return _encoder.encode(within_limits(properties, notes))
