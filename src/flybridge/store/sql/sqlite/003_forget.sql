-- Whose line it is: a number that means something only together with `people`.
ALTER TABLE ledger ADD COLUMN person INTEGER;
CREATE INDEX ledger_person ON ledger (person) WHERE person IS NOT NULL;

-- By which keys a person was met. One row per key and person, not per event.
CREATE TABLE people (key BLOB NOT NULL, person INTEGER NOT NULL, PRIMARY KEY (key, person)) STRICT, WITHOUT ROWID;
CREATE INDEX people_person ON people (person);

-- What remains of a person who was forgotten: data from before that moment has no effect any more.
CREATE TABLE tombstones (key BLOB PRIMARY KEY, since_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- What was done on request. Keys are hashes; nothing in here is anybody's id.
CREATE TABLE receipts (
    id TEXT PRIMARY KEY,
    made_ms INTEGER NOT NULL,
    keys BLOB NOT NULL,
    removed BLOB NOT NULL, -- counts
    steps BLOB NOT NULL -- requests to vendors, and how each stands
) STRICT;
CREATE INDEX receipts_made ON receipts (made_ms);
