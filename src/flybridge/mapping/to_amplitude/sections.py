"""Section writers: rows compiled to a function that fills one section of an event as a struct.

Most messages fill the same seventy targets from the same fields, so that going through the rows for every message would
cost more than all else. As dataclasses and attrs do for `__init__`, a writer therefore generates one
straight-line function when the configuration is read. For the targets `campaign`, `touch time` and
`device_brand` of `mapping.to_amplitude.rows` it is:

    def fill(postback, value, classification):
        slot_1 = postback.attributed_touch_time
        if slot_1 is not None:
            slot_1 = moment(slot_1)
        slot_2 = postback.device_brand
        if slot_2 is None and (other := postback.device_model) is not None:
            slot_2 = brand(other)
        return Section(
            postback.campaign,
            slot_1,
            slot_2,
            classification.source,
        )

Only names of fields, names of flybridge's own converters and values, and quoted text get into it. The struct writes
itself as JSON without what is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.appsflyer.fields import KINDS, NAMES, Flag, Text
from flybridge.mapping.person import find
from flybridge.mapping.table import Row, flag, text

NO_KEYS: Final[Mapping[str, str]] = {}


class SectionWriter:
    """One section of an event. `keys` are the targets in order; of several rows for one the first value wins.

    `fill(postback, value, *given)` makes the section, as a struct that is to be written as JSON; `value` is the event's
    value, parsed, and `given` is what the caller knows besides. `text` is the function as it was generated.
    """

    def __init__(
        self,
        placed: Sequence[tuple[str, Row]],
        *,
        given: Sequence[str] = (),
        before: Mapping[str, str] = NO_KEYS,
        after: Mapping[str, str] = NO_KEYS,
    ) -> None:
        """Compile rows, each with its key.

        `before` and `after` are keys whose values come from the caller, with where each is found in `given`, such as
        `classification.source`. They are placed before and after those of the rows, and replace a row with the same
        key.
        """
        rows: dict[str, list[Row]] = {}
        for key, row in placed:
            rows.setdefault(key, []).append(row)
        # Targets of fields stand before those that only the configuration names.
        named = [key for key, row in placed if row.source in NAMES]
        self.keys = tuple(dict.fromkeys((*before, *named, *rows, *after)))
        self._section = msgspec.defstruct(
            "Section",
            [(f"slot_{slot}", Any, msgspec.field(default=None, name=key)) for slot, key in enumerate(self.keys)],
            omit_defaults=True,
            gc=False,
        )
        known = {**before, **after}
        lines, values = [], []
        for slot, key in enumerate(self.keys):
            if key in known:
                values.append(known[key])
            elif len(rows[key]) == 1 and _is_kept(rows[key][0]):
                values.append(_source(rows[key][0]))
            else:
                values.append(f"slot_{slot}")
                lines += _chosen(f"slot_{slot}", rows[key])
        self.text = "\n".join(
            (
                f"def fill({', '.join(('postback', 'value', *given))}):",
                *(f"    {line}" for line in lines),
                "    return Section(",
                *(f"        {value}," for value in values),
                "    )",
            )
        )
        scope: dict[str, Any] = {row.convert.__name__: row.convert for _, row in placed}
        scope |= {"Section": self._section, "find": find}
        exec(self.text, scope)  # noqa: S102 - our own text; see above for what gets into it
        self.fill: Callable[..., Struct] = scope["fill"]

    def as_dict(self, section: Struct) -> dict[str, Any]:
        """Return a section by key, without what is absent."""
        values = msgspec.structs.astuple(section)
        return {key: value for key, value in zip(self.keys, values, strict=True) if value is not None}


def _chosen(slot: str, rows: Sequence[Row]) -> list[str]:
    """Return the lines that give a slot the first value that one of its rows has."""
    first, *others = rows
    lines = [f"{slot} = {_source(first)}"]
    if not _is_kept(first):
        lines += [f"if {slot} is not None:", f"    {slot} = {first.convert.__name__}({slot})"]
    for row in others:
        found = "other" if _is_kept(row) else f"{row.convert.__name__}(other)"
        lines += [f"if {slot} is None and (other := {_source(row)}) is not None:", f"    {slot} = {found}"]
    return lines


def _source(row: Row) -> str:
    return f"postback.{row.source}" if row.source in NAMES else f"find(postback, value, {row.source!r})"


def _is_kept(row: Row) -> bool:
    """Return whether the value of a row needs no converting, because the field is of that type already."""
    kind = KINDS.get(row.source)
    return (kind == Text and row.convert is text) or (kind == Flag and row.convert is flag)
