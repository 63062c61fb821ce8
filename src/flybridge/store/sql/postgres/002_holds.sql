-- The identity, sealed, under which a hold is sent when its window is over. NULL: it is not sent.
ALTER TABLE holds ADD COLUMN fallback bytea;

-- How many wait, by hour of reception: so that nobody has to count the holds themselves. A shard may be below zero:
-- who ends a hold is seldom who filed it.
CREATE TABLE hold_counts (
    lane bigint NOT NULL,
    media_source text NOT NULL,
    key_kinds text NOT NULL,
    hour bigint NOT NULL, -- since the epoch
    n bigint NOT NULL,
    shard integer NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX hold_counts_cell ON hold_counts (lane, hour, cell_of(media_source, key_kinds), shard);

-- How many events carried exactly these kinds of key.
CREATE TABLE coverage (
    day text NOT NULL, -- of reception
    app text NOT NULL,
    platform text NOT NULL,
    app_version text NOT NULL,
    media_source text NOT NULL,
    kinds text NOT NULL,
    n bigint NOT NULL,
    shard integer NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX coverage_cell ON coverage (day, cell_of(app, platform, app_version, media_source, kinds), shard);

-- By which kinds of identifier Amplitude has shown people, in sightings.
CREATE TABLE sighted (
    app text NOT NULL,
    kind text NOT NULL,
    n bigint NOT NULL,
    last_ms bigint NOT NULL, -- when the last was filed
    shard integer NOT NULL DEFAULT 0,
    PRIMARY KEY (app, kind, shard)
) WITH (fillfactor = 50);
