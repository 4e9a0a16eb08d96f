-- Version 8. Several collectors on one store: their lives, and which of them holds which sites. Empty where there is one.

CREATE TABLE lives (
    id INTEGER PRIMARY KEY,
    instance TEXT NOT NULL,
    until INTEGER NOT NULL
);

CREATE TABLE domains (
    name TEXT NOT NULL PRIMARY KEY,
    weight INTEGER NOT NULL DEFAULT 1,
    holder INTEGER
);
