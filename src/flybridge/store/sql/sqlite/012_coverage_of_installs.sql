-- How many of the events that are counted in `n` are installs.
ALTER TABLE coverage ADD COLUMN installs INTEGER NOT NULL DEFAULT 0;
