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
from twistedchat.core.identity import DeviceKey
from twistedchat.core.roster import MOST_PEERS, MOST_PEERS_PER_HOST, Peer, Recipient, Roster

QUOKKA = Address("10.0.0.1", 6101)
PANDA = Address("10.0.0.2", 6101)
NUMBAT = Address("10.0.0.3", 6101)
WOMBAT, BILBY, DINGO = (DeviceKey(bytes([number]) * 32) for number in (11, 22, 33))


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


def meet(roster: Roster, *keys: DeviceKey, is_connected: bool = True) -> list[Peer]:
    """
    Begin or end a session with each of these.

    Returns:
        Those that had to make room.
    """
    gone = []
    for key in keys:
        gone += roster.met(key, "W", QUOKKA, is_connected=is_connected, is_verified=False, now=1.0)[
            1
        ]
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

    def test_met_peer_is_active(self) -> None:
        """
        A session makes a peer active, which is found by its key wherever it is.
        """
        roster = Roster()

        peer, gone = roster.met(
            WOMBAT, "Wombat", QUOKKA, is_connected=True, is_verified=False, now=5.0
        )

        expected = Peer(QUOKKA, "Wombat", None, 5.0, 5.0, True, 0, 0, key=WOMBAT, is_verified=False)
        self.assertEqual((expected, []), (peer, gone))
        self.assertEqual(WOMBAT, peer.id)
        self.assertEqual([expected], roster.active())
        self.assertEqual([expected], roster.connected())
        self.assertEqual([expected], roster.named("wombat"))
        self.assertEqual(expected, roster.find(WOMBAT))
        self.assertIsNone(roster.find(QUOKKA))

    def test_met_again_changes_the_peer(self) -> None:
        """
        The last name, address and state count; texts add up, and only what was heard has a time.
        """
        roster = Roster()
        roster.met(WOMBAT, "Wombat", QUOKKA, is_connected=True, is_verified=False)
        roster.met(
            WOMBAT, "Wombat", PANDA, is_connected=True, is_verified=True, now=5.0, received=2
        )

        peer, _ = roster.met(
            WOMBAT, "Wallaby", NUMBAT, is_connected=False, is_verified=True, sent=3
        )

        self.assertEqual(
            Peer(NUMBAT, "Wallaby", None, 5.0, 5.0, False, 2, 3, key=WOMBAT, is_verified=True), peer
        )
        self.assertEqual([peer], roster.active())
        self.assertEqual([], roster.connected())

    def test_secure_and_classic_peer_share_an_address(self) -> None:
        """
        What speaks in the clear from a contact's address is somebody else.
        """
        roster = Roster()
        meet(roster, WOMBAT)
        hear(roster, QUOKKA)

        self.assertEqual([WOMBAT, QUOKKA], [peer.id for peer in roster.active()])
        roster.remove(QUOKKA)
        self.assertEqual([WOMBAT], [peer.id for peer in roster.active()])
        roster.remove(WOMBAT)
        self.assertEqual(0, len(roster))

    def test_secure_peers_take_no_share_of_a_host(self) -> None:
        """
        Many contacts can be behind one address, and leave no inventions more or less room.
        """
        roster = Roster(most_peers=5, most_peers_per_host=1)
        meet(roster, WOMBAT, BILBY)
        hear(roster, QUOKKA)

        self.assertEqual([], meet(roster, DINGO))
        self.assertEqual([QUOKKA], addresses_of(hear(roster, Address(QUOKKA.host, 7000))))
        self.assertEqual(4, len(roster))

    def test_classic_peers_push_off_no_contact(self) -> None:
        """
        However many there are, connected or not: anybody can invent them.
        """
        roster = Roster(most_peers=3)
        meet(roster, WOMBAT)
        meet(roster, BILBY, is_connected=False)

        for number in range(1, 5):
            gone = hear(roster, Address(f"10.0.1.{number}", 1), connects=number % 2 == 0)
            self.assertEqual([None] * (number > 1), [peer.key for peer in gone])

        self.assertEqual([WOMBAT, BILBY], [peer.id for peer in roster.active()][:2])

    def test_among_contacts_a_connected_one_goes_last(self) -> None:
        """
        Where there is nobody else, the least recent that is off makes room, then the least recent.
        """
        roster = Roster(most_peers=2)
        meet(roster, WOMBAT)
        meet(roster, BILBY, is_connected=False)

        self.assertEqual([BILBY], [peer.id for peer in meet(roster, DINGO)])
        self.assertEqual([WOMBAT], [peer.id for peer in meet(roster, BILBY)])

    def test_any_history_keeps_to_the_model(self) -> None:
        """
        Whatever is heard, sent and removed, the roster is what a simple model says.
        """
        run_state_machine_as_test(RosterMachine, settings=settings(stateful_step_count=40))


