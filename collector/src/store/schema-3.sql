-- Version 3. The latest that a device said of each limit it will reach.

CREATE TABLE forecasts (
    device INTEGER NOT NULL REFERENCES devices (id),
    series TEXT NOT NULL,
    event INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    at INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    phase INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (device, series)
) WITHOUT ROWID;
