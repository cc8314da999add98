"""
What was said, read again: history, search, and how much of it the person has not seen.
"""

import random
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from unittest import mock

from hypothesis import given
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from typing_extensions import override

from tests.journals import OTHER_ROOM, ROOM, Author, Here, Later
from tests.strategies import any_texts
from tests.test_store_journal import OWNER, JournalTestCase
from twistedchat.core.addresses import Address
from twistedchat.core.entries import LARGEST_NUMBER, TEXT, Said
from twistedchat.core.history import LineOfHistory, Place
from twistedchat.store import journal as journal_module
from twistedchat.store import reading, writing
from twistedchat.store.database import schema_steps
from twistedchat.store.journal import Journal
from twistedchat.store.reading import MOST_LONGER, MOST_RANKED, SHORT, Reader
from twistedchat.store.writing import LOT
from twistedchat.testing import identity_of

T = TypeVar("T")

# More than any test needs.
PLENTY = 10**6

# Texts that tell how often a word is said, where a test has to say no more of them.
FEW = 4

DAN = Address("192.0.2.4", 7070)
EVE = Address("2001:db8::5", 7070)


def texts(lines: list[LineOfHistory]) -> list[str]:
    """
    What lines say.
    """
    return [line.text for line in lines]


class HistoryTestCase(JournalTestCase):
    """
    A journal with something in it.
    """

    @override
    def setUp(self) -> None:
        """
        Have somebody else in the room.
        """
        super().setUp()
        self.bob = Author("Bob")

    def plain(
        self, text: str, address: Address = DAN, *, time: float = 1.0, is_ours: bool = False
    ) -> Deferred[None]:
        """
        Keep a classic message.
        """
        return self.journal.keep_plain(address, "Dan", text, is_ours=is_ours, time=time)

    def result(self, promised: Deferred[T]) -> T:
        """
        What was promised.
        """
        return self.successResultOf(promised)

    def history(
        self,
        place: Place | None = ROOM,
        since: float = 0.0,
        before: LineOfHistory | None = None,
        most: int = 100,
    ) -> list[LineOfHistory]:
        """
        Read what was said.
        """
        return self.result(self.journal.history(place, since, before, most))

    def search(
        self,
        words: str,
        place: Place | None = None,
        before: LineOfHistory | None = None,
        most: int = 100,
    ) -> list[str]:
        """
        The texts that are found.
        """
        return texts(self.result(self.journal.search(words, place, before, most)))


