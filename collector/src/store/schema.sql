-- Version 1. Unsigned 64-bit identities (epoch, episode) are kept bit for bit in signed columns.

CREATE TABLE devices (
    id INTEGER PRIMARY KEY,
    site TEXT NOT NULL,
    node TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    state_at INTEGER NOT NULL DEFAULT 0,
    version TEXT NOT NULL DEFAULT '',
    platform TEXT NOT NULL DEFAULT '',
    os TEXT NOT NULL DEFAULT '',
    host TEXT NOT NULL DEFAULT '',
    cpus INTEGER NOT NULL DEFAULT 0,
    memory INTEGER NOT NULL DEFAULT 0,
    model BLOB NOT NULL DEFAULT x'0000000000000000',
    model_name TEXT NOT NULL DEFAULT '',
    tick_ms INTEGER NOT NULL DEFAULT 0,
    labels TEXT NOT NULL DEFAULT '',
    series TEXT NOT NULL DEFAULT '[]',
    birth_at INTEGER,
    beat_at INTEGER,
    beat BLOB,
    UNIQUE (site, node)
);

-- Which numbers are accounted for: everything up to `high` but the gaps.
CREATE TABLE epochs (
    device INTEGER NOT NULL REFERENCES devices (id),
    epoch INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    high INTEGER NOT NULL,
    PRIMARY KEY (device, epoch)
) WITHOUT ROWID;

CREATE TABLE gaps (
    device INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (device, epoch, first)
) WITHOUT ROWID;

-- Every event as it came, beside what is needed to find it. `problem` says why the body could not be read.
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES devices (id),
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    at INTEGER NOT NULL,
    mono_ms INTEGER NOT NULL,
    wall_ms INTEGER,
    clock INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    body BLOB NOT NULL,
    episode INTEGER,
    problem TEXT,
    UNIQUE (device, epoch, seq)
);
CREATE INDEX events_received ON events (received_at);
CREATE INDEX events_episode ON events (device, epoch, episode) WHERE episode IS NOT NULL;

-- One row per anomaly. `closing` is 0 while open, 1 when its end was told, 2 when the device began a new epoch
-- without telling it.
CREATE TABLE episodes (
    device INTEGER NOT NULL REFERENCES devices (id),
    epoch INTEGER NOT NULL,
    id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    onset_at INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    closed_at INTEGER,
    closing INTEGER NOT NULL DEFAULT 0,
    phase INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    grp INTEGER NOT NULL,
    shape INTEGER NOT NULL,
    score REAL NOT NULL,
    confidence INTEGER NOT NULL,
    recurred INTEGER NOT NULL,
    moved INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (device, epoch, id)
) WITHOUT ROWID;
CREATE INDEX episodes_open ON episodes (updated_at) WHERE closing = 0;
CREATE INDEX episodes_updated ON episodes (updated_at);

-- Numbers that never come. `arrived` counts those that came after all.
CREATE TABLE losses (
    device INTEGER NOT NULL REFERENCES devices (id),
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    declared_at INTEGER NOT NULL,
    arrived INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (device, epoch, first, count)
) WITHOUT ROWID;

CREATE TABLE facts (
    event INTEGER PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES devices (id),
    received_at INTEGER NOT NULL,
    at INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX facts_at ON facts (at);

CREATE TABLE troubles (
    event INTEGER PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES devices (id),
    received_at INTEGER NOT NULL,
    at INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    source TEXT NOT NULL,
    series TEXT NOT NULL,
    verdict INTEGER NOT NULL,
    why INTEGER NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX troubles_at ON troubles (at);

CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY,
    received_at INTEGER NOT NULL,
    topic TEXT NOT NULL,
    reason TEXT NOT NULL,
    size INTEGER NOT NULL,
    payload BLOB NOT NULL
);
