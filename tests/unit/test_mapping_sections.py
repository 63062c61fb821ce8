"""Writers of one section: rows, and what the caller gives."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from flybridge.appsflyer.fields import Postback
from flybridge.mapping.table import Row, as_is, brand, moment, text
from flybridge.mapping.to_amplitude.sections import SectionWriter

ROWS = (
    ("campaign", Row("campaign", "campaign", text, "")),
    ("touch time", Row("attributed_touch_time", "touch time", moment, "")),
    ("device_brand", Row("device_brand", "device_brand", text, "")),
    ("device_brand", Row("device_model", "device_brand", brand, "")),
)
UNKNOWN = ("new", Row("new", "new", as_is, ""))


def filled(
    writer: SectionWriter, postback: Postback, before: tuple[Any, ...] = (), after: tuple[Any, ...] = (), **fields: Any
) -> dict[str, Any]:
    postback = msgspec.structs.replace(postback, body=msgspec.json.encode(fields))
    values = writer.values(postback, None, before, after)
    written: dict[str, Any] = msgspec.json.decode(writer.write(values))
    assert written == writer.as_dict(values)
    assert list(written) == [key for key in writer.keys if key in written]
    return written


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        (
            {"campaign": "Spring", "device_brand": "a", "device_model": "b::c"},
            {"campaign": "Spring", "device_brand": "a"},
        ),
        ({"device_model": "b::c"}, {"device_brand": "b"}),
        ({"attributed_touch_time": "2026-01-31 12:00:00.5"}, {"touch time": "2026-01-31T12:00:00"}),
        ({"attributed_touch_time": "yesterday"}, {}),
    ],
)
def test_the_first_row_that_gives_a_value_wins(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """And what is absent, or can't be converted, is not written."""
    assert filled(SectionWriter(ROWS), Postback(**fields)) == expected


def test_what_the_caller_gives_stands_before_or_after_or_in_the_place_of_a_row() -> None:
    """A row with the same key is not asked."""
    writer = SectionWriter(ROWS, before=("time",), after=("campaign", "source"))
    assert writer.keys == ("time", "touch time", "device_brand", "campaign", "source")
    found = filled(writer, Postback(campaign="Spring"), (5,), ("given", None))
    assert found == {"time": 5, "campaign": "given"}


def test_a_source_that_is_no_field_is_looked_for_under_its_name() -> None:
    """Whatever the name is."""
    strange = "x') or exit() #\n"
    writer = SectionWriter((("odd", Row(strange, "odd", as_is, "")), UNKNOWN, *ROWS))
    assert writer.keys == ("campaign", "touch time", "device_brand", "odd", "new")
    assert filled(writer, Postback(), new=3, **{strange: "seen"}) == {"odd": "seen", "new": 3}


def test_of_a_field_and_an_unknown_one_the_first_wins() -> None:
    """The configuration's rows stand first, so that they outrank the table's."""
    known, unknown = ROWS[0], ("campaign", Row("new", "campaign", as_is, ""))
    assert filled(SectionWriter((unknown, known)), Postback(campaign="old"), new="new") == {"campaign": "new"}
    assert filled(SectionWriter((unknown, known)), Postback(campaign="old")) == {"campaign": "old"}
    assert filled(SectionWriter((known, unknown)), Postback(campaign="old"), new="new") == {"campaign": "old"}


def test_a_writer_without_fields_writes_what_it_is_given() -> None:
    """And a writer with a single field, which is read in another way than several."""
    assert filled(SectionWriter((), after=("source",)), Postback(), (), ("organic",)) == {"source": "organic"}
    assert filled(SectionWriter(ROWS[:1]), Postback(campaign="Spring")) == {"campaign": "Spring"}
