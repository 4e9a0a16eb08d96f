-- Version 4. Capsules that somebody asked for, and the pieces of them that came.

CREATE TABLE capsules (
    id INTEGER PRIMARY KEY,
    site TEXT NOT NULL,
    node TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    episode INTEGER NOT NULL,
    asked_at INTEGER NOT NULL,
    -- The last answer without bytes: why, and when to ask again.
    why INTEGER NOT NULL DEFAULT 0,
    retry_at INTEGER NOT NULL DEFAULT 0,
    -- Length and CRC-32 of the whole.
    length INTEGER NOT NULL DEFAULT 0,
    sum INTEGER NOT NULL DEFAULT 0,
    is_whole INTEGER NOT NULL DEFAULT 0,
    UNIQUE (site, node, epoch, episode)
);

CREATE TABLE capsule_pieces (
    capsule INTEGER NOT NULL REFERENCES capsules (id) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (capsule, at)
);