class HistoryTests(HistoryTestCase):
    """
    `Journal.history`.
    """

    def test_line_has_everything(self) -> None:
        """
        A line of a room, and one of a classic peer.
        """
        self.append(self.bob.says(Said(1_700_000_000_123_456, TEXT, "hello")))
        self.journal.keep_plain(DAN, "Dan", "hi", is_ours=False, time=1_700_000_001.5)
        self.journal.keep_plain(DAN, None, "yes?", is_ours=True, time=1_700_000_002.25)

        self.assertEqual(
            [
                LineOfHistory(3, DAN, None, None, True, 0, 1_700_000_002.25, "yes?"),
                LineOfHistory(2, DAN, None, "Dan", False, 0, 1_700_000_001.5, "hi"),
                LineOfHistory(1, ROOM, self.bob.key, None, False, 1, 1_700_000_000.123456, "hello"),
            ],
            self.history(None),
        )

    def test_everywhere_is_in_the_order_of_arrival(self) -> None:
        """
        What came last is first, whatever its time.
        """
        self.append(self.bob.says(Said(9_000_000, TEXT, "one")))
        self.plain("two", time=3.0)
        self.append(Author("Bob", OTHER_ROOM).says(Said(1_000_000, TEXT, "three")))
        self.plain("four", EVE, time=5.0)

        self.reopen()
        self.plain("five")

        lines = self.history(None)
        self.assertEqual(["five", "four", "three", "two", "one"], texts(lines))
        self.assertEqual([5, 4, 3, 2, 1], [line.number for line in lines])
        self.assertEqual(["three", "two"], texts(self.history(None, before=lines[1], most=2)))

    def test_room_is_in_its_own_order(self) -> None:
        """
        The last is first by the clock of the room, then by author, then by number.
        """
        carl = Author("Carl")
        first, second = sorted((self.bob, carl), key=lambda author: author.key)
        self.append(second.says(Said(5, TEXT, "d"), Said(5, TEXT, "e")))
        self.append(first.says(Said(5, TEXT, "b"), Said(5, TEXT, "c"), Said(9, TEXT, "f")))
        self.append(self.author.says(Said(1, TEXT, "a")))

        self.assertEqual(list("fedcba"), texts(self.history(ROOM)))

    def test_plain_is_in_order_of_time(self) -> None:
        """
        Those of one address alone; at the same time, as they came.
        """
        self.plain("c", time=2.0)
        self.plain("b", time=1.0)
        self.plain("elsewhere", EVE, time=1.0)
        self.plain("d", time=2.0)

        self.assertEqual(list("dcb"), texts(self.history(DAN)))

    def test_pages_join(self) -> None:
        """
        Each page goes on where the last one ended, also when more has come meanwhile.
        """
        for number in range(30):
            self.append(
                Author(f"Somebody {number}").says(Said(number // 7 * 1_000_000, TEXT, f"{number}"))
            )
            self.plain(f"plain {number}", time=number // 7)
        for place in (None, ROOM, DAN):
            whole = self.history(place)
            pages: list[LineOfHistory] = []
            for _ in range(len(whole) // 4 + 1):
                pages += self.history(place, before=pages[-1] if pages else None, most=4)
                self.append(self.author.says(Said(9_000_000, TEXT, "newer")))
                self.plain("newer", time=9.0)

            self.assertEqual(whole, pages)

    def test_since_is_exact(self) -> None:
        """
        What was said in that very microsecond belongs to it, and what was said before does not.
        """
        chance = random.Random(1)
        times = [chance.randrange(2 * 10**15) for _ in range(20)]
        times += [time + 1 for time in times]
        self.append(self.bob.says(*(Said(time, TEXT, str(time)) for time in times)))
        for time in times:
            self.plain(str(time), time=time / 1_000_000)

        for time in times:
            later = sorted((one for one in times if one >= time), reverse=True)
            for place in (ROOM, DAN):
                found = self.history(place, since=time / 1_000_000)
                self.assertEqual([str(one) for one in later], texts(found))
            self.assertEqual(2 * len(later), len(self.history(None, since=time / 1_000_000)))

    def test_since_finds_what_came_late(self) -> None:
        """
        Everywhere the order is that of arrival: what is newer may stand before what is older.
        """
        self.patch(journal_module, "LOT", 2)
        self.append(self.bob.says(*(Said(number, TEXT, str(number)) for number in range(10))))
        self.append(self.author.says(Said(8_000_000, TEXT, "by a clock that was fast")))
        self.append(self.bob.says(*(Said(number, TEXT, str(number)) for number in range(10, 20))))
        self.plain("now", time=7.0)
        self.append(self.bob.says(*(Said(number, TEXT, str(number)) for number in range(20, 30))))

        found = self.history(None, since=6.0)

        self.assertEqual(["now", "by a clock that was fast"], texts(found))
        self.assertEqual([], self.history(None, since=9.0))
        self.assertEqual(32, len(self.history(None, since=-1e300)))
        self.assertEqual([], self.history(ROOM, since=1e300))

    def test_texts_alone_are_lines(self) -> None:
        """
        Who was added to a room is no line, and is none that is found.
        """
        self.append(self.bob.says(Said(1, "add", "hello"), Said(2, TEXT, "hello")))

        self.assertEqual(["hello"], texts(self.history(ROOM)))
        self.assertEqual(["hello"], texts(self.history(None)))
        self.assertEqual(["hello"], self.search("hello"))

    def test_ours_are_ours(self) -> None:
        """
        What the owner says is ours; in nobody's journal nothing is.
        """
        self.append(self.author.says("mine"))
        self.append(self.bob.says("theirs"))
        self.assertEqual([False, True], [line.is_ours for line in self.history(None)])

        self.result(self.journal.close())
        self.journal = Journal(self.here, self.folder, None, lambda _: self.here)

        self.assertEqual([False, False], [line.is_ours for line in self.history(None)])

    def test_where_nothing_was_said_is_nothing(self) -> None:
        """
        A place that nobody knows has no lines.
        """
        for place in (None, ROOM, DAN):
            self.assertEqual([], self.history(place))
        self.append(self.bob.says("hello"))
        for place in (OTHER_ROOM, DAN):
            self.assertEqual([], self.history(place))

    def test_times_of_some_far_day_are_told_apart(self) -> None:
        """
        Where a float has no room for microseconds, pages join nonetheless.
        """
        far = [LARGEST_NUMBER - number for number in range(6)]
        for number, time in enumerate(far):
            self.append(Author(f"Somebody {number}").says(Said(time, TEXT, str(time))))

        line: LineOfHistory | None = None
        for time in far:
            (line,) = self.history(ROOM, before=line, most=1)
            self.assertEqual(str(time), line.text)

    def test_line_that_is_gone_still_has_a_place(self) -> None:
        """
        Who looks for what stands before a line that was taken back finds it.
        """
        self.append(self.author.says("one"))
        self.append(self.author.says("two", "three"))
        gone = self.history(ROOM)[1]
        self.result(self.journal.replace(ROOM, 1, (), 0))

        self.assertEqual(["one"], texts(self.history(ROOM, before=gone)))
        self.assertEqual(["one"], texts(self.result(self.journal.around(gone, 2))))

    def test_half_a_character_is_kept_as_something_else(self) -> None:
        """
        What has no UTF-8 does not keep the rest from being written.
        """
        self.journal.keep_plain(DAN, "D\ud800n", "a\udfffb", is_ours=False, time=1.0)
        self.append(self.bob.says("hello"))

        (line,) = self.history(DAN)
        self.assertEqual(("D?n", "a?b"), (line.name, line.text))

    def test_damage_is_told(self) -> None:
        """
        A line that cannot be read is an error, in history and in a search.
        """
        self.append(self.bob.says("hello"))
        self.do_outside("UPDATE entries SET body = CAST(x'68656c6c6fff' AS TEXT)")

        for promised in (
            self.journal.history(ROOM, 0.0, None, 10),
            self.journal.history(None, 0.0, None, 10),
            self.journal.search("hello", None, None, 10),
        ):
            self.assertIn("something in it cannot be read", self.refuse(promised))

    def test_only_what_is_on_the_disk_is_read(self) -> None:
        """
        What is still to be written is no history yet.
        """
        later = Later()
        self.journal = self.open(later)
        self.journal.append(self.bob.says("hello"))
        readings = [self.journal.history(ROOM, 0.0, None, 10)]
        later.jobs.rotate(1)
        later.settle()
        readings.append(self.journal.history(ROOM, 0.0, None, 10))
        later.settle()

        self.assertEqual([[], ["hello"]], [texts(self.result(one)) for one in readings])


class AroundTests(HistoryTestCase):
    """
    `Journal.around`.
    """

    def test_lines_stand_in_order(self) -> None:
        """
        As many before as after, as far as there are any, and none of another place.
        """
        for number in range(5):
            self.append(self.bob.says(str(number)))
            self.append(Author("Bob", OTHER_ROOM).says("x") if number == 2 else ())
            self.plain(f"plain {number}", time=number)
        lines = self.history(ROOM)[::-1]
        plain = self.history(DAN)[::-1]

        for here in (lines, plain):
            self.assertEqual(here[1:4], self.result(self.journal.around(here[2], 1)))
            self.assertEqual(here[:4], self.result(self.journal.around(here[0], 3)))
            self.assertEqual(here[2:], self.result(self.journal.around(here[4], 2)))
            self.assertEqual(here, self.result(self.journal.around(here[1], 100)))
            self.assertEqual([here[3]], self.result(self.journal.around(here[3], 0)))


class SearchTests(HistoryTestCase):
    """
    `Journal.search`.
    """

    def test_newest_comes_first(self) -> None:
        """
        By the order of arrival, from entries and plain messages, page by page.
        """
        self.append(self.bob.says(Said(9, TEXT, "tea one")))
        self.plain("tea two")
        self.append(self.bob.says("coffee"))
        self.append(Author("Carl", OTHER_ROOM).says(Said(1, TEXT, "tea three")))

        self.assertEqual(["tea three", "tea two", "tea one"], self.search("tea"))
        found = self.result(self.journal.search("tea", None, None, 2))
        self.assertEqual(["tea three", "tea two"], texts(found))
        self.assertEqual(["tea one"], self.search("tea", before=found[-1]))

    def test_place_is_searched_alone(self) -> None:
        """
        In a room, or in what a classic peer and we said; nothing where nothing was said.
        """
        self.append(self.bob.says("tea in the hall"))
        self.append(Author("Bob", OTHER_ROOM).says("tea in the attic"))
        self.plain("tea with Dan")
        self.plain("tea with Eve", EVE)

        self.assertEqual(["tea in the hall"], self.search("tea", ROOM))
        self.assertEqual(["tea in the attic"], self.search("tea", OTHER_ROOM))
        self.assertEqual(["tea with Dan"], self.search("tea", DAN))
        self.assertEqual([], self.search("tea", Address("192.0.2.9", 1)))
        self.assertEqual([], self.search("tea", bytes(32)))

    def test_every_word_may_be_a_beginning(self) -> None:
        """
        All of them are there, in any order; case, accents and what stands between do not matter.
        """
        self.append(self.bob.says("Die Überraschung: ein Café-Besuch", "ein anderer Besuch"))

        for words in ("überr besuch", "BESUCH uberraschung", "cafe", "café-bes", "D E", "ein,café"):
            self.assertEqual(["Die Überraschung: ein Café-Besuch"], self.search(words), words)
        self.assertEqual(2, len(self.search("bes ein")))
        for words in ("überr anderer", "raschung", "cafés", "x"):
            self.assertEqual([], self.search(words), words)

    def test_scripts_that_write_between_the_lines_are_found(self) -> None:
        """
        Words with marks in them are taken apart as they were when they were kept.
        """
        self.append(self.bob.says("नमस्ते दुनिया", "e\u0301te\u0301", "привет, мир"))

        self.assertEqual(["नमस्ते दुनिया"], self.search("नमस्ते"))
        self.assertEqual(["e\u0301te\u0301"], self.search("été"))
        self.assertEqual(["привет, мир"], self.search("МИР прив"))

    def test_words_are_no_commands(self) -> None:
        """
        What means something to the index means nothing here.
        """
        self.append(self.bob.says("and not near body place r1", "hello"))

        for words in ("AND", "NOT", "body", "place:r1", "r1", "near(", '"and" "no', "and* -not"):
            self.assertEqual(["and not near body place r1"], self.search(words), words)
        for words in ("hello OR x", "hello NOT and", "hello^", "{place}: r1 hello"):
            self.assertEqual(["hello"] * (words == "hello^"), self.search(words), words)

    def test_signs_alone_find_nothing(self) -> None:
        """
        Beside words they do not matter.
        """
        self.append(self.bob.says("welcome?!", "?!"))

        for words in ("", " ", "?!", '"', "*", "\0", "\ud800", "👍"):
            self.assertEqual([], self.search(words), words)
        self.assertEqual(["welcome?!"], self.search("?! welc"))
        self.assertEqual(["welcome?!"], self.search("welc\0 \ud800"))

    def test_many_words_will_do(self) -> None:
        """
        Who pastes a whole page finds it.
        """
        page = " ".join(f"word{number}" for number in range(1500))
        self.append(self.bob.says(page[:9000]))

        self.assertEqual([page[:9000]], self.search(page[:9000]))
        self.assertEqual([], self.search(page))

    @given(any_texts(), any_texts())
    def test_whatever_is_typed_is_searched_for(self, said: str, typed: str) -> None:
        """
        Nothing that can be said or typed is an error, and every text with a letter finds itself.
        """
        here = Here()
        journal = Journal(here, None, OWNER, lambda _: here)
        journal.keep_plain(DAN, None, said, is_ours=False, time=1.0)

        found = self.result(journal.search(said, None, None, 10))
        self.result(journal.search(typed, None, None, 10))

        if any(sign.isascii() and sign.isalnum() for sign in said):
            self.assertEqual(self.result(journal.history(DAN, 0.0, None, 10)), found)
        self.result(journal.close())


class Watched(sqlite3.Connection):
    """
    A connection that remembers what the index was last asked for.
    """

    asked = ""

    @override
    def execute(self, statement: str, values: Any = (), /) -> sqlite3.Cursor:
        """
        Do what is to be done.
        """
        if isinstance(values, Mapping) and "query" in values:
            self.asked = values["query"]
        return super().execute(statement, values)


class AskedTestCase(HistoryTestCase):
    """
    What the index is asked for.
    """

    @override
    def setUp(self) -> None:
        """
        Make a journal whose words all go into the index at once.
        """
        super().setUp()
        for change in (
            mock.patch.object(journal_module, "LOT", 1),
            mock.patch.object(writing, "LOT", 1),
        ):
            change.start()
            self.addCleanup(change.stop)

    def asked(self, words: str, place: Place | None = None) -> str:
        """
        What the index is asked for; all of the texts are found.
        """
        connection = sqlite3.connect(self.file, isolation_level=None, factory=Watched)
        self.addCleanup(connection.close)
        lines = Reader(lambda: connection, OWNER).search(words, place, None, PLENTY)
        said = self.result(self.journal.history(None, 0.0, None, PLENTY))
        typed = words.split()
        self.assertEqual(
            [
                line.text
                for line in said
                if place in (None, line.place)
                and all(any(w.startswith(t) for w in line.text.split()) for t in typed)
            ],
            texts(lines),
        )
        return connection.asked


class LongBeginningTests(AskedTestCase):
    """
    Beginnings that the index holds no lists of: the words that begin so are looked for.
    """

    def test_few_longer_words_are_named(self) -> None:
        """
        All of them and no others, wherever they stand among the words.
        """
        self.append(self.bob.says("anyway", "anyways so", "anyon", "anyway anyways", "zzzzz"))

        self.assertEqual('body : ("anyway" OR "anyways")', self.asked("anyway"))
        self.assertEqual('(body : "so" *) NOT "" AND body : ("anyways")', self.asked("anyways so"))
        self.assertEqual('body : ("zzzzz")', self.asked("zzzzz"))

    def test_word_that_was_never_said_stays_a_beginning(self) -> None:
        """
        In front of all others, between them and behind them; it costs nothing.
        """
        self.append(self.bob.says("anyway", "zzzzz"))

        for word in ("aaaaa", "anyways", "zzzzzz"):
            self.assertEqual(f'body : "{word}" *', self.asked(word))

    def test_short_beginnings_are_lists_of_the_index(self) -> None:
        """
        Those need no words, and the index holds all of them up to there.
        """
        self.append(self.bob.says("anyway"))

        short = "anyway"[:SHORT]
        self.assertEqual(f'body : "{short}" *', self.asked(short))
        self.assertEqual('body : ("anyway")', self.asked("anyway"[: SHORT + 1]))
        lists = " ".join(map(str, range(1, SHORT + 1)))
        self.assertIn(f"prefix = '{lists}'", "".join(schema_steps()))

    def test_many_longer_words_are_not_named(self) -> None:
        """
        There is a bound on them, which all beginnings of a search share.
        """
        words = [f"begin{number:02}" for number in range(MOST_LONGER)]
        self.append(self.bob.says(" ".join(words), "other things", *words))
        self.assertEqual(MOST_LONGER - 1, self.asked("begin").count(" OR "))
        self.assertIn('body : "begin" *', self.asked("begin other things"))

        self.append(self.bob.says("begins"))

        self.assertEqual('body : "begin" *', self.asked("begin"))
        many = [f"begin{number:02}" for number in range(MOST_LONGER + 1)]
        self.assertNotIn(" OR ", self.asked(" ".join(many)))
        self.assertEqual(MOST_LONGER + 1, self.asked(" ".join(many)).count("*"))


class RankTests(AskedTestCase):
    """
    In which order the index is asked for words.
    """

    @override
    def setUp(self) -> None:
        """
        Have few texts tell how often a word is said.
        """
        super().setUp()
        change = mock.patch.object(reading, "SAMPLE", FEW)
        change.start()
        self.addCleanup(change.stop)

    def test_rarest_word_is_asked_for_first(self) -> None:
        """
        However they were typed, and each in brackets with all that are rarer.
        """
        self.append(self.bob.says("all", *["all some"] * (FEW + 1), *["all"] * 3))
        self.append(self.bob.says("all some few", *["all"] * FEW))

        asked = '((body : "few" *) NOT "" AND body : "some" *) NOT "" AND body : "all" *'
        for words in ("all some few", "some few all"):
            self.assertEqual(asked, self.asked(words), words)

    def test_place_is_ranked_as_a_word_is(self) -> None:
        """
        In front of a word that is said everywhere, and behind one that is rare.
        """
        self.append(self.bob.says(*["all"] * FEW))
        self.append(Author("Bob", OTHER_ROOM).says(*["all"] * FEW, "all rare"))
        self.append(self.bob.says("all", "all"))

        self.assertRegex(
            self.asked("all", OTHER_ROOM), r'^\(place : r\d\) NOT "" AND body : "all" \*$'
        )
        self.assertRegex(
            self.asked("rare", OTHER_ROOM), r'^\(body : "rare" \*\) NOT "" AND place : r\d$'
        )

    def test_word_alone_needs_no_brackets(self) -> None:
        """
        One word has nothing to be ranked with.
        """
        self.append(self.bob.says("all"))

        self.assertEqual('body : "all" *', self.asked("all"))

    def test_words_of_a_page_are_not_all_ranked(self) -> None:
        """
        Brackets within each other have a bound; what is beyond that follows without.
        """
        words = [f"w{number:02}" for number in range(MOST_RANKED + 2)]
        self.append(self.bob.says(" ".join(words), *words, *[words[0]] * FEW))

        self.assertTrue(
            self.asked(" ".join(words[:-2])).endswith(f'NOT "" AND body : "{words[0]}" *')
        )
        asked = self.asked(" ".join(words))
        self.assertEqual(MOST_RANKED, asked.count("("))
        first, *_, last = words
        self.assertTrue(asked.startswith("(" * MOST_RANKED + f'body : "{first}" *'), asked)
        self.assertTrue(asked.endswith(f'AND body : "{last}" *'), asked)


class IndexTests(HistoryTestCase):
    """
    When the words of texts go into the index, and that it makes no difference.
    """

    @override
    def setUp(self) -> None:
        """
        Make a journal that writes when it is told to.
        """
        super().setUp()
        self.later = Later()
        self.journal = self.open(self.later)

    @override
    def result(self, promised: Deferred[T]) -> T:
        """
        What was promised, as soon as everything is done.
        """
        self.later.settle()
        return self.successResultOf(promised)

    def say(self, count: int) -> None:
        """
        Keep so many texts, without putting their words into the index.
        """
        done = self.journal.append(self.bob.says(*["tea"] * count))
        self.later.work()
        self.later.tell()
        self.assertIsNone(self.successResultOf(done))

    def indexed(self) -> int:
        """
        How many texts have their words in the index.
        """
        ((count,),) = self.ask("SELECT count(*) FROM words WHERE words MATCH 'tea'")
        assert isinstance(count, int)
        return count

    def test_words_follow_in_lots(self) -> None:
        """
        Few wait for more; as many as a lot go into the index after the commit, and are found once.
        """
        self.say(LOT - 1)
        self.later.settle()
        self.assertEqual(0, self.indexed())
        self.assertEqual(LOT - 1, len(self.search("tea", most=PLENTY)))

        self.say(2)
        self.assertEqual(0, self.indexed())
        self.assertEqual(LOT + 1, len(self.search("tea", most=PLENTY)))

        self.assertEqual(LOT, self.indexed())
        self.assertEqual(LOT + 1, len(self.search("tea", most=PLENTY)))
        self.assertEqual(["tea"], self.search("tea", most=1))

    def test_commit_comes_before_the_index(self) -> None:
        """
        While something waits to be written, and not too many words are late, they stay so.
        """
        self.patch(journal_module, "MOST_BEHIND", 3 * LOT)
        self.say(2 * LOT)
        done = self.journal.append(self.bob.says("tea"))
        self.later.jobs[0]()
        self.later.jobs.popleft()
        self.assertEqual(0, self.indexed())

        self.result(done)

        self.assertEqual(2 * LOT, self.indexed())

    def test_index_is_never_far_behind(self) -> None:
        """
        Where there is always something to write, commits wait for the words of others.
        """
        self.patch(journal_module, "MOST_BEHIND", 2 * LOT)
        for _ in range(10):
            done = self.journal.append(self.bob.says(*["tea"] * LOT))
            self.later.jobs.pop()()
            self.later.tell()
            self.successResultOf(done)

        self.assertLessEqual(8 * LOT, self.indexed())
        self.assertEqual(10 * LOT, len(self.search("tea", most=PLENTY)))

    def test_what_cannot_be_indexed_is_found_all_the_same(self) -> None:
        """
        It is tried again with what comes next, and one line in the log is enough.
        """
        with capturedLogs() as logged:
            self.say(LOT)
            other = self.hold()
            self.later.settle()
            self.assertEqual(LOT, len(self.search("tea", most=PLENTY)))
            other.rollback()
            self.say(1)
            other = self.hold()
            self.later.settle()
            other.rollback()
            self.assertEqual(0, self.indexed())
            self.say(1)
            self.later.settle()

        self.assertEqual(LOT, self.indexed())
        self.assertEqual(LOT + 2, len(self.search("tea", most=PLENTY)))
        self.assertEqual(1, len([event for event in logged if event.get("problem")]))

    def test_process_that_ends_leaves_nothing_out(self) -> None:
        """
        What was late is late again, and goes into the index with what comes.
        """
        self.say(LOT)
        self.result(self.journal.close())
        self.assertEqual(0, self.indexed())

        self.journal = self.open(self.later)
        self.assertEqual(LOT, len(self.search("tea", most=PLENTY)))
        self.say(1)
        self.later.settle()

        self.assertEqual(LOT, self.indexed())
        self.assertEqual(LOT + 1, len(self.search("tea", most=PLENTY)))


class UnreadTests(HistoryTestCase):
    """
    `Journal.unread` and `Journal.looked_at`.
    """

    def unread(self, *places: Place) -> list[int]:
        """
        How much there is to see.
        """
        return [self.journal.unread(place) for place in places or (ROOM, OTHER_ROOM, DAN, EVE)]

    def test_texts_of_others_count(self) -> None:
        """
        Ours do not, nor does what is no text.
        """
        self.append(self.bob.says("one", "two", Said(3, "add", "three")))
        self.append(self.author.says("mine"))
        self.append(Author("Carl", OTHER_ROOM).says("four"))
        self.plain("five")
        self.plain("mine", is_ours=True)

        self.assertEqual([2, 1, 1, 0], self.unread())
        self.reopen()
        self.assertEqual([2, 1, 1, 0], self.unread())

    def test_what_was_seen_is_seen(self) -> None:
        """
        Also after the next start; what comes afterwards counts anew.
        """
        self.append(self.bob.says("one"))
        self.plain("one")
        for place in (ROOM, DAN, EVE):
            self.journal.looked_at(place)
        self.assertEqual([0, 0, 0, 0], self.unread())
        self.reopen()
        self.assertEqual([0, 0, 0, 0], self.unread())

        self.append(self.bob.says("two", "three"))
        self.append(Author("Bob", OTHER_ROOM).says("two"))
        self.plain("two")
        self.plain("two", EVE)

        self.assertEqual([2, 1, 1, 1], self.unread())
        self.reopen()
        self.assertEqual([2, 1, 1, 1], self.unread())

    def test_addresses_with_something_unread_are_told(self) -> None:
        """
        Those of classic peers, also when the journal has been opened again; of rooms others know.
        """
        self.append(self.bob.says("one"))
        self.plain("two")
        self.plain("three", EVE)
        self.journal.looked_at(DAN)

        self.assertEqual([EVE], self.journal.addresses_unread())
        self.reopen()
        self.assertEqual([EVE], self.journal.addresses_unread())

    def test_looking_at_nothing_new_writes_nothing(self) -> None:
        """
        A person looks often.
        """
        later = Later()
        self.journal = self.open(later)
        self.journal.looked_at(ROOM)
        self.journal.looked_at(DAN)

        self.assertEqual(0, len(later.jobs))

    def test_entry_counts_when_it_is_on_the_disk(self) -> None:
        """
        Nobody has seen what was not told yet, though they look at that moment.
        """
        later = Later()
        self.journal = self.open(later)
        self.journal.append(self.bob.says("one"))
        later.settle()
        self.journal.append(self.bob.says("two"))
        self.assertEqual([1], self.unread(ROOM))
        later.work()

        self.journal.looked_at(ROOM)
        self.assertEqual([0], self.unread(ROOM))
        later.settle()

        self.assertEqual([1], self.unread(ROOM))
        self.journal = self.open(Here())
        self.assertEqual([1], self.unread(ROOM))

    def test_plain_counts_at_once(self) -> None:
        """
        It is told at once, and can be seen before it is on the disk.
        """
        later = Later()
        self.journal = self.open(later)
        self.plain("one")
        self.assertEqual([1], self.unread(DAN))
        self.journal.looked_at(DAN)
        self.plain("two")
        later.settle()

        self.assertEqual([1], self.unread(DAN))
        self.journal = self.open(Here())
        self.assertEqual([1], self.unread(DAN))

    def test_lost_text_does_not_count(self) -> None:
        """
        What could not be kept cannot be read either.
        """
        later = Later()
        self.journal = self.open(later)
        kept = self.plain("kept")
        later.settle()
        self.result(kept)
        other = self.hold()
        lost = self.journal.append(self.bob.says("lost"))
        seen = self.plain("seen and lost")
        self.journal.looked_at(DAN)
        losing = [lost, seen, self.plain("lost"), self.plain("mine and lost", is_ours=True)]
        self.assertEqual([0, 1], self.unread(ROOM, DAN))

        later.settle()

        for promised in losing:
            self.refuse(promised)
        self.assertEqual([0, 0], self.unread(ROOM, DAN))
        other.rollback()
        self.plain("next")
        closed = self.journal.close()
        later.settle()
        self.result(closed)
        self.journal = self.open(Here())
        self.assertEqual([1], self.unread(DAN))
        self.assertEqual(["next", "kept"], texts(self.history(DAN)))

    def test_look_that_cannot_be_written_is_written_at_the_end(self) -> None:
        """
        It goes with what comes next, or with nothing.
        """
        self.append(self.bob.says("one"))
        other = self.hold()
        self.journal.looked_at(ROOM)
        other.rollback()

        self.reopen()

        self.assertEqual([0], self.unread(ROOM))

    def test_nothing_is_taken_any_more_at_the_end(self) -> None:
        """
        What comes after the end is lost, and disturbs nobody.
        """
        self.append(self.bob.says("one"))
        self.result(self.journal.close())
        self.journal.looked_at(ROOM)
        for promised in (
            self.plain("late"),
            self.journal.history(None, 0.0, None, 1),
            self.journal.search("one", None, None, 1),
        ):
            self.assertIn("is closed", self.refuse(promised))

        self.journal = self.open(Here())

        self.assertEqual([1, 0], self.unread(ROOM, DAN))


class NumberTests(HistoryTestCase):
    """
    The order of arrival.
    """

    def numbers(self) -> Sequence[int]:
        """
        The numbers of all lines, in order.
        """
        return [line.number for line in self.history(None)][::-1]

    def test_no_number_is_given_twice(self) -> None:
        """
        Neither that of a line that is gone, nor that of one that could not be written.
        """
        self.append(self.author.says("one", "two", "three"))
        self.append(self.bob.says("four"))
        self.journal.looked_at(ROOM)
        self.append(Author(room=OTHER_ROOM).says("five"))
        self.result(self.journal.replace(OTHER_ROOM, 0, (), 0))
        self.assertEqual([1, 2, 3, 4], self.numbers())

        self.reopen()
        other = self.hold()
        self.refuse(self.plain("lost"))
        other.rollback()
        self.append(Author("Carl").says("six"))

        self.assertGreater(self.numbers()[-1], 5)
        self.assertEqual([1], [self.journal.unread(ROOM)])
        self.reopen()
        self.assertEqual([1], [self.journal.unread(ROOM)])

    def test_owner_of_another_journal_is_somebody_else(self) -> None:
        """
        Whose it is decides what is unread.
        """
        self.append(self.author.says("one"))
        self.result(self.journal.close())

        journal = Journal(self.here, self.folder, identity_of("Bob").key, lambda _: self.here)

        self.assertEqual(1, journal.unread(ROOM))
        self.result(journal.close())
