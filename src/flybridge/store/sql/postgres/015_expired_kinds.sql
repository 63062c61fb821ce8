-- By which kinds of key events could have been matched that expired, by the cell of performance they are counted in.
CREATE TABLE expired_kinds (
    cell bigint NOT NULL,
    key_kinds text NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (cell, key_kinds)
);
