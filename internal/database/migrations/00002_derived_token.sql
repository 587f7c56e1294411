-- +goose Up
CREATE TABLE derived_token (
    name    TEXT   NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,           -- goes up by one with each save, and never down
    sealed  BYTEA  NOT NULL,
    updated BIGINT NOT NULL
);
