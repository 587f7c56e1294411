-- +goose Up
-- Who approves of which plan of a rotation; package rotation/approval. A row that is used, or has expired, is gone.
CREATE TABLE rotation_approval (
    id      TEXT   NOT NULL PRIMARY KEY, -- the rotation and the person: one approval each
    name    TEXT   NOT NULL,             -- the rotation
    body    TEXT   NOT NULL              -- JSON: the approval
);
