-- Who did what in the console and on the command line. Rows are only added; `chain` binds each to the one before.
CREATE TABLE audit_trail (
    number bigint PRIMARY KEY,
    at_ms bigint NOT NULL,
    actor text NOT NULL,
    address text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    detail text NOT NULL,
    outcome text NOT NULL,
    chain bytea NOT NULL
);
CREATE FUNCTION audit_trail_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of the audit trail are only added';
END $$;
CREATE TRIGGER audit_trail_keeps_rows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_trail
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail_only_grows();
