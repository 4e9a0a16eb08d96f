-- Version 9. When a device was last heard of, and how often it told something: who has read it so often reads it again only
-- when it told more. Rows of their own, for they change with every event, and the row of a device is long.

CREATE TABLE heard (
    device INTEGER NOT NULL PRIMARY KEY REFERENCES devices (id),
    seen_at INTEGER NOT NULL,
    told INTEGER NOT NULL
);
INSERT INTO heard (device, seen_at, told) SELECT id, seen_at, 1 FROM devices;
ALTER TABLE devices DROP COLUMN seen_at;
