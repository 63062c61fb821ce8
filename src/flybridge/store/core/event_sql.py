"""SQL texts that find events, the same for all backends but for the form of parameters and of lists."""
# ruff: noqa: S608 - the pieces are this module's own

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from flybridge.store.core.tables import Read

EVENT: Final = """SELECT ledger.id, cells.app, cells.source, outcome, cells.reason, insert_id, ledger.received_ms,
                         changed_ms, uncertain, coalesce(dimensions.kind, ''), coalesce(dimensions.event, ''),
                         coalesce(dimensions.media_source, ''), coalesce(campaign, ''), coalesce(country, '')"""
PARTS: Final = """JOIN cells ON cells.id = ledger.cell
                  LEFT JOIN performance_cells ON performance_cells.id = ledger.performance
                  LEFT JOIN dimensions ON dimensions.id = dimension"""
FILTERED: Final = (
    "cells.app",
    "cells.source",
    "outcome",
    "cells.reason",
    "event",
    "dimensions.media_source",
    "insert_id",
)
TABLES: Final = (
    ("ledger", Read.EVENTS, Read.EVENTS_END),
    ("holds", Read.EVENTS_HELD, Read.EVENTS_HELD_END),
    ("dead", Read.EVENTS_DEAD, Read.EVENTS_DEAD_END),
)


def event_queries(number: Callable[[int], str], text: Callable[[int], str], among: str) -> Mapping[Read, str]:
    """Return the statements. `number` and `text` write a parameter, `among` a list of persons."""
    found = {
        Read.EVENTS_OF_PERSONS: f"{EVENT} FROM ledger {PARTS} WHERE {among} ORDER BY ledger.id DESC LIMIT 500",
        Read.EVENT: f"{EVENT} FROM ledger {PARTS} WHERE ledger.id = {number(1)}",
        Read.HOLD_OF: f"""SELECT event_type, media_source, key_kinds, event_ms, expires_ms FROM holds
                          WHERE id = {number(1)}""",
        Read.DELIVERY_OF: f"""SELECT endpoint, due_ms, owner IS NOT NULL, tries, uncertain
                              FROM deliveries JOIN lanes ON lanes.id = lane
                              WHERE deliveries.id = {number(1)} AND line = {number(2)}""",
        Read.HIGHEST_ROW: "SELECT max(id) FROM ledger",
        Read.ROW_FROM: f"SELECT id, received_ms FROM ledger WHERE id >= {number(1)} ORDER BY id LIMIT 1",
    }
    chosen = " AND ".join(f"({text(at)} = '' OR {column} = {text(at)})" for at, column in enumerate(FILTERED, 3))
    for table, rows, end in TABLES:
        page = f"SELECT id FROM {table} WHERE id < {number(1)} ORDER BY id DESC LIMIT {number(2)}"
        found[rows] = f"""{EVENT} FROM ({page}) AS page JOIN ledger ON ledger.id = page.id {PARTS}
                          WHERE {chosen} AND ledger.received_ms BETWEEN {number(10)} AND {number(11)}
                          ORDER BY ledger.id DESC LIMIT {number(12)}"""
        found[end] = f"""SELECT coalesce(min(page.id), 0), count(*), coalesce(max(received_ms), 0)
                         FROM ({page}) AS page JOIN ledger ON ledger.id = page.id"""
    return found
