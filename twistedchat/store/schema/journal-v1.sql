-- The journal, version 1. Later versions are steps of their own beside this file; a step is never
-- changed once it has been released.

-- Rooms and keys are 32 octets, and stand in every row and in its index: a small number in their
-- place saves almost half of the file and of the time.
CREATE TABLE rooms (
    id INTEGER PRIMARY KEY,
    name BLOB NOT NULL UNIQUE
);

CREATE TABLE keys (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE
);

-- The order of the ids is that of arrival. The hash before an entry is not kept: it is that of the
-- author's entry before it, which is always here.
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    room INTEGER NOT NULL REFERENCES rooms,
    author INTEGER NOT NULL REFERENCES keys,
    seq INTEGER NOT NULL,
    time INTEGER NOT NULL, -- microseconds since the epoch, by the room's clock
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL,
    signature BLOB, -- none where a later entry of the author's vouches for this one
    UNIQUE (room, author, seq)
);

-- The largest time of a room is looked up at each start.
CREATE INDEX entries_by_time ON entries (room, time);

-- Entries that their author signed besides one of the same number in the table above: one for each
-- author and room proves it, and more would be a way to fill the disk.
CREATE TABLE forks (
    room INTEGER NOT NULL REFERENCES rooms,
    author INTEGER NOT NULL REFERENCES keys,
    seq INTEGER NOT NULL,
    prev BLOB NOT NULL,
    time INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (room, author)
) WITHOUT ROWID;

-- How far another node holds our own entries in a room.
CREATE TABLE receipts (
    room INTEGER NOT NULL REFERENCES rooms,
    holder INTEGER NOT NULL REFERENCES keys,
    seq INTEGER NOT NULL,
    PRIMARY KEY (room, holder)
) WITHOUT ROWID;
