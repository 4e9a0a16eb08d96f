-- Version 9. With which change of its site a device told something last: who has read up to a number reads on from there.

ALTER TABLE devices ADD COLUMN told INTEGER NOT NULL DEFAULT 1;
CREATE INDEX devices_told ON devices (site, told);
