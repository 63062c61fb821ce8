-- What performance is counted by. No row identifies a person.
CREATE TABLE dimensions (
    id INTEGER PRIMARY KEY,
    app TEXT NOT NULL,
    kind TEXT NOT NULL, -- install, reinstall, re-engagement, re-attribution, event, retargeted-event, unseen
    event TEXT NOT NULL,
    media_source TEXT NOT NULL,
    campaign TEXT NOT NULL,
    adset TEXT NOT NULL,
    ad TEXT NOT NULL,
    country TEXT NOT NULL,
    platform TEXT NOT NULL,
    UNIQUE (app, kind, event, media_source, campaign, adset, ad, country, platform)
) STRICT;

CREATE TABLE performance_cells (
    id INTEGER PRIMARY KEY,
    day INTEGER NOT NULL, -- since 1970, in the app's zone
    dimension INTEGER NOT NULL,
    UNIQUE (day, dimension)
) STRICT;

-- What happened on that day.
CREATE TABLE performance (
    cell INTEGER PRIMARY KEY,
    n INTEGER NOT NULL,
    revenue INTEGER NOT NULL, -- millionths of the app's currency
    not_converted INTEGER NOT NULL, -- events with an amount in a currency without a rate
    reached INTEGER NOT NULL, -- installations of which something was given to a person in Amplitude
    entered INTEGER NOT NULL, -- ledger rows that were counted here
    deleted INTEGER NOT NULL -- how many of these are past their retention and gone
) STRICT;

-- What the installations of a cell (of the day of their install) did so many days later.
CREATE TABLE install_cohorts (
    cell INTEGER NOT NULL,
    day_offset INTEGER NOT NULL,
    active INTEGER NOT NULL,
    payers INTEGER NOT NULL, -- whose first purchase this was
    events INTEGER NOT NULL,
    revenue INTEGER NOT NULL,
    not_converted INTEGER NOT NULL,
    PRIMARY KEY (cell, day_offset)
) STRICT, WITHOUT ROWID;

CREATE TABLE installations (
    key BLOB PRIMARY KEY, -- keyed hash of the AppsFlyer id
    cell INTEGER NOT NULL, -- of its install; 0: nothing is known of it
    day INTEGER NOT NULL,
    install_s INTEGER NOT NULL,
    touch_s INTEGER NOT NULL,
    paid_day INTEGER NOT NULL,
    reached INTEGER NOT NULL,
    days BLOB NOT NULL -- what it did on each day: offset, events, revenue, events not converted, in MessagePack
) STRICT, WITHOUT ROWID;

-- What a source reported about spend. NULL: it reported nothing about this. A lower precedence wins.
CREATE TABLE costs (
    app TEXT NOT NULL,
    day INTEGER NOT NULL,
    media_source TEXT NOT NULL,
    campaign TEXT NOT NULL,
    country TEXT NOT NULL,
    origin TEXT NOT NULL,
    precedence INTEGER NOT NULL,
    currency TEXT NOT NULL,
    spend INTEGER, -- millionths
    clicks INTEGER,
    impressions INTEGER,
    PRIMARY KEY (app, day, media_source, campaign, country, origin, currency)
) STRICT, WITHOUT ROWID;

-- The cell that a row was counted in.
ALTER TABLE ledger ADD COLUMN performance INTEGER;

CREATE TABLE restricted_counts (
    app TEXT NOT NULL,
    day TEXT NOT NULL,
    media_source TEXT NOT NULL, -- as AppsFlyer reports it
    policy TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (app, day, media_source, policy)
) STRICT, WITHOUT ROWID;
INSERT INTO restricted_counts
SELECT app, event_day, media_source, event, sum(n) FROM rollups WHERE kind = 'restricted' GROUP BY 1, 2, 3, 4;
-- The others were shown nowhere, and had neither the source as AppsFlyer reports it nor exact amounts.
DROP TABLE rollups;
