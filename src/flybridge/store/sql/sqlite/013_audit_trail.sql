-- Who did what in the console and on the command line. Rows are only added; `chain` binds each to the one before.
CREATE TABLE audit_trail (
    number INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    outcome TEXT NOT NULL,
    chain BLOB NOT NULL
) STRICT;
CREATE TRIGGER audit_trail_keeps_rows BEFORE UPDATE ON audit_trail
BEGIN SELECT RAISE(ABORT, 'rows of the audit trail are only added'); END;
CREATE TRIGGER audit_trail_keeps_all BEFORE DELETE ON audit_trail
BEGIN SELECT RAISE(ABORT, 'rows of the audit trail are only added'); END;
