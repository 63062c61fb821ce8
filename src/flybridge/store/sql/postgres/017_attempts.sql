-- Attempts to deliver that were not simply accepted, oldest first; what is accepted at once has no row.
CREATE TABLE attempts (
    line bigint NOT NULL, -- the ledger row
    id bigint NOT NULL,
    delivery bigint NOT NULL,
    lane bigint NOT NULL,
    at_ms bigint NOT NULL,
    status bigint NOT NULL, -- of the answer; 0: there was none
    reason text NOT NULL,
    words bytea, -- sealed: what the vendor said may quote an id
    PRIMARY KEY (line, id)
);
