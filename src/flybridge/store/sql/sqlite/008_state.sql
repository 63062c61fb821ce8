-- What the store knows of itself: a sealed text by which a wrong secret is recognised when it is opened, for example.
CREATE TABLE state (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;

-- Which of the equal rows of its file a dead letter is, to be mapped as that one when it is replayed.
ALTER TABLE dead ADD COLUMN ordinal INTEGER NOT NULL DEFAULT 0;
