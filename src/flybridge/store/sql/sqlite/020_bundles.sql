-- What is leased as it is filed, one row for all that a lane takes of a batch; the id is that of its first ledger row.
CREATE TABLE bundles (
    id INTEGER PRIMARY KEY,
    last INTEGER NOT NULL, -- its last ledger row
    lane INTEGER NOT NULL,
    owner TEXT NOT NULL,
    leased_until_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    n INTEGER NOT NULL, -- how many are in flight
    in_flight TEXT NOT NULL, -- their ledger rows, as a JSON list
    lines TEXT NOT NULL, -- ledger row, counter, time of reception and length of each, also of those that have ended
    packed BLOB NOT NULL -- their sealed content, one after another
) STRICT;
