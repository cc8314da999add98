"""
Reading what was said: moments, streams and passages.
"""

from datetime import datetime
from itertools import count

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.strategies import any_texts
from twistedchat.core.errors import ChatError
from twistedchat.core.history import LineOfHistory
from twistedchat.core.identity import DeviceKey
from twistedchat.core.reading import BATCH, Passage, Stream, cut_since, passages_of

WHALE = DeviceKey(b"\x1a" * 32)
EVE = DeviceKey(b"\xee" * 32)
ROOM = b"\xc1" * 32
# Local time, as it is typed.
NOW = datetime(2026, 3, 4, 18, 6, 30).timestamp()


def said(number: int, time: float = 0.0, author: DeviceKey = WHALE) -> LineOfHistory:
    """
    A line of history.
    """
    return LineOfHistory(number, ROOM, author, None, False, number, time, f"text {number}")


class SinceTests(SynchronousTestCase):
    """
    `cut_since`.
    """

    def test_moment_is_read_in_every_form(self) -> None:
        """
        A day, a time of the day, so long ago, today and yesterday; all in local time.
        """
        for typed, moment in [
            ("2026-03-01", datetime(2026, 3, 1)),
            ("2026-3-1", datetime(2026, 3, 1)),
            ("14:30", datetime(2026, 3, 4, 14, 30)),
            ("18:06", datetime(2026, 3, 4, 18, 6)),
            ("20min", datetime(2026, 3, 4, 17, 46, 30)),
            ("2H", datetime(2026, 3, 4, 16, 6, 30)),
            ("3d", datetime(2026, 3, 1, 18, 6, 30)),
            ("today", datetime(2026, 3, 4)),
            ("Yesterday", datetime(2026, 3, 3)),
        ]:
            self.assertEqual(("", moment.timestamp()), cut_since(typed, NOW))

    def test_time_that_is_still_to_come_was_yesterday(self) -> None:
        """
        A time of the day is the last one that there was.
        """
        for typed in ["18:07", "23:59"]:
            _, moment = cut_since(typed, NOW)
            assert moment is not None
            self.assertEqual(3, datetime.fromtimestamp(moment).day)

    def test_moment_is_cut_off_whoever_is_meant(self) -> None:
        """
        What stands before it stays as it was typed, but for the word between them.
        """
        for typed, before in [
            ("Blue  Whales 2h", "Blue  Whales"),
            ("#class since 2h", "#class"),
            ("since 2h", ""),
            ("Since  2h", ""),
            ("3 2h", "3"),
            ("sincere 2h", "sincere"),
        ]:
            self.assertEqual((before, NOW - 7200), cut_since(typed, NOW))

    def test_everything_else_is_no_moment(self) -> None:
        """
        Names, numbers, keys and addresses are left as they are.
        """
        for typed in [
            *("", "bob", "3", "2h bob", "since", "today bob", "1a1a1a1a", "10.0.0.1:6101"),
            *("[fd00::2]:30", "2x", "2026-03", "14:3", "123456h", "\u0662h"),
        ]:
            self.assertEqual((typed, None), cut_since(typed, NOW))

    def test_impossible_moment_is_refused(self) -> None:
        """
        What looks like a moment and is none is told, with the forms that there are.
        """
        for typed in ["2026-02-30", "bob 2026-13-01", "24:00", "12:60", "0000-01-01"]:
            error = self.assertRaises(ChatError, cut_since, typed, NOW)
            self.assertIn(f"Invalid time {typed.split()[-1]!r}: it is 2026-11-24,", str(error))

    @given(any_texts(), st.sampled_from(["2h", "since 3d", "14:30", "today"]))
    def test_any_text_keeps_what_stands_before(self, text: str, moment: str) -> None:
        """
        Whatever is typed before a moment, it is cut off, and the beginning is not touched.
        """
        before, since = cut_since(f"{text} {moment}", NOW)

        self.assertIsNotNone(since)
        self.assertTrue(text.startswith(before))


