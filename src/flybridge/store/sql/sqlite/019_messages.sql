-- Messages as they came, kept for `retention.message_hours` if that is set; the id is that of the ledger row.
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    kept_ms INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX messages_age ON messages (kept_ms);
