-- Messages as they came, kept for `retention.message_hours` if that is set; the id is that of the ledger row.
CREATE TABLE messages (
    id bigint PRIMARY KEY,
    kept_ms bigint NOT NULL,
    sealed bytea NOT NULL
);
CREATE INDEX messages_age ON messages (kept_ms);
