-- The journal, version 2: rooms, plain messages, what the person has seen, and search.

-- Everything that came here, signed or plain, is counted in one row: the ids of entries and of plain
-- messages are numbers out of it, and none is ever given twice.

-- How much of what is on the disk the person has seen, and how far our own entries in a room may
-- have been seen by others. Version 1 did not keep either: the person was shown everything, and -1
-- stands for our last entry, which only the program can tell.
ALTER TABLE rooms ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rooms ADD COLUMN offered INTEGER NOT NULL DEFAULT 0;
UPDATE rooms SET seen = (SELECT coalesce(max(id), 0) FROM entries), offered = -1;

-- What we have to do with rooms; the order of the ids is that in which we came to them.
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    room INTEGER NOT NULL UNIQUE REFERENCES rooms,
    stay TEXT NOT NULL,
    name TEXT NOT NULL,
    founder INTEGER NOT NULL REFERENCES keys,
    inviter INTEGER NOT NULL REFERENCES keys
);

CREATE TABLE addresses (
    id INTEGER PRIMARY KEY,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    seen INTEGER NOT NULL DEFAULT 0,
    UNIQUE (host, port)
);

-- What was said in plain, to us and by us.
CREATE TABLE plain (
    id INTEGER PRIMARY KEY,
    address INTEGER NOT NULL REFERENCES addresses,
    is_ours INTEGER NOT NULL,
    time INTEGER NOT NULL, -- microseconds since the epoch, by our clock
    name TEXT, -- none where none was claimed
    body TEXT NOT NULL
);

CREATE INDEX plain_by_time ON plain (address, time);

-- Unread texts are counted at each start: by whom, where, and after which number.
CREATE INDEX texts_by_author ON entries (room, author) WHERE kind = 'text';
CREATE INDEX plain_of_others ON plain (address) WHERE NOT is_ours;

-- Those that tell who is in a room are read at each start. They are few among the texts.
CREATE INDEX entries_by_kind ON entries (kind) WHERE kind <> 'text';

-- What a search goes through. A place is one word, and so can be searched for beside the others.
CREATE VIEW texts (id, place, time, body) AS
SELECT id, 'r' || room, time, body FROM entries WHERE kind = 'text'
UNION ALL
SELECT id, 'a' || address, time, body FROM plain;

-- The words of texts: nothing but which text has which. Every word that is looked for may be the
-- beginning of a longer one, and those of up to four letters begin the most.
CREATE VIRTUAL TABLE words USING fts5 (
    place,
    body,
    content = '',
    columnsize = 0,
    detail = column,
    prefix = '1 2 3 4',
    tokenize = 'unicode61 remove_diacritics 2'
);

-- How far the words reach: the words of texts are written some hundred texts at a time, after the
-- texts themselves. Of each such lot, the number of its last text, and the largest time of any text
-- up to there.
CREATE TABLE lots (
    last INTEGER PRIMARY KEY,
    latest INTEGER NOT NULL
);

INSERT INTO words (rowid, place, body) SELECT id, place, body FROM texts;
INSERT INTO lots (last, latest)
SELECT max(id), max(max(time)) OVER (ORDER BY id / 256) FROM entries GROUP BY id / 256;