class StreamTests(SynchronousTestCase):
    """
    `Stream`.
    """

    def run_stream(self, history: list[LineOfHistory], *later: LineOfHistory) -> list[int]:
        """
        Read a history to its end; some lines are put into it after the first batch was read.
        """
        stream, numbers = Stream(), list[int]()
        wanted: tuple[LineOfHistory | None, int] | None = (None, BATCH)
        for round_ in count():
            if wanted is None:
                return numbers
            before, most = wanted
            lines = [line for line in history if before is None or line.time < before.time]
            shown, wanted = stream.take(lines[-most:][::-1])
            numbers += [line.number for line in shown]
            if round_ == 0:
                history = sorted([*history, *later], key=lambda line: line.time)
        raise AssertionError

    @given(st.integers(0, 6 * BATCH))
    def test_every_line_comes_once_in_order(self, lines: int) -> None:
        """
        Of any length, a history comes whole.
        """
        history = [said(number, number) for number in range(1, lines + 1)]

        self.assertEqual(list(range(1, lines + 1)), self.run_stream(history))

    def test_only_a_few_batches_are_kept(self) -> None:
        """
        What is remembered on the way back is without its text.
        """
        stream = Stream()
        for first in range(10 * BATCH, BATCH, -BATCH):
            shown, following = stream.take([said(first - number) for number in range(BATCH)])
            self.assertEqual([], shown)
            assert following is not None
            self.assertEqual("", following[0].text)

    def test_lines_that_come_between_push_none_out(self) -> None:
        """
        What somebody said long ago and comes just now is shown, and nothing is lost for it.
        """
        history = [said(number, number) for number in range(1, 3 * BATCH + 1)]
        late = [said(9000 + number, 1.5 * BATCH + number / 100) for number in range(10)]

        numbers = self.run_stream(history, *late)

        self.assertEqual(set(range(1, 3 * BATCH + 1)), set(numbers) - set(range(9000, 9010)))
        self.assertEqual(len(set(numbers)), len(numbers))
        self.assertTrue(set(range(9000, 9010)) <= set(numbers))

    def test_what_came_since_is_left_to_others(self) -> None:
        """
        A line that is said while a history is read is told as it comes, and not again.
        """
        history = [said(number, number) for number in range(1, BATCH + 3)]

        numbers = self.run_stream(history, said(9000, 9000))

        self.assertEqual(list(range(1, BATCH + 3)), numbers)

    def test_mark_that_is_gone_ends_nothing(self) -> None:
        """
        Where the end of a batch was taken back meanwhile, all that was read is shown.
        """
        stream = Stream()
        stream.take([said(number) for number in range(3 * BATCH, 2 * BATCH, -1)])
        stream.take([said(number) for number in range(2 * BATCH, BATCH, -1)])
        stream.take([])

        shown, _ = stream.take([said(number) for number in range(2 * BATCH, BATCH + 1, -1)])

        self.assertEqual(list(range(BATCH + 2, 3 * BATCH + 1)), [line.number for line in shown])


class PassagesTests(SynchronousTestCase):
    """
    `passages_of`.
    """

    def test_passages_that_touch_are_one(self) -> None:
        """
        What was found side by side stands together, in the room's order; the rest stands apart.
        """
        lines = [said(number, number) for number in range(10)]

        passages = passages_of(
            [
                (lines[5], lines[4:7]),
                (lines[9], lines[8:10]),
                (lines[4], lines[3:6]),
                (lines[3], lines[2:5]),
            ]
        )

        self.assertEqual(
            [
                Passage(tuple(lines[2:7]), frozenset({3, 4, 5})),
                Passage(tuple(lines[8:10]), frozenset({9})),
            ],
            passages,
        )

    def test_order_is_the_rooms(self) -> None:
        """
        Within a passage the clock counts, then the author and the number, and not what came first.
        """
        late, early = said(2, 1.0, EVE), said(3, 1.0, WHALE)

        [passage] = passages_of([(late, [early, late]), (early, [early, late])])

        self.assertEqual((early, late), passage.lines)
        self.assertEqual([], passages_of([]))

    def test_plain_lines_keep_the_order_in_which_they_came(self) -> None:
        """
        Without an author it is the order in which they came.
        """
        lines = [
            LineOfHistory(number, ROOM, None, None, False, 0, 1.0, "hi") for number in range(3)
        ]

        [passage] = passages_of([(lines[1], [lines[2], lines[0], lines[1]])])

        self.assertEqual(tuple(lines), passage.lines)
