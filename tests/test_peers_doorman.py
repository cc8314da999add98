"""
Who may come in, and how many.
"""

from collections.abc import Sequence

from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from twistedchat.peers.doorman import (
    DEAD_AFTER,
    END_OF_MESSAGE,
    LONGEST_CLOSE,
    LONGEST_HANDSHAKE,
    LONGEST_IDLE,
    MOST_HANDSHAKES,
    MOST_HANDSHAKES_PER_HOST,
    PING_AFTER,
    STRANGERS_AT_ONCE,
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

    def fell_quiet(self) -> None:
        """
        Remember it.
        """
        self.done.append("fell quiet")


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

    def test_closing_ends_our_own_sessions_too(self) -> None:
        """
        Sessions that we opened, or are opening, are dropped once, and questions closed.
        """
        shaking, alive, asked = FakeConnection(), FakeConnection(), FakeConnection()
        (inside,) = self.admit("192.0.2.1")
        self.doorman.handshakes.restart(shaking)
        for session in (alive, inside):
            self.doorman.heard_line(session)
        self.doorman.answers.restart(asked)

        self.doorman.close()

        for session in (shaking, alive, inside):
            self.assertEqual(["the node is stopping"], session.done)
        self.assertEqual(["waited"], asked.done)
        self.assertEqual([], self.clock.getDelayedCalls())


class HandshakeTests(SynchronousTestCase):
    """
    `Doorman` on connections that become sessions.
    """

    @override
    def setUp(self) -> None:
        """
        Make one.
        """
        self.clock = Clock()
        self.doorman = Doorman(self.clock, lambda host, messages: None)

    def shake(self, host: str) -> FakeConnection:
        """
        Begin a handshake that must be let in.
        """
        connection = FakeConnection()
        self.assertTrue(self.doorman.admit(connection, host))
        self.assertIsNone(self.doorman.admit_handshake(connection, host))
        return connection

    def refusal(self, host: str) -> str | None:
        """
        Why a handshake is not let in.
        """
        return self.doorman.admit_handshake(FakeConnection(), host)

    def test_host_has_so_many_unfinished_ones(self) -> None:
        """
        One address gets its share, others theirs; each that ends makes room for another.
        """
        begun = [self.shake("192.0.2.1") for _ in range(MOST_HANDSHAKES_PER_HOST)]

        self.assertEqual("it has 64 unfinished handshakes already", self.refusal("192.0.2.1"))
        self.shake("192.0.2.2")
        self.doorman.handshake_over(begun[0], is_known=True)
        # What is over is over.
        self.doorman.handshake_over(begun[0], is_known=True)

        self.shake("192.0.2.1")
        self.assertIsNotNone(self.refusal("192.0.2.1"))

    def test_all_have_so_many_unfinished_ones(self) -> None:
        """
        Together they have a bound too.
        """
        begun = [self.shake(f"192.0.2.{number}") for number in range(MOST_HANDSHAKES)]

        self.assertEqual(
            "there are 256 unfinished handshakes already", self.refusal("198.51.100.1")
        )
        for connection in begun:
            self.doorman.handshake_over(connection, is_known=True)

        self.assertIsNone(self.refusal("198.51.100.1"))

    def test_handshake_is_dropped_in_time_and_not_for_idleness(self) -> None:
        """
        It has five seconds, whatever it says, and no minute.
        """
        slow, quick = self.shake("192.0.2.1"), self.shake("192.0.2.1")
        self.doorman.handshake_over(quick, is_known=True)

        self.clock.advance(LONGEST_HANDSHAKE)
        self.clock.advance(LONGEST_IDLE)

        self.assertEqual(["its handshake took too long"], slow.done)
        self.assertEqual([], quick.done)

    def test_strangers_are_counted_for_their_address(self) -> None:
        """
        So many handshakes with nobody we know, and one more each second; those we know are free.
        """
        for _ in range(STRANGERS_AT_ONCE):
            self.doorman.handshake_over(self.shake("192.0.2.1"), is_known=False)
            self.doorman.handshake_over(self.shake("192.0.2.2"), is_known=True)

        self.assertEqual(
            "it led to too many sessions with nobody we know", self.refusal("192.0.2.1")
        )
        self.shake("192.0.2.2")
        self.clock.advance(1)
        self.doorman.handshake_over(self.shake("192.0.2.1"), is_known=False)
        self.assertIsNotNone(self.refusal("192.0.2.1"))

    def test_handshake_of_ours_is_no_strangers(self) -> None:
        """
        What we opened was never admitted, and is not counted.
        """
        ours = FakeConnection()
        self.doorman.handshakes.restart(ours)

        self.doorman.handshake_over(ours, is_known=False)
        self.clock.advance(LONGEST_HANDSHAKE)

        self.assertEqual([], ours.done)

    def test_refusals_are_news_now_and_then(self) -> None:
        """
        Of a flood from one address one refusal a minute is logged, and others' are apart.
        """
        news = [self.doorman.is_refusal_news("192.0.2.1") for _ in range(50)]
        self.assertEqual([True] + [False] * 49, news)
        self.assertTrue(self.doorman.is_refusal_news("192.0.2.2"))

        self.clock.advance(60)

        self.assertTrue(self.doorman.is_refusal_news("192.0.2.1"))

    def test_quiet_session_is_asked_and_a_dead_one_dropped(self) -> None:
        """
        Each line gives the full time; without one it is asked once, and then taken for dead.
        """
        session, forgotten = FakeConnection(), FakeConnection()
        self.doorman.heard_line(session)
        self.doorman.heard_line(forgotten)
        self.clock.advance(PING_AFTER - 1)
        self.doorman.heard_line(session)
        self.doorman.forget_session(forgotten)

        self.clock.advance(PING_AFTER - 1)
        self.assertEqual([], session.done)
        self.clock.advance(1)
        self.assertEqual(["fell quiet"], session.done)
        self.clock.advance(DEAD_AFTER - PING_AFTER)

        self.assertEqual(["fell quiet", "it was silent for too long"], session.done)
        self.assertEqual([], forgotten.done)
        self.assertEqual([], self.clock.getDelayedCalls())
