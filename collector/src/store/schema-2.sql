-- Version 2. What a device told later of the time of its events `first` to `last`: they happened `mono_ms` after this.

CREATE TABLE clock_sets (
    device INTEGER NOT NULL REFERENCES devices (id),
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    boot_ms INTEGER NOT NULL,
    PRIMARY KEY (device, epoch, first)
) WITHOUT ROWID;
