-- An AppsFlyer audience that follows an Amplitude cohort. Its counters move with the rows they count.
CREATE TABLE audiences (
    id INTEGER PRIMARY KEY,
    app TEXT NOT NULL,
    name TEXT NOT NULL,
    cohort TEXT NOT NULL,
    title TEXT NOT NULL DEFAULT '', -- the cohort's name in Amplitude, once it is known
    target BLOB NOT NULL, -- hash of the import key: another key is another audience
    revision INTEGER NOT NULL DEFAULT 0, -- goes up with everything filed about its members, and with every forgotten person
    floor_ms INTEGER NOT NULL DEFAULT 0, -- what was computed at or before this moment is no news
    snapshot_ms INTEGER NOT NULL DEFAULT 0, -- of the newest whole cohort taken over; 0: none yet
    people INTEGER NOT NULL DEFAULT 0, -- members in Amplitude
    lacking INTEGER NOT NULL DEFAULT 0, -- of these, without an identifier that may be sent
    listed INTEGER NOT NULL DEFAULT 0, -- devices AppsFlyer has accepted
    refused INTEGER NOT NULL DEFAULT 0, -- devices AppsFlyer does not take
    max_devices INTEGER NOT NULL DEFAULT 0, -- the limit of a request, as AppsFlyer has named it; 0: it has not
    tries INTEGER NOT NULL DEFAULT 0, -- runs that failed in a row
    next_ms INTEGER NOT NULL DEFAULT 0, -- when to run again; -1: at once, also if it is running now
    ran_ms INTEGER NOT NULL DEFAULT 0, -- end of the last run
    complete_ms INTEGER NOT NULL DEFAULT 0, -- end of the last run that left nothing to be sent
    held INTEGER NOT NULL DEFAULT 0, -- people a snapshot would have removed that the shrink guard did not let pass
    request_id TEXT NOT NULL DEFAULT '', -- a download Amplitude was asked for, not taken over yet
    requested_ms INTEGER NOT NULL DEFAULT 0,
    owner TEXT, -- who runs it now
    leased_until_ms INTEGER NOT NULL DEFAULT 0,
    UNIQUE (app, name)
) STRICT;

-- What Amplitude says. A row that is not wanted remembers when that was said, until a snapshot says so too.
CREATE TABLE members (
    audience INTEGER NOT NULL,
    person BLOB NOT NULL, -- keyed hash
    wanted INTEGER NOT NULL,
    said_ms INTEGER NOT NULL,
    mark BLOB, -- of the device; NULL: there is none
    lack INTEGER NOT NULL, -- 0: nothing, 1: an identifier, 2: consent
    who BLOB, -- sealed, only where something is lacking
    extra BLOB, -- hash of what the additional-identifiers API was to know
    PRIMARY KEY (audience, person)
) STRICT, WITHOUT ROWID;

-- What AppsFlyer has. People who share a device share its row.
CREATE TABLE devices (
    audience INTEGER NOT NULL,
    mark BLOB NOT NULL, -- keyed hash of the identifier
    sealed BLOB NOT NULL, -- the identifier: needed to add it, and to remove it
    wanted INTEGER NOT NULL, -- by how many members
    standing INTEGER NOT NULL, -- 0: not listed, 1: listed, 2: not known (sent, and no answer yet), 3: refused
    extra BLOB, -- sealed, what the additional-identifiers API is still to be told
    PRIMARY KEY (audience, mark)
) STRICT, WITHOUT ROWID;
CREATE INDEX devices_add ON devices (audience, mark) WHERE wanted > 0 AND standing IN (0, 2);
CREATE INDEX devices_remove ON devices (audience, mark) WHERE wanted <= 0 AND standing IN (1, 2);
CREATE INDEX devices_extra ON devices (audience, mark) WHERE extra IS NOT NULL;

CREATE TABLE audience_runs (
    id INTEGER PRIMARY KEY,
    audience INTEGER NOT NULL,
    began_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    told BLOB NOT NULL -- outcome, counts, reason: store.cohort_protocol.Run
) STRICT;
CREATE INDEX audience_runs_age ON audience_runs (audience, ended_ms);
