-- Attempts to deliver that were not simply accepted, oldest first; what is accepted at once has no row.
CREATE TABLE attempts (
    line INTEGER NOT NULL, -- the ledger row
    id INTEGER NOT NULL,
    delivery INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    status INTEGER NOT NULL, -- of the answer; 0: there was none
    reason TEXT NOT NULL,
    words BLOB, -- sealed: what the vendor said may quote an id
    PRIMARY KEY (line, id)
) STRICT, WITHOUT ROWID;
