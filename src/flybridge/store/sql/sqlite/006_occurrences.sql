-- What tells apart the occurrences within the second that a key names: milliseconds, and ordinals of rows of files as
-- negative numbers, in MessagePack. NULL: the key alone is the identity, or a single row is known.
ALTER TABLE seen ADD COLUMN occurrences BLOB;
