"""
The lists of peers: who stays, who goes, and in what order.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from tests.strategies import dialects
from twistedchat.core.addresses import Address
from twistedchat.core.classic import Dialect
from twistedchat.core.roster import MOST_PEERS, MOST_PEERS_PER_HOST, Peer, Roster

QUOKKA = Address("10.0.0.1", 6101)
PANDA = Address("10.0.0.2", 6101)
NUMBAT = Address("10.0.0.3", 6101)


def addresses_of(peers: list[Peer]) -> list[Address]:
    """
    Where these peers listen.
    """
    return [peer.address for peer in peers]


def hear(
    roster: Roster, *addresses: Address, connects: bool = False, name: str | None = "Q"
) -> list[Peer]:
    """
    Let each of these speak once.

    Returns:
        Those that had to make room.
    """
    gone = []
    for address in addresses:
        gone += roster.heard(address, name, Dialect.PLAIN, 1.0, connects=connects)[1]
    return gone


class RosterTests(SynchronousTestCase):
    """
    `Roster`.
    """

    def test_new_roster_is_empty(self) -> None:
        """
        Nobody is there at first.
        """
        roster = Roster()

        self.assertEqual(0, len(roster))
        self.assertEqual([], roster.active())
        self.assertEqual([], roster.connected())
        self.assertIsNone(roster.find(QUOKKA))
        self.assertEqual([], roster.named("Quokka"))

    def test_heard_peer_is_active(self) -> None:
        """
        A message makes its sender active, and tells how and when it spoke.
        """
        roster = Roster()

        peer, gone = roster.heard(QUOKKA, "Quokka", Dialect.ANGLE, 5.0, connects=False)

        expected = Peer(QUOKKA, "Quokka", Dialect.ANGLE, 5.0, 5.0, False, 1, 0)
        self.assertEqual((expected, []), (peer, gone))
        self.assertEqual([expected], roster.active())
        self.assertEqual([], roster.connected())
        self.assertEqual(expected, roster.find(QUOKKA))

    def test_heard_again_changes_the_peer(self) -> None:
        """
        The last name, form and time count; the first time stays, and so does the connection.
        """
        roster = Roster()
        roster.heard(QUOKKA, "Quokka", Dialect.ANGLE, 5.0, connects=True)

        peer, _ = roster.heard(QUOKKA, "Wombat", Dialect.PLAIN, 7.0, connects=False)

        self.assertEqual(Peer(QUOKKA, "Wombat", Dialect.PLAIN, 5.0, 7.0, True, 2, 0), peer)
        self.assertEqual([peer], roster.connected())

    def test_missing_name_leaves_the_known_one(self) -> None:
        """
        A form without a name does not take one away.
        """
        roster = Roster()
        hear(roster, QUOKKA, name="Quokka")

        hear(roster, QUOKKA, name=None)

        self.assertEqual(["Quokka"], [peer.name for peer in roster.active()])

    def test_sent_to_peer_is_active(self) -> None:
        """
        A message makes its recipient active, who was never heard.
        """
        roster = Roster()

        peer, gone = roster.sent(QUOKKA, messages=3, connects=False)

        self.assertEqual((Peer(QUOKKA, sent=3), []), (peer, gone))
        self.assertEqual([peer], roster.active())

    def test_messages_are_counted(self) -> None:
        """
        Each way has its count.
        """
        roster = Roster()
        hear(roster, QUOKKA, QUOKKA)
        roster.sent(QUOKKA, messages=2, connects=False)

        peer, _ = roster.sent(QUOKKA, messages=1, connects=True)

        self.assertEqual((2, 3, True), (peer.received, peer.sent, peer.is_connected))
        self.assertEqual(1, len(roster))

    def test_first_heard_at_zero_is_kept(self) -> None:
        """
        The beginning of the epoch is a time too.
        """
        roster = Roster()
        roster.heard(QUOKKA, None, Dialect.PLAIN, 0.0, connects=False)

        peer, _ = roster.heard(QUOKKA, None, Dialect.PLAIN, 9.0, connects=False)

        self.assertEqual((0.0, 9.0), (peer.first_heard, peer.last_heard))

    def test_order_is_that_of_appearance(self) -> None:
        """
        The lists do not change under a reader's eyes when somebody speaks.
        """
        roster = Roster()
        hear(roster, QUOKKA, PANDA, NUMBAT)

        hear(roster, NUMBAT, QUOKKA, connects=True)

        self.assertEqual([QUOKKA, PANDA, NUMBAT], addresses_of(roster.active()))
        self.assertEqual([QUOKKA, NUMBAT], addresses_of(roster.connected()))

    def test_removed_peer_is_on_no_list(self) -> None:
        """
        Who left is gone from both lists, and comes back as a stranger.
        """
        roster = Roster()
        hear(roster, QUOKKA, PANDA, connects=True)

        removed = roster.remove(QUOKKA)

        assert removed is not None
        self.assertEqual(QUOKKA, removed.address)
        self.assertEqual([PANDA], addresses_of(roster.connected()))
        self.assertIsNone(roster.remove(QUOKKA))
        hear(roster, QUOKKA)
        self.assertEqual([PANDA, QUOKKA], addresses_of(roster.active()))
        self.assertEqual([PANDA], addresses_of(roster.connected()))

    def test_named_compares_without_case_and_space(self) -> None:
        """
        A name is found as a person would type it; the unnamed are not found by nothing.
        """
        roster = Roster()
        hear(roster, QUOKKA, name="Stra\u00dfe")
        hear(roster, PANDA, name="Panda")
        hear(roster, NUMBAT, name=None)

        self.assertEqual([QUOKKA], addresses_of(roster.named(" STRASSE ")))
        self.assertEqual([], roster.named("Pand"))
        self.assertEqual([], roster.named(""))

    def test_named_finds_everyone_of_that_name(self) -> None:
        """
        A name is nobody's own.
        """
        roster = Roster()
        hear(roster, QUOKKA, PANDA, name="Bob")

        self.assertEqual([QUOKKA, PANDA], addresses_of(roster.named("bob")))

    def test_least_recent_makes_room(self) -> None:
        """
        Where there is no room, the peer goes whose last exchange is longest ago.
        """
        roster = Roster(most_peers=2)
        hear(roster, QUOKKA, PANDA)
        roster.sent(QUOKKA, messages=1, connects=False)

        gone = hear(roster, NUMBAT)

        self.assertEqual([PANDA], addresses_of(gone))
        self.assertEqual([QUOKKA, NUMBAT], addresses_of(roster.active()))

    def test_connected_goes_last(self) -> None:
        """
        A connected peer stays while there is one that is not.
        """
        roster = Roster(most_peers=2)
        hear(roster, QUOKKA, connects=True)
        hear(roster, PANDA)

        self.assertEqual([PANDA], addresses_of(hear(roster, NUMBAT, connects=True)))
        self.assertEqual([QUOKKA], addresses_of(hear(roster, PANDA)))

    def test_host_with_full_share_makes_room_itself(self) -> None:
        """
        Inventions of one host push off its own, connected or not, and nobody else.
        """
        roster = Roster(most_peers=3, most_peers_per_host=2)
        inventions = [Address("10.0.0.9", port) for port in range(6101, 6105)]
        hear(roster, QUOKKA)

        gone = hear(roster, *inventions, connects=True)

        self.assertEqual(inventions[:2], addresses_of(gone))
        self.assertEqual([QUOKKA, *inventions[2:]], addresses_of(roster.active()))

    def test_one_host_never_fills_the_lists(self) -> None:
        """
        With the default limits a flood from one host takes a quarter, and one from many fills them.
        """
        roster = Roster()
        hear(roster, QUOKKA)

        hear(roster, *(Address("10.0.0.9", port) for port in range(1, 2000)))

        self.assertEqual(1 + MOST_PEERS_PER_HOST, len(roster))
        self.assertIsNotNone(roster.find(QUOKKA))
        hear(roster, *(Address(f"10.1.{host}.9", 1) for host in range(2000)))
        self.assertEqual(MOST_PEERS, len(roster))

    def test_any_history_keeps_to_the_model(self) -> None:
        """
        Whatever is heard, sent and removed, the roster is what a simple model says.
        """
        run_state_machine_as_test(RosterMachine, settings=settings(stateful_step_count=40))


HOSTS = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"])
SOME_ADDRESSES = st.builds(Address, HOSTS, st.integers(6101, 6104))


class RosterMachine(RuleBasedStateMachine):
    """
    A small roster beside plain lists of who is there.
    """

    MOST = 5
    SHARE = 2

    def __init__(self) -> None:
        super().__init__()
        self.roster = Roster(self.MOST, self.SHARE)
        self.now = 0.0
        self.by_appearance: list[Address] = []
        self.by_exchange: list[Address] = []
        self.connected: set[Address] = set()
        self.counts: dict[Address, list[int]] = {}

    def forget(self, address: Address) -> None:
        """
        Take an address out of the model.
        """
        self.by_appearance.remove(address)
        self.by_exchange.remove(address)
        self.connected.discard(address)
        del self.counts[address]

    def exchange(self, address: Address, *, connects: bool) -> list[Address]:
        """
        A message goes either way in the model.

        Returns:
            Who has to make room.
        """
        gone = []
        if address in self.by_appearance:
            self.by_exchange.remove(address)
        else:
            of_host = [other for other in self.by_exchange if other.host == address.host]
            if len(of_host) == self.SHARE:
                gone = self.first_to_go(of_host)
            elif len(self.by_exchange) == self.MOST:
                gone = self.first_to_go(self.by_exchange)
            for other in gone:
                self.forget(other)
            self.by_appearance.append(address)
            self.counts[address] = [0, 0]
        self.by_exchange.append(address)
        if connects:
            self.connected.add(address)
        return gone

    def first_to_go(self, candidates: list[Address]) -> list[Address]:
        """
        The least recent that is not connected; if all are, the least recent.
        """
        return ([other for other in candidates if other not in self.connected] or candidates)[:1]

    @rule(address=SOME_ADDRESSES, dialect=dialects(), connects=st.booleans())
    def hear(self, address: Address, dialect: Dialect, connects: bool) -> None:
        """
        A message comes.
        """
        self.now += 1
        expected = self.exchange(address, connects=connects)
        self.counts[address][0] += 1

        peer, gone = self.roster.heard(address, "Q", dialect, self.now, connects=connects)

        assert expected == addresses_of(gone)
        assert peer == self.roster.find(address)
        assert (dialect, self.now) == (peer.dialect, peer.last_heard)

    @rule(address=SOME_ADDRESSES, messages=st.integers(1, 3), connects=st.booleans())
    def send(self, address: Address, messages: int, connects: bool) -> None:
        """
        Messages go.
        """
        expected = self.exchange(address, connects=connects)
        self.counts[address][1] += messages

        peer, gone = self.roster.sent(address, messages=messages, connects=connects)

        assert expected == addresses_of(gone)
        assert peer == self.roster.find(address)

    @rule(address=SOME_ADDRESSES)
    def remove(self, address: Address) -> None:
        """
        A peer leaves, or one that was never there.
        """
        was_there = address in self.by_appearance
        if was_there:
            self.forget(address)

        removed = self.roster.remove(address)

        assert was_there == (removed is not None)

    @invariant()
    def is_as_the_model(self) -> None:
        """
        Both lists, their order and the counts are the model's.
        """
        active = self.roster.active()
        assert self.by_appearance == addresses_of(active)
        assert [one for one in self.by_appearance if one in self.connected] == addresses_of(
            self.roster.connected()
        )
        assert self.counts == {peer.address: [peer.received, peer.sent] for peer in active}

    @invariant()
    def is_within_bounds(self) -> None:
        """
        There are never too many, of one host or in all, and the connected are active.
        """
        active = self.roster.active()
        hosts = [peer.address.host for peer in active]
        assert len(self.roster) == len(active) <= self.MOST
        assert all(hosts.count(host) <= self.SHARE for host in hosts)
        assert {*addresses_of(self.roster.connected())} <= {*addresses_of(active)}
