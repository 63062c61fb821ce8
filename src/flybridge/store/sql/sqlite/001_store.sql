-- Every envelope is one line of the ledger, and stands in exactly one cell. A cell counts its lines.
CREATE TABLE cells (
    id INTEGER PRIMARY KEY,
    app TEXT NOT NULL,
    day TEXT NOT NULL,
    source TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    n INTEGER NOT NULL DEFAULT 0,
    pruned INTEGER NOT NULL DEFAULT 0, -- how many of the n lines are past their retention and gone
    UNIQUE (app, day, source, outcome, reason)
) STRICT;

CREATE TABLE ledger (
    id INTEGER PRIMARY KEY,
    receipt TEXT NOT NULL UNIQUE,
    cell INTEGER NOT NULL,
    insert_id TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    uncertain INTEGER NOT NULL,
    digest BLOB NOT NULL -- of the message as it came
) STRICT;

-- Ids are never used twice, so that a late settlement can't hit somebody else's row.
CREATE TABLE ids (next INTEGER NOT NULL) STRICT;
INSERT INTO ids (next) VALUES (1);

CREATE TABLE seen (key BLOB PRIMARY KEY, until_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE lanes (id INTEGER PRIMARY KEY, app TEXT NOT NULL, endpoint TEXT NOT NULL, UNIQUE (app, endpoint)) STRICT;

-- What a held, pending or dead line carries, sealed; its id is the line's. Apart from the rows that point at it,
-- because those are updated and these are large. `who` is the identity a hold was given.
CREATE TABLE items (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL, who BLOB) STRICT;

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    line INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    owner TEXT, -- NULL: due; else leased
    leased_until_ms INTEGER NOT NULL DEFAULT 0,
    begun INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    uncertain INTEGER NOT NULL DEFAULT 0,
    split INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX deliveries_due ON deliveries (lane, due_ms, id) WHERE owner IS NULL;
CREATE INDEX deliveries_leased ON deliveries (leased_until_ms) WHERE owner IS NOT NULL;

CREATE TABLE holds (
    id INTEGER PRIMARY KEY, -- the line's
    lane INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    media_source TEXT NOT NULL,
    key_kinds TEXT NOT NULL,
    keys BLOB NOT NULL, -- all of the hold's keys, to find its rows in hold_keys
    received_ms INTEGER NOT NULL,
    event_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX holds_expiry ON holds (expires_ms);

CREATE TABLE hold_keys (key BLOB NOT NULL, hold INTEGER NOT NULL, PRIMARY KEY (key, hold)) STRICT, WITHOUT ROWID;

CREATE TABLE sightings (
    key BLOB NOT NULL,
    app TEXT NOT NULL,
    seen_ms INTEGER NOT NULL,
    sealed BLOB NOT NULL, -- the identities seen with this key, newest first
    PRIMARY KEY (key, app)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead (
    id INTEGER PRIMARY KEY, -- the line's
    lane INTEGER, -- NULL: died before there was a delivery
    stage TEXT NOT NULL,
    media TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail BLOB NOT NULL, -- sealed: a vendor's or a parser's sentence may quote an id
    remedy TEXT NOT NULL,
    version TEXT NOT NULL,
    died_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_age ON dead (died_ms);

CREATE TABLE rollups (
    app TEXT NOT NULL,
    event_day TEXT NOT NULL,
    kind TEXT NOT NULL,
    event TEXT NOT NULL,
    media_source TEXT NOT NULL,
    campaign TEXT NOT NULL,
    country TEXT NOT NULL,
    platform TEXT NOT NULL,
    n INTEGER NOT NULL,
    revenue REAL NOT NULL,
    cost REAL NOT NULL,
    PRIMARY KEY (app, event_day, kind, event, media_source, campaign, country, platform)
) STRICT, WITHOUT ROWID;
