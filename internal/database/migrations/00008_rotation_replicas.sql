-- +goose Up
-- What a run of a rotation asks of every replica, and what each answers; package rotation/poll. Each row has a MAC.
CREATE TABLE rotation_question (
    id    TEXT   NOT NULL PRIMARY KEY,
    asked BIGINT NOT NULL,
    body  TEXT   NOT NULL,          -- JSON
    mac   BYTEA  NOT NULL
);
CREATE TABLE rotation_answer (
    question TEXT  NOT NULL,
    replica  TEXT  NOT NULL,
    failure  TEXT  NOT NULL,        -- '' is a success
    mac      BYTEA NOT NULL,
    PRIMARY KEY (question, replica)
);
-- Who used which version of a secret, how often and when last; package rotation/evidence. A consumer is a workflow or, where none
-- is named, a token.
CREATE TABLE secret_use (
    version  TEXT   NOT NULL,       -- name and version, as in the audit log
    consumer TEXT   NOT NULL,
    uses     BIGINT NOT NULL,
    used     BIGINT NOT NULL,
    PRIMARY KEY (version, consumer)
);
CREATE INDEX secret_use_used ON secret_use (used);
