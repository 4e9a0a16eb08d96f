-- Version 5. What else facts tell: of which thing, since when, how often, and one example.

ALTER TABLE facts ADD COLUMN about TEXT NOT NULL DEFAULT '';
ALTER TABLE facts ADD COLUMN since_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE facts ADD COLUMN count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE facts ADD COLUMN example TEXT NOT NULL DEFAULT '';
