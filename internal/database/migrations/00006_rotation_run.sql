-- +goose Up
-- Runs of rotations of secrets, unfinished and finished ones; package rotation/run. (The table `rotation` is of proxy tokens.)
CREATE TABLE rotation_run (
    id      TEXT   NOT NULL PRIMARY KEY,
    name    TEXT   NOT NULL,           -- the rotation, as the configuration calls it
    body    TEXT   NOT NULL,           -- JSON: the run without its value
    sealed  BYTEA                      -- the new value, until the run has ended or the store has it
);
CREATE INDEX rotation_run_name ON rotation_run (name);
