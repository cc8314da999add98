"""
What counts as read.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from twistedchat.core.history import LineOfHistory
from twistedchat.core.identity import DeviceKey
from twistedchat.faces.looks import LOOK_DELAY, Looks
from twistedchat.testing import FakeNode

WHALE = DeviceKey(b"\x1a" * 32)
EVE = DeviceKey(b"\xee" * 32)


def said(number: int, key: DeviceKey = WHALE, *, is_ours: bool = False) -> LineOfHistory:
    """
    A line of history.
    """
    return LineOfHistory(number, key.raw, key, None, is_ours, number, 0.0, "hi")


class LooksTests(SynchronousTestCase):
    """
    `Looks`.
    """

    @override
    def setUp(self) -> None:
        """
        Have somebody who looks.
        """
        self.node = FakeNode()
        self.clock = Clock()
        self.looks = Looks(self.node, self.clock, is_program=False)

    def check(self, *places: DeviceKey) -> None:
        """
        Look, and compare what was seen.
        """
        self.node.looks.clear()
        self.looks.look()
        self.assertEqual([[key.raw for key in places]] if places else [], self.node.looks)

    def test_texts_that_were_shown_as_they_came_are_seen(self) -> None:
        """
        Where all that is unread was shown it is seen, once.
        """
        self.node.counts = {WHALE.raw: 2, EVE.raw: 2}
        for key in [WHALE, WHALE, EVE]:
            self.looks.came(key)

        self.check(WHALE)
        self.check()
        self.looks.came(EVE)
        self.check(EVE)

    def test_nothing_shown_is_nothing_seen(self) -> None:
        """
        Unread texts that were never shown stay that.
        """
        self.node.counts = {WHALE.raw: 1}

        self.check()

    def test_whoever_reads_of_a_place_has_looked_there(self) -> None:
        """
        A page of somebody's history is a look at all that came from them until then.
        """
        self.node.counts = {WHALE.raw: 213, EVE.raw: 1}
        self.looks.read(WHALE.raw, [said(213)], is_first=True)
        self.node.counts[WHALE.raw] += 1
        self.check()
        self.looks.read(WHALE.raw, [said(212)], is_first=False)
        self.check()
        self.looks.read(WHALE.raw, [said(214)], is_first=True)
        self.check(WHALE)

    def test_page_after_page_is_seen(self) -> None:
        """
        History counts when as many texts of others were shown as were unread.
        """
        self.node.counts = {WHALE.raw: 3}
        self.looks.read(None, [said(5), said(4, is_ours=True), said(3)], is_first=True)
        self.check()
        self.looks.read(None, [said(2), said(1)], is_first=False)
        self.check(WHALE)

    def test_reading_anew_counts_nothing_twice(self) -> None:
        """
        The same page shown again, or what came before it, is no further text.
        """
        self.node.counts = {WHALE.raw: 3}
        self.looks.came(WHALE)
        for _ in range(2):
            self.looks.read(None, [said(3), said(2)], is_first=True)
            self.check()

    def test_program_looks_a_moment_later(self) -> None:
        """
        What is shown to a program in a moment is seen together, and at the end what is left.
        """
        looks = Looks(self.node, self.clock, is_program=True)
        for key in [WHALE, EVE]:
            self.node.counts[key.raw] = 1
            looks.came(key)
        self.assertEqual([], self.node.looks)
        self.clock.advance(LOOK_DELAY)
        self.assertEqual([[WHALE.raw, EVE.raw]], self.node.looks)

        self.node.counts[WHALE.raw] = 1
        looks.read(None, [said(1)], is_first=True)
        looks.close()
        self.node.counts[EVE.raw] = 1
        looks.came(EVE)

        self.assertEqual([[WHALE.raw]], self.node.looks[1:])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_text_that_comes_after_a_page_counts_with_it(self) -> None:
        """
        What was read and what came after it are both seen.
        """
        self.node.counts = {WHALE.raw: 2}
        self.looks.read(None, [said(2), said(1)], is_first=True)
        self.node.counts[WHALE.raw] += 1
        self.looks.came(WHALE)
        self.check(WHALE)

    @given(
        st.lists(st.sampled_from(["hidden", "came", "ours", "page", "next", "look"]), max_size=40)
    )
    def test_nothing_is_seen_that_was_not_shown(self, steps: list[str]) -> None:
        """
        Whatever comes, hidden or not, and is read: when a place is seen, all of it was shown.
        """
        self.setUp()
        lines: list[LineOfHistory] = []
        shown: set[int] = set()
        unread: set[int] = set()
        begin = 0
        for step in steps:
            number = len(lines) + 1
            match step:
                case "hidden" | "came" | "ours":
                    lines.append(said(number, is_ours=step == "ours"))
                    if step != "ours":
                        unread.add(number)
                        self.node.counts[WHALE.raw] = len(unread)
                    if step == "came":
                        shown.add(number)
                        self.looks.came(WHALE)
                case "page" | "next":
                    end = begin if step == "next" else len(lines)
                    begin = max(0, end - 3)
                    page = lines[begin:end]
                    shown |= {line.number for line in page}
                    self.looks.read(None, page, is_first=step == "page")
                case _:
                    self.looks.look()
                    if self.node.looks:
                        self.assertTrue(unread <= shown)
                        self.node.looks.clear()
                        unread.clear()
