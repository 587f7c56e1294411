-- +goose Up
-- Which workflows used a generation of a proxy token, and when last. It is shown; it decides nothing. The workflow '' is a caller
-- that named none.
CREATE TABLE token_use (
    id       TEXT   NOT NULL,          -- of the generation
    workflow TEXT   NOT NULL,
    used     BIGINT NOT NULL,
    PRIMARY KEY (id, workflow)
);
CREATE INDEX token_use_used ON token_use (used);
