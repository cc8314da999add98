"""
Who may come in, and how many.
"""

from collections.abc import Sequence

from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from twistedchat.peers.doorman import (
    END_OF_MESSAGE,
    LONGEST_CLOSE,
    LONGEST_IDLE,
    Doorman,
)


class FakeConnection:
    """
    A connection that remembers what the doorman did to it.
    """

    def __init__(self) -> None:
        self.done: list[str] = []

    def fell_silent(self) -> None:
        """
        Remember it.
        """
        self.done.append("fell silent")

    def waited_for_close(self) -> None:
        """
        Remember it.
        """
        self.done.append("waited")

    def drop(self, reason: str) -> None:
        """
        Remember it.
        """
        self.done.append(reason)


def turned_away(events: Sequence[LogEvent]) -> list[tuple[str, str]]:
    """
    The hosts and reasons of all refusals in a log.
    """
    return [(event["host"], event["reason"]) for event in events if "host" in event]


class DoormanTests(SynchronousTestCase):
    """
    `Doorman`, with four places, three of them for one host.
    """

    @override
    def setUp(self) -> None:
        """
        Make a small one.
        """
        self.clock = Clock()
        self.doorman = Doorman(
            self.clock,
            lambda host, messages: None,
            most_connections=4,
            most_connections_per_host=3,
        )

    def admit(self, *hosts: str) -> list[FakeConnection]:
        """
        Let several in, all of whom must be let in.
        """
        connections = [FakeConnection() for _ in hosts]
        for connection, host in zip(connections, hosts, strict=True):
            self.assertTrue(self.doorman.admit(connection, host))
        return connections

    def refuse(self, host: str) -> list[tuple[str, str]]:
        """
        Ask for one that must not be let in, and tell what was logged.
        """
        with capturedLogs() as events:
            self.assertFalse(self.doorman.admit(FakeConnection(), host))
        return turned_away(events)

    def test_host_over_its_share_is_turned_away(self) -> None:
        """
        One host gets so many places and no more; others still get theirs.
        """
        self.admit("192.0.2.1", "192.0.2.1", "192.0.2.1")

        logged = self.refuse("192.0.2.1")

        self.assertEqual([("192.0.2.1", "it has 3 connections already")], logged)
        self.admit("192.0.2.2")

    def test_all_places_taken_turns_everyone_away(self) -> None:
        """
        When all places are taken, nobody else gets in.
        """
        self.admit("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")

        logged = self.refuse("192.0.2.5")

        self.assertEqual([("192.0.2.5", "there are 4 connections already")], logged)

    def test_refused_again_is_logged_once(self) -> None:
        """
        A host that keeps trying gets one line in the log.
        """
        self.admit("192.0.2.1", "192.0.2.1", "192.0.2.1")
        self.refuse("192.0.2.1")

        self.assertEqual([], self.refuse("192.0.2.1"))

    def test_refused_strangers_are_logged_as_one(self) -> None:
        """
        Any number of hosts that have no connection at all get one line together.
        """
        self.admit("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
        self.refuse("192.0.2.5")

        self.assertEqual([], self.refuse("192.0.2.6"))
        self.assertEqual(1, len(self.refuse("192.0.2.1")))

    def test_host_that_left_is_logged_again(self) -> None:
        """
        Once a host has no connection any more, its next refusal is news.
        """
        inside = self.admit("192.0.2.1", "192.0.2.1", "192.0.2.1")
        self.refuse("192.0.2.1")

        for connection in inside:
            self.doorman.out(connection, "192.0.2.1")
        self.admit("192.0.2.1", "192.0.2.1", "192.0.2.1")

        self.assertEqual(1, len(self.refuse("192.0.2.1")))

    def test_places_that_were_full_are_logged_again(self) -> None:
        """
        Once there was a place again, turning strangers away is news.
        """
        inside = self.admit("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
        self.refuse("192.0.2.5")

        self.doorman.out(inside[0], "192.0.2.1")
        self.admit("192.0.2.1")

        self.assertEqual(1, len(self.refuse("192.0.2.6")))

    def test_lost_gives_its_place_back(self) -> None:
        """
        A host can come in again as often as it went out.
        """
        for _ in range(10):
            (connection,) = self.admit("192.0.2.1")
            self.doorman.out(connection, "192.0.2.1")
        self.admit("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2")

    def test_refused_takes_no_place(self) -> None:
        """
        Whoever was turned away is not counted.
        """
        inside = self.admit("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
        for _ in range(5):
            self.refuse("192.0.2.5")

        for number, connection in enumerate(inside, start=1):
            self.doorman.out(connection, f"192.0.2.{number}")

        self.admit("192.0.2.5", "192.0.2.5", "192.0.2.5")
        self.assertEqual(1, len(self.refuse("192.0.2.5")))

    def test_idle_is_dropped_after_a_minute(self) -> None:
        """
        A connection that brings nothing goes after `LONGEST_IDLE`.
        """
        (connection,) = self.admit("192.0.2.1")

        self.clock.advance(LONGEST_IDLE - 1)
        self.assertEqual([], connection.done)
        self.clock.advance(1)

        self.assertEqual(["it was idle, or spoke, for too long"], connection.done)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_end_of_a_message_gives_another_minute(self) -> None:
        """
        The time runs from the end of the last message.
        """
        (connection,) = self.admit("192.0.2.1")
        self.clock.advance(LONGEST_IDLE - 1)
        self.doorman.silences.restart(connection)
        self.clock.advance(END_OF_MESSAGE)

        self.clock.advance(LONGEST_IDLE - 1)
        self.assertEqual(["fell silent"], connection.done)
        self.clock.advance(1)

        self.assertEqual(["fell silent", "it was idle, or spoke, for too long"], connection.done)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_lost_is_not_dropped_for_idleness(self) -> None:
        """
        What went out is not waited for.
        """
        (connection,) = self.admit("192.0.2.1")
        self.doorman.out(connection, "192.0.2.1")

        self.clock.advance(LONGEST_IDLE)

        self.assertEqual([], connection.done)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_queues_tell_their_connections(self) -> None:
        """
        Silence and a close that does not come are told to the connection concerned.
        """
        silent, unclosed = FakeConnection(), FakeConnection()
        self.doorman.silences.restart(silent)
        self.doorman.closes.restart(unclosed)

        self.clock.advance(END_OF_MESSAGE)
        self.assertEqual((["fell silent"], []), (silent.done, unclosed.done))
        self.clock.advance(LONGEST_CLOSE - END_OF_MESSAGE)

        self.assertEqual((["fell silent"], ["waited"]), (silent.done, unclosed.done))
        self.doorman.close()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_closing_ends_everything(self) -> None:
        """
        At the end connections in are dropped, connections out closed, and no timer is left.
        """
        (inside,) = self.admit("192.0.2.1")
        outgoing = FakeConnection()
        self.doorman.silences.restart(inside)
        self.doorman.closes.restart(outgoing)

        self.doorman.close()

        self.assertEqual(["the node is stopping"], inside.done)
        self.assertEqual(["waited"], outgoing.done)
        self.assertEqual([], self.clock.getDelayedCalls())
