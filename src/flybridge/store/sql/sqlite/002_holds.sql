-- The identity, sealed, under which a hold is sent when its window is over. NULL: it is not sent.
ALTER TABLE holds ADD COLUMN fallback BLOB;

-- How many wait, by hour of reception: so that nobody has to count the holds themselves.
CREATE TABLE hold_counts (
    lane INTEGER NOT NULL,
    media_source TEXT NOT NULL,
    key_kinds TEXT NOT NULL,
    hour INTEGER NOT NULL, -- since the epoch
    n INTEGER NOT NULL,
    PRIMARY KEY (lane, media_source, key_kinds, hour)
) STRICT, WITHOUT ROWID;
INSERT INTO hold_counts
SELECT lane, media_source, key_kinds, received_ms / 3600000, count(*) FROM holds GROUP BY 1, 2, 3, 4;

-- How many events carried exactly these kinds of key.
CREATE TABLE coverage (
    day TEXT NOT NULL, -- of reception
    app TEXT NOT NULL,
    platform TEXT NOT NULL,
    app_version TEXT NOT NULL,
    media_source TEXT NOT NULL,
    kinds TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (day, app, platform, app_version, media_source, kinds)
) STRICT, WITHOUT ROWID;

-- By which kinds of identifier Amplitude has shown people, in sightings.
CREATE TABLE sighted (
    app TEXT NOT NULL,
    kind TEXT NOT NULL,
    n INTEGER NOT NULL,
    last_ms INTEGER NOT NULL, -- when the last was filed
    PRIMARY KEY (app, kind)
) STRICT, WITHOUT ROWID;
