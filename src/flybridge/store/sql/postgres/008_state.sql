-- What the store knows of itself: a sealed text by which a wrong secret is recognised when it is opened, for example.
CREATE TABLE state (name text PRIMARY KEY, value bytea NOT NULL);

-- Which of the equal rows of its file a dead letter is, to be mapped as that one when it is replayed.
ALTER TABLE dead ADD COLUMN ordinal integer NOT NULL DEFAULT 0;