HOSTS = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"])
SOME_ADDRESSES = st.builds(Address, HOSTS, st.integers(6101, 6104))
SOME_KEYS = st.sampled_from([WOMBAT, BILBY, DINGO])


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
        self.by_appearance: list[Recipient] = []
        self.by_exchange: list[Recipient] = []
        self.connected: set[Recipient] = set()
        self.counts: dict[Recipient, list[int]] = {}

    def forget(self, recipient: Recipient) -> None:
        """
        Take somebody out of the model.
        """
        self.by_appearance.remove(recipient)
        self.by_exchange.remove(recipient)
        self.connected.discard(recipient)
        del self.counts[recipient]

    def exchange(self, recipient: Recipient) -> list[Recipient]:
        """
        Something goes either way in the model.

        Returns:
            Who has to make room.
        """
        gone = []
        if recipient in self.by_appearance:
            self.by_exchange.remove(recipient)
        else:
            of_host: list[Recipient] = [
                other
                for other in self.by_exchange
                if isinstance(recipient, Address)
                and isinstance(other, Address)
                and other.host == recipient.host
            ]
            if len(of_host) == self.SHARE:
                gone = self.first_to_go(of_host)
            elif len(self.by_exchange) == self.MOST:
                gone = self.first_to_go(self.by_exchange)
            for other in gone:
                self.forget(other)
            self.by_appearance.append(recipient)
            self.counts[recipient] = [0, 0]
        self.by_exchange.append(recipient)
        return gone

    def first_to_go(self, candidates: list[Recipient]) -> list[Recipient]:
        """
        A classic peer before all secure ones, and one that is not connected before the others.
        """
        inventable: list[Recipient] = [other for other in candidates if isinstance(other, Address)]
        classic = inventable or candidates
        return ([other for other in classic if other not in self.connected] or classic)[:1]

    @rule(address=SOME_ADDRESSES, dialect=dialects(), connects=st.booleans())
    def hear(self, address: Address, dialect: Dialect, connects: bool) -> None:
        """
        A message comes.
        """
        self.now += 1
        expected = self.exchange(address)
        self.counts[address][0] += 1
        self.connected |= {address} if connects else set()

        peer, gone = self.roster.heard(address, "Q", dialect, self.now, connects=connects)

        assert expected == [other.id for other in gone]
        assert peer == self.roster.find(address)
        assert (dialect, self.now) == (peer.dialect, peer.last_heard)

    @rule(address=SOME_ADDRESSES, messages=st.integers(1, 3), connects=st.booleans())
    def send(self, address: Address, messages: int, connects: bool) -> None:
        """
        Messages go.
        """
        expected = self.exchange(address)
        self.counts[address][1] += messages
        self.connected |= {address} if connects else set()

        peer, gone = self.roster.sent(address, messages=messages, connects=connects)

        assert expected == [other.id for other in gone]
        assert peer == self.roster.find(address)

    @rule(
        key=SOME_KEYS,
        address=SOME_ADDRESSES,
        is_connected=st.booleans(),
        received=st.integers(0, 2),
        sent=st.integers(0, 2),
    )
    def meet(
        self, key: DeviceKey, address: Address, is_connected: bool, received: int, sent: int
    ) -> None:
        """
        A session begins, goes on or ends.
        """
        expected = self.exchange(key)
        self.counts[key][0] += received
        self.counts[key][1] += sent
        self.connected = self.connected - {key} | ({key} if is_connected else set())

        peer, gone = self.roster.met(
            key,
            "W",
            address,
            is_connected=is_connected,
            is_verified=False,
            received=received,
            sent=sent,
        )

        assert expected == [other.id for other in gone]
        assert peer == self.roster.find(key)
        assert peer.address == address

    @rule(recipient=SOME_ADDRESSES | SOME_KEYS)
    def remove(self, recipient: Recipient) -> None:
        """
        A peer leaves, or one that was never there.
        """
        was_there = recipient in self.by_appearance
        if was_there:
            self.forget(recipient)

        removed = self.roster.remove(recipient)

        assert was_there == (removed is not None)

    @invariant()
    def is_as_the_model(self) -> None:
        """
        Both lists, their order and the counts are the model's.
        """
        active = self.roster.active()
        assert self.by_appearance == [peer.id for peer in active]
        assert [one for one in self.by_appearance if one in self.connected] == [
            peer.id for peer in self.roster.connected()
        ]
        assert self.counts == {peer.id: [peer.received, peer.sent] for peer in active}

    @invariant()
    def is_within_bounds(self) -> None:
        """
        There are never too many, of one host or in all, and the connected are active.
        """
        active = self.roster.active()
        hosts = [peer.address.host for peer in active if peer.key is None]
        assert len(self.roster) == len(active) <= self.MOST
        assert all(hosts.count(host) <= self.SHARE for host in hosts)
        assert {peer.id for peer in self.roster.connected()} <= {peer.id for peer in active}
