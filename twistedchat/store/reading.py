"""
What is read from the journal: entries of one author, history, and what a search finds.

Every answer comes as one value, as is said in `twistedchat.store.journal`. All of it is done in one
thread, which nothing here looks at.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from twistedchat.core.addresses import Address
from twistedchat.core.entries import LARGEST_NUMBER, NOTHING, Entry, Said
from twistedchat.core.history import LineOfHistory, Place
from twistedchat.core.identity import DeviceKey

__all__ = ["MOST_ENTRIES", "MOST_LONGER", "MOST_RANKED", "SAMPLE", "SHORT", "Reader"]

T = TypeVar("T")

# Entries in one answer. They are bounded by the size of their bodies, but some have none; and of
# very short ones a frame holds no more than twice as many.
MOST_ENTRIES = 1000

# Letters of the beginnings that the index holds beside whole words: see ``schema/``.
SHORT = 4

# Words of the index that are looked for in place of the beginnings in one search. To open one costs
# about what a beginning costs for each thousand texts that hold it, and so many are opened in two
# milliseconds. What begins more of them is hardly ever in so many texts that it takes longer.
MOST_LONGER = 32

# Texts that tell how often a word is said: the further back the newest so many that have it reach,
# the rarer it is. To go through them takes less time than to begin, and they are more than somebody
# says in a hurry.
SAMPLE = 500

# Words of a search that are brought in order, and for which brackets are put within each other, of
# which the parser of FTS5 takes some ninety. Nobody types more words; who pastes a page may.
MOST_RANKED = 32

# Goes from entry to entry, and stops by itself where enough have come.
_READ = """
WITH RECURSIVE
    chain (room, author) AS (
        SELECT rooms.id, keys.id FROM rooms, keys WHERE rooms.name = :room AND keys.key = :author
    ),
    run (id, seq, size, has_signed) AS (
        SELECT NULL, :after, 0, FALSE FROM chain
        UNION ALL
        SELECT
            entries.id,
            entries.seq,
            size + length(CAST(body AS BLOB)),
            has_signed OR signature IS NOT NULL
        FROM run
        CROSS JOIN chain
        CROSS JOIN entries USING (room, author)
        WHERE entries.seq = run.seq + 1
        AND (NOT has_signed OR (size <= :most_bytes AND run.seq < :after + :most))
    )
SELECT
    (SELECT hash FROM entries JOIN chain USING (room, author) WHERE seq = :after),
    (
        SELECT CAST(
            json_group_array(json_array(size, time, kind, body, hex(hash), hex(signature))) AS BLOB
        )
        FROM run
        JOIN entries USING (id)
    )
"""
_entries = msgspec.json.Decoder(list[tuple[int, int, str, str, str, str]])

# Of everything that came, in order: what stands between some numbers.
_EVERYWHERE = """
WITH
    lot (before) AS (SELECT max(last) FROM lots WHERE latest < :floor),
    found (id) AS (
        SELECT * FROM (
            SELECT id FROM entries
            WHERE id < :number AND id > coalesce((SELECT before FROM lot), 0)
            AND kind = 'text' AND time / 1000000.0 >= :since
            ORDER BY id DESC LIMIT :most
        )
        UNION ALL
        SELECT * FROM (
            SELECT id FROM plain
            WHERE id < :number AND id > coalesce((SELECT before FROM lot), 0)
            AND time / 1000000.0 >= :since
            ORDER BY id DESC LIMIT :most
        )
        ORDER BY id DESC LIMIT :most
    )
"""
_FOUND = """
SELECT
    found.id AS number, rooms.name AS room, host, port, key AS author, plain.name AS name, is_ours,
    coalesce(seq, 0) AS seq, coalesce(entries.time, plain.time) AS time,
    coalesce(entries.body, plain.body) AS body
