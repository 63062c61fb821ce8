-- How many of the events that are counted in `n` are installs.
ALTER TABLE coverage ADD COLUMN installs bigint NOT NULL DEFAULT 0;
