-- Whether a dead letter is the newest conversion of its person among imported files, to be mapped so when it is replayed.
ALTER TABLE dead ADD COLUMN newest INTEGER NOT NULL DEFAULT 0;