FROM found
LEFT JOIN entries ON entries.id = found.id
LEFT JOIN rooms ON rooms.id = entries.room
LEFT JOIN keys ON keys.id = entries.author
LEFT JOIN plain ON plain.id = found.id
LEFT JOIN addresses ON addresses.id = plain.address
ORDER BY found.id DESC
"""


def _in_room(sign: str, order: str) -> str:
    return f"""
        SELECT
            entries.id AS number, :place AS room, NULL AS host, NULL AS port, key AS author,
            NULL AS name, NULL AS is_ours, seq, time, body
        FROM entries
        JOIN keys ON keys.id = author
        WHERE room = (SELECT id FROM rooms WHERE rooms.name = :place)
        AND kind = 'text'
        AND time >= :floor
        AND time / 1000000.0 >= :since
        AND time {sign[0]}= :time
        AND (time, key, seq) {sign} (:time, :author, :seq)
        ORDER BY time {order}, key {order}, seq {order}
        LIMIT :most
    """  # noqa: S608


def _in_plain(sign: str, order: str) -> str:
    return f"""
        SELECT
            id AS number, NULL AS room, :host AS host, :port AS port, NULL AS author,
            name, is_ours, 0 AS seq, time, body
        FROM plain
        WHERE address = (SELECT id FROM addresses WHERE host = :host AND port = :port)
        AND time >= :floor
        AND time / 1000000.0 >= :since
        AND (time, id) {sign} (:time, :number)
        ORDER BY time {order}, id {order}
        LIMIT :most
    """  # noqa: S608


_BEFORE = {bytes: _in_room("<", "DESC"), Address: _in_plain("<", "DESC")}
_FROM = {bytes: _in_room(">=", "ASC"), Address: _in_plain(">=", "ASC")}

# The words of texts that came lately are not in the index yet: see `Writer.index`. The few there
# are stand in one that is in memory. So do the words that are looked for, to be taken apart by the
# same rules as the texts.
#
# The list of a word that a million texts have is 4 megabytes. SQLite would remember 2, and the same
# is read again for the next page of lines, or when one more word has been typed.
_SCRATCH = """
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -8000;
CREATE VIRTUAL TABLE temp.late_words USING fts5 (
    place, body, content = '', columnsize = 0, detail = column,
    tokenize = 'unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE temp.typed USING fts5 (
    body, content = '', columnsize = 0, detail = none,
    tokenize = 'unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE temp.typed_words USING fts5vocab (temp, typed, row);
CREATE VIRTUAL TABLE temp.known_words USING fts5vocab (main, words, instance);
"""

# A word, and a short beginning, of which the index holds a list, give the newest texts at once. For
# a longer beginning FTS5 first puts the lists of all the words together that begin so, whatever
# else is looked for: 25 milliseconds where a million texts have one. So those words are named,
# where they are few. From one to the next it goes by what no word holds, a control character: to
# read on from a word leads through each of its texts.
#
# The rarest come first, for `_one_by_one`. What is in too few texts to tell has no number here, and
# SQLite sorts that before all numbers.
_TYPED = """
WITH RECURSIVE
    share (most) AS (
        SELECT :most / max(1, count(*)) FROM typed_words WHERE length(term) > :short
    ),
    longer (typed, term, number) AS (
        SELECT
            typed_words.term,
            (SELECT term FROM known_words AS k WHERE k.term >= typed_words.term ORDER BY 1 LIMIT 1),
            1
        FROM typed_words
        CROSS JOIN share
        WHERE length(typed_words.term) > :short AND most > 0
        UNION ALL
        SELECT
            typed,
            (
                SELECT term FROM known_words AS k
                WHERE k.term >= longer.term || char(1) ORDER BY 1 LIMIT 1
            ),
            number + 1
        FROM longer
        CROSS JOIN share
        WHERE substr(term, 1, length(typed)) = typed AND number <= most
    ),
    named (typed, names) AS (
        SELECT typed, '("' || group_concat(term, '" OR "') || '")'
        FROM longer
        WHERE substr(term, 1, length(typed)) = typed
        GROUP BY typed
        HAVING count(*) <= (SELECT most FROM share)
    ),
    phrases (late, indexed) AS (
        SELECT
            'body : "' || term || '" *',
            'body : ' || coalesce(names, '"' || term || '" *')
        FROM typed_words
        LEFT JOIN named ON typed = term
        UNION ALL
        SELECT 'place : ' || :where, 'place : ' || :where WHERE :where IS NOT NULL
    )
SELECT CAST(json_group_array(json_array(late, indexed)) AS BLOB)
FROM (
    SELECT * FROM phrases
    ORDER BY CASE WHEN (SELECT count(*) FROM phrases) BETWEEN 2 AND :most_ranked THEN (
        SELECT rowid FROM words WHERE words MATCH indexed
        ORDER BY rowid DESC LIMIT 1 OFFSET :sample
    ) END, indexed
)
"""
_SEARCH = """
WITH found (id) AS (
    SELECT * FROM (
        SELECT rowid FROM late_words WHERE late_words MATCH :late AND rowid < :number
        ORDER BY rowid DESC LIMIT :most
    )
    UNION ALL
    SELECT * FROM (
        SELECT rowid FROM words WHERE words MATCH :query AND rowid < :number
        ORDER BY rowid DESC LIMIT :most
    )
    LIMIT :most
)
"""

_phrases = msgspec.json.Decoder(list[tuple[str, str]])

_Line = tuple[int, str, str | None, int | None, str, str | None, int | None, int, int, str]
_lines = msgspec.json.Decoder(list[_Line])


class Reader:
    """
    What the reading thread alone touches.

    All of its methods raise ``sqlite3.Error`` where something cannot be read.

    Args:
        open_again: Opens the journal.
        owner: Whose journal it is; ``None`` for nobody's.
    """

    def __init__(
        self, open_again: Callable[[], sqlite3.Connection], owner: DeviceKey | None
    ) -> None:
        self._open_again = open_again
        self._owner = owner
        self._opened: sqlite3.Connection | None = None
        # The numbers after which, and up to which, texts stand in the index in memory; none where
        # that is still to be made or may be anything.
        self._late: tuple[int, int] | None = None
        self._has_scratch = False

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = self._open_again()
        return self._opened

    def close(self) -> None:
        """
        Let go of the file.
        """
        if self._opened is not None:
            with contextlib.suppress(sqlite3.Error):
                self._opened.close()

    def read(self, room: bytes, author: DeviceKey, after: int, most_bytes: int) -> list[Entry]:
        """
        Read consecutive entries: see `twistedchat.interfaces.IJournal`.
        """
        wanted = {
            "room": room,
            "author": author.raw,
            "after": after,
            "most_bytes": most_bytes,
            "most": MOST_ENTRIES,
        }
        ((prev, data),) = self._connection.execute(_READ, wanted).fetchall()
        rows = _decode(_entries, data)
        entries: list[Entry] = []
        keep = 0
        prev = prev or NOTHING
        for seq, (size, time, kind, body, digest, signature) in enumerate(rows, start=after + 1):
            entry = Entry(
                room,
                author,
                seq,
                prev,
                Said(time, kind, body),
                bytes.fromhex(digest),
                bytes.fromhex(signature),
            )
            entries.append(entry)
            prev = entry.hash
            if entry.signature and (size <= most_bytes or not keep):
                keep = len(entries)
        return entries[:keep]

    def history(
        self, place: Place | None, since: float, before: LineOfHistory | None, most: int
    ) -> list[LineOfHistory]:
        """
        Read what was said: see `twistedchat.interfaces.IJournal`.
        """
        wanted = {
            # Microseconds are less exact than seconds in a float, so it looks at one more of them.
            "floor": math.floor(max(0.0, min(since * 1e6, LARGEST_NUMBER))) - 1,
            "since": since,
            "most": most,
        }
        if place is None:
            wanted["number"] = LARGEST_NUMBER if before is None else before.number
            return self._lines(_EVERYWHERE + _FOUND, wanted)
        return self._lines(_BEFORE[type(place)], wanted | self._position(place, before))

    def around(self, line: LineOfHistory, most: int) -> list[LineOfHistory]:
        """
        Read what stands around a line: see `twistedchat.interfaces.IJournal`.
        """
        wanted = {"floor": 0, "since": 0.0} | self._position(line.place, line)
        before = self._lines(_BEFORE[type(line.place)], wanted | {"most": most})
        return before[::-1] + self._lines(_FROM[type(line.place)], wanted | {"most": most + 1})

    def _position(self, place: Place, line: LineOfHistory | None) -> dict[str, Any]:
        where: dict[str, Any]
        if isinstance(place, Address):
            where = {"host": place.host, "port": place.port}
        else:
            where = {"place": place}
        if line is None:
            # After everything that there can be.
            time, author, seq, number = LARGEST_NUMBER, b"\xff" * 33, 0, LARGEST_NUMBER
        else:
            author = b"" if line.author is None else line.author.raw
            time, seq, number = self._time_of(line), line.seq, line.number
        return where | {"time": time, "author": author, "seq": seq, "number": number}

    def _time_of(self, line: LineOfHistory) -> int:
        # Not from its seconds, if that can be helped: on some far day they stand for several times.
        found = self._connection.execute(
            "SELECT time FROM texts WHERE id = ?", (line.number,)
        ).fetchone()
        return found[0] if found else round(line.time * 1_000_000)

    def search(
        self, words: str, place: Place | None, before: LineOfHistory | None, most: int
    ) -> list[LineOfHistory]:
        """
        Find texts: see `twistedchat.interfaces.IJournal`.
        """
        connection = self._connection
        if not self._has_scratch:
            connection.executescript(_SCRATCH)
            self._has_scratch = True
        # Between two looks, words could go from one index into the other.
        connection.execute("BEGIN")
        try:
            queries = self._queries(words, place)
            if queries is None:
                return []
            self._index_late()
            number = LARGEST_NUMBER if before is None else before.number
            return self._lines(_SEARCH + _FOUND, queries | {"number": number, "most": most})
        except BaseException:
            # It may have been half made.
            self._late = None
            raise
        finally:
            # Of some errors SQLite has rolled back already.
            with contextlib.suppress(sqlite3.Error):
                connection.execute("COMMIT")

    def _queries(self, words: str, place: Place | None) -> dict[str, Any] | None:
        connection = self._connection
        where = None if place is None else self._word_of(place)
        if place is not None and where is None:
            return None
        connection.execute("INSERT INTO typed (typed) VALUES ('delete-all')")
        typed = words.encode("utf-8", "replace").decode()
        connection.execute("INSERT INTO typed (rowid, body) VALUES (1, ?)", (typed,))
        wanted = {
            "most": MOST_LONGER,
            "short": SHORT,
            "where": where,
            "most_ranked": MOST_RANKED,
            "sample": SAMPLE - 1,
        }
        ((data,),) = connection.execute(_TYPED, wanted).fetchall()
        phrases = _decode(_phrases, data)
        if len(phrases) == (where is not None):
            return None
        late, indexed = zip(*phrases, strict=True)
        return {"late": " AND ".join(late), "query": _one_by_one(indexed)}

    def _word_of(self, place: Place) -> str | None:
        if isinstance(place, Address):
            look = "SELECT 'a' || id FROM addresses WHERE host = ? AND port = ?"
            found = self._connection.execute(look, place).fetchone()
        else:
            look = "SELECT 'r' || id FROM rooms WHERE name = ?"
            found = self._connection.execute(look, (place,)).fetchone()
        return found[0] if found else None

    def _index_late(self) -> None:
        connection = self._connection
        ((first, last),) = connection.execute(
            "SELECT coalesce((SELECT max(last) FROM lots), 0), max("
            "coalesce((SELECT max(id) FROM entries), 0), coalesce((SELECT max(id) FROM plain), 0))"
        ).fetchall()
        if self._late is None or self._late[0] != first:
            connection.execute("INSERT INTO late_words (late_words) VALUES ('delete-all')")
            self._late = (first, first)
        if self._late[1] < last:
            connection.execute(
                "INSERT INTO late_words (rowid, place, body) "
                "SELECT id, place, body FROM texts WHERE id > ? ORDER BY id",
                (self._late[1],),
            )
            self._late = (first, last)

    def _lines(self, select: str, wanted: dict[str, Any]) -> list[LineOfHistory]:
        ((data,),) = self._connection.execute(
            "SELECT CAST(json_group_array(json_array(number, hex(room), host, port, hex(author), "  # noqa: S608
            f"name, is_ours, seq, time, body)) AS BLOB) FROM ({select})",
            wanted,
        ).fetchall()
        return [self._line(row) for row in _decode(_lines, data)]

    def _line(self, row: _Line) -> LineOfHistory:
        number, room, host, port, author, name, is_ours, seq, time, body = row
        by = DeviceKey(bytes.fromhex(author)) if author else None
        return LineOfHistory(
            number,
            bytes.fromhex(room) if room else Address(host or "", port or 0),
            by,
            name,
            by == self._owner if by else bool(is_ours),
            seq,
            time / 1_000_000,
            body,
        )


def _one_by_one(phrases: Sequence[str]) -> str:
    # FTS5 asks the lists of all words in turn for the next text that is not newer than what the one
    # before has found. So it goes through the list of a word that every text has step by step, up
    # to each text that has any of the others: 4 milliseconds for 400,000 texts. In brackets of
    # their own, the rarer words agree on a text first, and it takes long strides through the list
    # of the next one. Nothing is taken away: that only keeps FTS5 from leaving out the brackets.
    query = phrases[0]
    for phrase in phrases[1:MOST_RANKED]:
        query = f'({query}) NOT "" AND {phrase}'
    if len(phrases) > MOST_RANKED:
        query = f'({query}) NOT "" AND {" AND ".join(phrases[MOST_RANKED:])}'
    return query


def _decode(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except ValueError as error:
        raise sqlite3.DatabaseError(f"something in it cannot be read ({error})") from error
