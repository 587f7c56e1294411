-- +goose Up
-- What the rows of the tables that decide something ought to be: one page per table, package ledger. The MAC stands first, so that
-- it can be read without the page.
CREATE TABLE ledger (
    topic TEXT   NOT NULL PRIMARY KEY,
    mac   BYTEA  NOT NULL,             -- HMAC-SHA256 of topic and page, under a key that is sealed
    page  BYTEA  NOT NULL              -- JSON: a number that only goes up, and each row's MAC
);
