"""The section writers of each kind of message, made once for all apps whose settings fill the same fields."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

from flybridge.amplitude.event import Event
from flybridge.appsflyer.fields import NAMES
from flybridge.mapping.restrictions import ADVERTISING
from flybridge.mapping.table import Row, Section, with_prefix
from flybridge.mapping.to_amplitude.attribution_block import AttributionBlock
from flybridge.mapping.to_amplitude.place import PlaceRule
from flybridge.mapping.to_amplitude.sections import SectionWriter


class Plan(Struct, frozen=True):
    """The section writers of one kind of message.

    `top` is given the fields of `amplitude.event.Event` and those of `place`. The others are given the media
    source, where they show it, and `event` then the type of the message.
    """

    top: SectionWriter
    event: SectionWriter
    user: SectionWriter
    attribution: AttributionBlock
    place: PlaceRule
    shows_source: bool


# Making them takes as long as mapping a hundred messages, and the settings of most apps fill the same fields.
@lru_cache(maxsize=32)
def plans_of(
    mark: str, rows: tuple[Row, ...], without: tuple[str, ...], *, sends_place: bool
) -> Mapping[tuple[bool, bool], Plan]:
    """Return the plan of each kind of message, by whether it is a conversion, and whether its source is restricted.

    `mark` stands in front of names, `rows` are those that apply to an app, and `without` the fields that are not sent.
    Restricted plans do not reveal where a person came from.
    """
    source = () if "media_source" in without else (f"{mark}media source",)

    def plan(*, conversion: bool, restricted: bool, possible: tuple[str, ...] = ()) -> Plan:
        """Return a plan; `possible` are the user properties that an unrestricted conversion may set."""
        filled = [
            row for row in rows if (conversion or not row.conversions_only) and not (restricted and reveals_source(row))
        ]
        placed = {
            section: [(with_prefix(row.place[1], mark), row) for row in filled if row.place[0] is section]
            for section in Section
        }
        # Only conversions say the source of a user.
        user = SectionWriter(placed[Section.USER], after=source if conversion else ())
        # A row of the configuration takes the place of one of the four fields of a location.
        taken = {key for key, _ in placed[Section.TOP]}
        place = PlaceRule(without, sent=sends_place, taken=taken)
        return Plan(
            SectionWriter(placed[Section.TOP], before=(*Event.__struct_fields__, *place.fields)),
            SectionWriter(placed[Section.EVENT], after=(*source, f"{mark}message type")),
            user,
            AttributionBlock(mark, possible or user.keys, user.keys, rows),
            place,
            shows_source=bool(source),
        )

    # What a conversion may set is known from the first.
    found = {(True, False): plan(conversion=True, restricted=False)}
    possible = found[True, False].user.keys
    for conversion, restricted in ((True, True), (False, False), (False, True)):
        found[conversion, restricted] = plan(conversion=conversion, restricted=restricted, possible=possible)
    return found


def reveals_source(row: Row) -> bool:
    """Whether a row may reveal where a person came from. Unknown fields are treated as revealing."""
    return row.source in ADVERTISING or (
        row.source not in NAMES and not row.source.startswith(("custom_data.", "event_value."))
    )
