-- Version 7. What the collector makes of what devices told: documents, found by class and key. And when devices came and
-- went.

CREATE TABLE records (
    class TEXT NOT NULL,
    key TEXT NOT NULL,
    site TEXT NOT NULL,
    at INTEGER NOT NULL,
    is_open INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (class, key)
);
CREATE INDEX records_at ON records (class, at);
CREATE INDEX records_open ON records (class, site) WHERE is_open = 1;

CREATE TABLE presence (
    device INTEGER NOT NULL REFERENCES devices (id),
    at INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    state INTEGER NOT NULL,
    PRIMARY KEY (device, at)
);
CREATE INDEX presence_at ON presence (at);
CREATE INDEX facts_device ON facts (device, at);
CREATE INDEX troubles_device ON troubles (device, at);

-- Numbers by which a fact is the same on every store.
ALTER TABLE facts ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE facts ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE troubles ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE troubles ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE forecasts ADD COLUMN first_at INTEGER NOT NULL DEFAULT 0;
