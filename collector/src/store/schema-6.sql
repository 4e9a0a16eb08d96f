-- Version 6. Who calls whom on a device, as a JSON array of {"from": …, "to": …}.

ALTER TABLE devices ADD COLUMN edges TEXT NOT NULL DEFAULT '[]';
