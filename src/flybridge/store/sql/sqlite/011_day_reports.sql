-- What was found about one day of an app, and what vendors answered about it. No row identifies a person.
CREATE TABLE day_reports (
    app TEXT NOT NULL,
    kind TEXT NOT NULL, -- reconciliation, answers, findings, unexplained
    day INTEGER NOT NULL, -- since 1970, in the app's zone
    made_ms INTEGER NOT NULL,
    body BLOB NOT NULL, -- JSON
    PRIMARY KEY (app, kind, day)
) STRICT, WITHOUT ROWID;
