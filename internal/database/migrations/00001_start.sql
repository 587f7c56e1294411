-- One set of migrations for SQLite and PostgreSQL. Times are microseconds since 1970 in UTC; 0 is "never".
-- BYTEA is PostgreSQL's name; SQLite stores blobs in a column of any declared type as they are.

-- +goose Up
CREATE TABLE secret (
    name    TEXT   NOT NULL PRIMARY KEY,
    latest  BIGINT NOT NULL,           -- the highest version ever given out, also after a deletion
    created BIGINT NOT NULL,
    deleted BIGINT NOT NULL DEFAULT 0  -- when not 0 the secret is gone and this row is its tombstone
);

CREATE TABLE secret_version (
    name    TEXT   NOT NULL REFERENCES secret (name),
    version BIGINT NOT NULL,
    sealed  BYTEA,                     -- NULL once deleted
    created BIGINT NOT NULL,
    deleted BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (name, version)
);

CREATE TABLE keyset (
    name    TEXT   NOT NULL PRIMARY KEY,
    wrapped BYTEA  NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL
);

CREATE TABLE proxy_token (
    id            TEXT   NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL,
    number        BIGINT NOT NULL,
    hash          BYTEA  NOT NULL,     -- HMAC-SHA256 of the whole token
    scope         TEXT   NOT NULL,     -- JSON
    pending       BIGINT NOT NULL,     -- 1 between the begin and the finish of a rotation
    created       BIGINT NOT NULL,
    expires       BIGINT NOT NULL DEFAULT 0,
    retire_at     BIGINT NOT NULL DEFAULT 0,
    revoked       BIGINT NOT NULL DEFAULT 0,
    last_used     BIGINT NOT NULL DEFAULT 0,
    last_workflow TEXT   NOT NULL DEFAULT '',
    UNIQUE (name, number)
);

CREATE TABLE rotation (
    name           TEXT   NOT NULL PRIMARY KEY,
    step           TEXT   NOT NULL,
    old_generation TEXT   NOT NULL,
    new_generation TEXT   NOT NULL,
    sealed         BYTEA,              -- the new value, until the rotation is finished
    started        BIGINT NOT NULL,
    updated        BIGINT NOT NULL,
    last_error     TEXT   NOT NULL DEFAULT ''
);

-- What has changed, for listeners on SQLite; PostgreSQL has NOTIFY.
CREATE TABLE notice (
    topic TEXT   NOT NULL PRIMARY KEY,
    seq   BIGINT NOT NULL
);
