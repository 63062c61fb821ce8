-- What was found about one day of an app, and what vendors answered about it. No row identifies a person.
CREATE TABLE day_reports (
    app text NOT NULL,
    kind text NOT NULL, -- reconciliation, answers, findings, unexplained
    day bigint NOT NULL, -- since 1970, in the app's zone
    made_ms bigint NOT NULL,
    body bytea NOT NULL, -- JSON
    PRIMARY KEY (app, kind, day)
);
