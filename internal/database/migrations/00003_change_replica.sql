-- +goose Up

-- What has changed, and when in the order of all changes: each takes the next number, in its own transaction. The row of the
-- empty topic has the highest number given out. It takes the place of `notice`, which stays for a gate of an older version that
-- is still running.
CREATE TABLE change (
    topic TEXT   NOT NULL PRIMARY KEY,
    seq   BIGINT NOT NULL
);
CREATE INDEX change_seq ON change (seq);

-- The running gates on this database. Times are by the database's clock.
CREATE TABLE replica (
    id            TEXT   NOT NULL PRIMARY KEY, -- of one process: another after a restart
    home          TEXT   NOT NULL,             -- where its data directory is; one process at a time has it. '' when that is not known
    host          TEXT   NOT NULL,
    address       TEXT   NOT NULL,             -- where its gateway listens
    version       TEXT   NOT NULL,
    started       BIGINT NOT NULL,
    seen          BIGINT NOT NULL,
    accepts_until BIGINT NOT NULL,             -- when it stops accepting tokens by itself, unless it is heard of again
    acted         BIGINT NOT NULL,             -- it acts by all changes up to this number,
    behind        TEXT   NOT NULL              -- but for those of these topics: JSON, an array
);
