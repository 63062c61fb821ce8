-- By which kinds of key events could have been matched that expired, by the cell of performance they are counted in.
CREATE TABLE expired_kinds (
    cell INTEGER NOT NULL,
    key_kinds TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (cell, key_kinds)
) STRICT, WITHOUT ROWID;
