-- What is leased as it is filed, one row for all that a lane takes of a batch; the id is that of its first ledger row.
CREATE TABLE bundles (
    id bigint PRIMARY KEY,
    last bigint NOT NULL, -- its last ledger row
    lane bigint NOT NULL,
    owner text NOT NULL,
    leased_until_ms bigint NOT NULL,
    due_ms bigint NOT NULL,
    n bigint NOT NULL, -- how many are in flight
    in_flight text NOT NULL, -- their ledger rows, as a JSON list
    lines text NOT NULL, -- ledger row, counter, time of reception and length of each, also of those that have ended
    packed bytea NOT NULL -- their sealed content, one after another
);
ALTER TABLE bundles ALTER COLUMN packed SET STORAGE EXTERNAL;
