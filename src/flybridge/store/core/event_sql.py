"""The statements that find events, written as in `store.core.queries`."""
# ruff: noqa: S608 - the pieces are this module's own

from __future__ import annotations

from collections.abc import Mapping
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


def _event_reads() -> Mapping[Read, str]:
    found = {
        Read.EVENTS_OF_PERSONS: f"""{EVENT} FROM ledger {PARTS} WHERE person = ANY($1::bigint[])
                                    ORDER BY ledger.id DESC LIMIT 500""",
        Read.EVENT: f"{EVENT} FROM ledger {PARTS} WHERE ledger.id = $1::bigint",
        Read.HOLD_OF: """SELECT event_type, media_source, key_kinds, event_ms, expires_ms FROM holds
                         WHERE id = $1::bigint""",
        Read.DELIVERY_OF: """SELECT endpoint, due_ms, owner IS NOT NULL, tries, uncertain
                             FROM deliveries JOIN lanes ON lanes.id = lane
                             WHERE deliveries.id = $1::bigint AND line = $2::bigint""",
        Read.HIGHEST_ROW: "SELECT max(id) FROM ledger",
        Read.ROW_FROM: "SELECT id, received_ms FROM ledger WHERE id >= $1::bigint ORDER BY id LIMIT 1",
    }
    chosen = " AND ".join(f"(${at}::text = '' OR {column} = ${at}::text)" for at, column in enumerate(FILTERED, 3))
    for table, rows, end in TABLES:
        page = f"SELECT id FROM {table} WHERE id < $1::bigint ORDER BY id DESC LIMIT $2::bigint"
        found[rows] = f"""{EVENT} FROM ({page}) AS page JOIN ledger ON ledger.id = page.id {PARTS}
                          WHERE {chosen} AND ledger.received_ms BETWEEN $10::bigint AND $11::bigint
                          ORDER BY ledger.id DESC LIMIT $12::bigint"""
        found[end] = f"""SELECT coalesce(min(page.id), 0), count(*), coalesce(max(received_ms), 0)
                         FROM ({page}) AS page JOIN ledger ON ledger.id = page.id"""
    return found


EVENT_READS: Final = _event_reads()
