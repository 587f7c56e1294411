-- +goose Up
-- When each service is probed next, by whom it is being probed, and what the last probe has shown; package monitor/probe. The result
-- has a MAC. It is shown; it decides nothing.
CREATE TABLE probe (
    service TEXT   NOT NULL PRIMARY KEY,
    due     BIGINT NOT NULL,        -- Unix time in microseconds
    owner   TEXT   NOT NULL,        -- of the replica that is making it, '' for none
    holds   BIGINT NOT NULL,        -- how long that is believed
    body    TEXT   NOT NULL,        -- JSON, '' for none
    mac     BYTEA  NOT NULL
);
