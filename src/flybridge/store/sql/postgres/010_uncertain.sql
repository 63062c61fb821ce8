-- The messages that a vendor may have got more than once are few, and listed.
CREATE INDEX ledger_uncertain ON ledger (id) WHERE uncertain > 0;
