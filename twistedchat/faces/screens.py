"""
What a console needs of the place where it is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

from twistedchat.core.wording import Line

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["IOperator", "IScreen"]


class IScreen(Interface):
    """
    A place where lines are shown and typed. All calls are made in the reactor's thread.
    """

    is_interactive = Attribute(
        "Whether a person sits there, who reads a page at a time; otherwise a program, which gets "
        "all there is."
    )

    def show(lines: Sequence[Line]) -> None:
        """
        Draw lines, without touching what is half typed.

        A "link" is drawn so that it can be copied whole. A "picture" that cannot be seen as it is
        meant may be left out: what it says is said in words as well.

        Args:
            lines: What to draw, in order.
        """

    def ask(prompt: str, draft: str = "") -> None:
        """
        Say what the next line answers.

        Args:
            prompt: A question, safe to show, with a space at its end.
            draft: What to begin the answer with, where it can be edited.
        """

    def taken() -> Deferred[None]:
        """
        Wait until there is room for more, for whoever has very much to show.

        Returns:
            Fires when what was shown has been taken, or can be no more. Never fails.
        """

    def window() -> tuple[int, int]:
        """
        How much a person sees at once.

        Returns:
            How many rows, and how many columns.
        """

    def offer(words: Sequence[str]) -> None:
        """
        Tell which words may be completed.

        Args:
            words: Names, names with keys, and addresses.
        """

    def pause() -> None:
        """
        Hand over no typed line until `resume`.
        """

    def resume() -> None:
        """
        Hand over typed lines again.
        """

    def close() -> Deferred[None]:
        """
        Draw what is still to be drawn, and leave the terminal as it was.

        Returns:
            Fires when that has been done, within two seconds. Never fails.
        """


class IOperator(Interface):
    """
    Who answers what is typed on a screen. All calls are made in the reactor's thread.
    """

    def line_typed(line: str) -> None:
        """
        A whole line was typed.

        Args:
            line: The line, without its end.
        """

    def line_too_long(size: int) -> None:
        """
        A line was typed that is longer than any that a screen keeps; it is passed over.

        Args:
            size: How many bytes of it were seen.
        """

    def input_ended() -> None:
        """
        Nothing more will be typed: what was is to be finished.
        """

    def had_enough() -> None:
        """
        The person wants to leave (Control-C, Control-D).
        """

    def output_lost() -> None:
        """
        Nothing more can be shown.
        """
