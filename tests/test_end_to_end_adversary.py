"""
End to end: whatever an attacker does to a node, a session with somebody honest goes on beside it.
"""

import contextlib
import re
import selectors
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import count

import msgspec
import pytest
import pytest_twisted
from OpenSSL import SSL
from twisted.internet.threads import deferToThread

from tests.classic_programs import Listener, header, say
from tests.processes import PROMPT, Node, Stage, meet, together
from tests.secure_client import (
    LONGEST_WAIT,
    Impostor,
    SecureClient,
    client_hello,
    connect,
    context_of,
    handshake_by_hand,
    p256_credentials,
    wait_for_close,
)
from twistedchat.core.entries import NOTHING, TEXT, Said, check_run, direct_room, sign_run
from twistedchat.core.frames import (
    LARGEST_FRAME,
    Bye,
    Frame,
    Have,
    Hello,
    Knock,
    Met,
    Ping,
    Pong,
    RunFrame,
    Seek,
    frame_of_run,
    run_of_frame,
)
from twistedchat.core.identity import Identity
from twistedchat.peers.doorman import LONGEST_HANDSHAKE, MOST_HANDSHAKES_PER_HOST
from twistedchat.store.identity import open_identity
from twistedchat.testing import identity_of

MALLORY = identity_of("Mallory")
MATE = identity_of("Mate")

# Seconds that a busy machine may add to a deadline.
SLACK = 3.0

HALF_FINISHED = 300
QUESTIONS = 500

# Where the one comes from who is let in.
MATE_HOST = "127.0.0.2"

# Each attacker has an address of its own, so that what one has used up is nothing to the next.
_hosts = (f"127.0.0.{number}" for number in count(10))


@dataclass
class Scene:
    """
    A node that is attacked, and an honest one that it has a session with.

    Attributes:
        stage: Where they run.
        victim: The one.
        friend: The other.
        said: How many texts have gone from the friend to the victim.
        mark: How much the victim had written when the test began.
    """

    stage: Stage
    victim: Node
    friend: Node
    said: int = 0
    mark: int = 0

    def identity(self, node: Node) -> Identity:
        """
        Who a node is, secret and all.
        """
        return open_identity(self.stage.state / str(node.port))[0]

    async def is_well(self) -> None:
        """
        Have the friend say something, in the session that has been there from the first.
        """
        self.said += 1
        text = f"still here, {self.said}."
        self.friend.type("1", self.stage.label(self.victim), text)
        await self.victim.line_with(f"[secure] {self.stage.label(self.friend)}: {text}")
        label = self.stage.label(self.victim)
        await self.friend.line_with(f"Message delivered to {label}", times=self.said)
        assert not self.friend.find("connected to you")
        assert not self.victim.find(f"{self.stage.label(self.friend)} connected to you")
        assert not self.victim.errors + self.friend.errors

    def logged(self, host: str) -> list[str]:
        """
        What the victim has written into its log about somebody.
        """
        log = (self.stage.state / str(self.victim.port) / "p2pchat.log").read_text()
        return [line for line in log.splitlines() if re.search(rf" {re.escape(host)}[ :]", line)]

    async def listed(self) -> dict[str, int]:
        """
        How many are on each of the victim's lists; what that writes is not counted as shown.
        """
        sections = await self.victim.sections()
        self.mark = len(self.victim.output)
        return {title: len(rows) for title, rows in sections.items()}

    def shown(self) -> list[str]:
        """
        What the victim has shown since the test began, but for the friend's texts.
        """
        lines = self.victim.output[self.mark :].decode().splitlines()
        return [line for line in lines if line not in ("", PROMPT) and "still here" not in line]


@pytest_twisted.async_yield_fixture(scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """
    The two nodes, for all attacks: none may leave anything behind.
    """
    stage = Stage(tmp_path_factory.mktemp("scene"))
    victim, friend = await together(*map(stage.node, ("Victim", "Friend")))
    await meet(friend, victim)
    yield Scene(stage, victim, friend)
    victim.type("0")
    assert await victim.ended() == 0
    log = (stage.state / str(victim.port) / "p2pchat.log").read_text()
    await stage.clear()
    assert "Traceback" not in log


@pytest.fixture(autouse=True)
def beginning(scene: Scene) -> None:
    """
    Note how much the victim had shown when a test began.
    """
    scene.mark = len(scene.victim.output)


def speak(port: int, host: str, *lines: bytes, context: SSL.Context | None = None) -> bytes:
    """
    Shake hands, say hello and more, and wait for the node to close.

    Returns:
        What it said, if it came to that.
    """
    with SecureClient(port, MALLORY, from_host=host, context=context) as client:
        try:
            client.shake_hands()
            client.say(client.hello())
            for line in lines:
                client.write(line)
        except (SSL.Error, ConnectionError):
            return client.hear_end()
        return client.hear_end()


def greeted(port: int, host: str, *lines: bytes) -> None:
    """
    Say something behind a good hello. The node has answered that, and then closed.
    """
    heard = speak(port, host, *lines)
    assert heard == b"" or heard.startswith(b'{"t":"hello"')


def turned_away(port: int, host: str, context: SSL.Context) -> None:
    """
    Begin a session in another way than a node does. Not even a hello comes back.
    """
    assert speak(port, host, context=context) == b""


def with_no_certificate(port: int, host: str) -> None:
    """
    Prove nothing.
    """
    turned_away(port, host, context_of(None, None))


def with_p256(port: int, host: str) -> None:
    """
    Prove a key of another kind.
    """
    turned_away(port, host, context_of(*p256_credentials()))


def with_tls_1_2(port: int, host: str) -> None:
    """
    Speak the version before.
    """
    context = context_of(MALLORY.certificate(), MALLORY.secret, version=SSL.TLS1_2_VERSION)
    turned_away(port, host, context)


def with_foreign_protocol(port: int, host: str) -> None:
    """
    Offer another protocol, and then none.
    """
    for alpn in ([b"h2", b"http/1.1"], []):
        turned_away(port, host, context_of(MALLORY.certificate(), MALLORY.secret, alpn=alpn))


def plain_behind_client_hello(port: int, host: str) -> None:
    """
    Go on in plain where the handshake should.
    """
    with SecureClient(port, MALLORY, from_host=host) as client:
        client.write_raw(client.begin_handshake() + b"LISTENING_PORT:9|TEAM_NAME:Eve|hello\n")
        assert client.hear_end() == b""


def plain_in_place_of_finished(port: int, host: str) -> None:
    """
    Hear the node's half of the handshake, and answer in plain.
    """
    with connect(port, host) as wire:
        wire.sendall(client_hello())
        assert wire.recv(1) == b"\x16"
        wire.sendall(b'{"t":"ping"}\n' * 10)
        wait_for_close(wire)


def plain_behind_the_handshake(port: int, host: str) -> None:
    """
    Leave TLS when it has just begun.
    """
    with SecureClient(port, MALLORY, from_host=host) as client:
        client.greet()
        client.write_raw(b'{"t":"knock","text":"in plain"}\n')
        assert b"in plain" not in client.hear_end()


def random_bytes_outside(port: int, host: str) -> None:
    """
    Break TLS off with noise, behind the first byte of it and behind a good handshake.
    """
    noise = MALLORY.sign(b"noise") * 100
    with connect(port, host) as wire:
        wire.sendall(b"\x16" + noise)
        wait_for_close(wire)
    with SecureClient(port, MALLORY, from_host=host) as client:
        client.greet()
        client.write_raw(noise)
        client.hear_end()


def random_bytes_inside(port: int, host: str) -> None:
    """
    Say noise in a session that began well.
    """
    greeted(port, host, MALLORY.sign(b"noise") * 100 + b"\n")


def line_without_end(port: int, host: str) -> None:
    """
    Say a line that is longer than any frame.
    """
    greeted(port, host, b"x" * (LARGEST_FRAME + 1))


def million_newlines(port: int, host: str) -> None:
    """
    Say nothing, a million times.
    """
    greeted(port, host, b"\n" * 1_000_000)


def unknown_frames_before_hello(port: int, host: str) -> None:
    """
    Begin with something else than hello.
    """
    for line in (b'{"t":"ping"}\n', b'{"t":"wave"}\n', b'{"t":"knock","text":"hi"}\n'):
        with SecureClient(port, MALLORY, from_host=host) as client:
            client.shake_hands()
            client.write(line)
            client.hear_end()


def second_hello(port: int, host: str) -> None:
    """
    Say hello twice.
    """
    with SecureClient(port, MALLORY, from_host=host) as client:
        client.greet(client.hello())
        client.hear_end()


def frames_of_a_friend(port: int, host: str) -> None:
    """
    Say what only those may who have been let in.
    """
    room = direct_room(MALLORY.key, MATE.key)
    run, _ = sign_run(MALLORY, room, 1, NOTHING, (Said(1, TEXT, "hello"),))
    for frame in (frame_of_run(run), Seek("0" * 32, ()), Met("0" * 32, {})):
        with SecureClient(port, MALLORY, from_host=host) as client:
            client.greet(frame)
            assert b"have" not in client.hear_end()


# What is logged of each, where it is not OpenSSL that ends it.
ATTACKS: dict[Callable[[int, str], None], str] = {
    with_no_certificate: "",
    with_p256: "",
    with_tls_1_2: "",
    with_foreign_protocol: "it speaks TLS, but no protocol of ours",
    plain_behind_client_hello: "",
    plain_in_place_of_finished: "",
    plain_behind_the_handshake: "",
    random_bytes_outside: "",
    random_bytes_inside: "(broken-frame)",
    line_without_end: "it sent a line of more than 65536 bytes",
    million_newlines: "(broken-frame)",
    unknown_frames_before_hello: "(no-hello)",
    second_hello: "(second-hello)",
    frames_of_a_friend: "(not-let-in)",
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest_twisted.ensureDeferred
async def test_broken_rule_ends_the_connection_alone(
    scene: Scene, attack: Callable[[int, str], None]
) -> None:
    """
    Whoever breaks a rule loses the connection, shows nothing, and is on no list.
    """
    listed = await scene.listed()
    host = next(_hosts)

    await deferToThread(attack, scene.victim.port, host)

    await scene.is_well()
    assert scene.shown() == []
    assert await scene.listed() == listed
    logged = scene.logged(host)
    assert all(ATTACKS[attack] in line for line in logged)
    assert bool(logged) == bool(ATTACKS[attack])


@pytest.mark.parametrize("whose", ["our own", "a contact's", "a stranger's"])
@pytest_twisted.ensureDeferred
async def test_certificate_without_its_secret_proves_nothing(scene: Scene, whose: str) -> None:
    """
    A certificate can be had by anybody: who shows it has to sign with its key, too.
    """
    victim = scene.victim
    owner = {
        "our own": scene.identity(victim),
        "a contact's": scene.identity(scene.friend),
        "a stranger's": MALLORY,
    }[whose]
    hello = Hello(2, "Friend", 9, int(time.time() * 1_000_000), True)
    shown = owner.certificate()

    heard = await deferToThread(handshake_by_hand, victim.port, shown, MATE.secret, hello, Ping())

    assert heard == []
    await scene.is_well()
    assert scene.shown() == []
    if whose == "a stranger's":
        # The same client with the right secret is heard.
        heard = await deferToThread(
            handshake_by_hand, victim.port, shown, owner.secret, hello, Ping()
        )
        assert [type(frame) for frame in heard] == [Hello, Pong]


@pytest_twisted.ensureDeferred
async def test_plain_text_before_tls_is_plain(scene: Scene) -> None:
    """
    What begins in plain stays so: TLS behind it is neither answered nor proves anything.
    """
    host = next(_hosts)

    def speak_both() -> bytes:
        with connect(scene.victim.port, host) as wire:
            wire.sendall(header(9, "Eve", "hello ") + client_hello())
            wire.shutdown(socket.SHUT_WR)
            return wire.recv(1)

    assert await deferToThread(speak_both) == b""

    await scene.victim.line_with(f"[plain] {host}:9 Eve: hello ")
    await scene.is_well()
    assert len(scene.shown()) == 1
    await deferToThread(say, scene.victim.port, header(9, "Eve", "exit"), from_host=host)
    await scene.victim.line_with(f"[plain] {host}:9 Eve left")


@pytest_twisted.ensureDeferred
async def test_empty_question_is_answered_however_often(scene: Scene) -> None:
    """
    Whoever asks who is there gets the same answer each time, and is nobody.
    """
    listed = await scene.listed()
    host = next(_hosts)

    def ask() -> bytes:
        with connect(scene.victim.port, host) as wire:
            wire.shutdown(socket.SHUT_WR)
            answer = b""
            while more := wire.recv(200):
                answer += more
            return answer

    answers = await deferToThread(lambda: {ask() for _ in range(QUESTIONS)})

    assert answers == {f"TWISTEDCHAT/2 {scene.stage.key(scene.victim)}\n".encode()}
    await scene.is_well()
    assert scene.shown() == []
    assert await scene.listed() == listed


def hold_out(wires: list[socket.socket], dripping: dict[socket.socket, bytes]) -> list[float]:
    """
    Wait until all connections are closed, and meanwhile write to some, a byte now and then.

    Returns:
        The seconds that it took for each.
    """
    start = time.monotonic()
    ends: list[float] = []
    with selectors.DefaultSelector() as watch:
        for wire in wires:
            watch.register(wire, selectors.EVENT_READ, wire)
        while watch.get_map() and time.monotonic() - start < LONGEST_WAIT:
            for key, _ in watch.select(0.2):
                wire = key.data
                with contextlib.suppress(ConnectionError):
                    if wire.recv(1000):
                        continue
                watch.unregister(wire)
                dripping.pop(wire, None)
                wire.close()
                ends.append(time.monotonic() - start)
            for wire, rest in dripping.items():
                with contextlib.suppress(ConnectionError):
                    wire.send(rest[:1])
                dripping[wire] = rest[1:]
        for left in watch.get_map().values():
            left.data.close()
    return ends


@pytest.mark.alone
@pytest_twisted.ensureDeferred
async def test_half_finished_handshakes_are_few_and_short(scene: Scene) -> None:
    """
    Of hundreds that begin a handshake few may go on, not for long, and not in the way of others.
    """
    half, drip, mute = next(_hosts), next(_hosts), next(_hosts)
    hello = client_hello()

    def begin() -> tuple[list[socket.socket], dict[socket.socket, bytes]]:
        wires = [connect(scene.victim.port, half) for _ in range(HALF_FINISHED)]
        for wire in wires:
            with contextlib.suppress(ConnectionError):
                wire.sendall(hello[:100])
        dripping = {}
        for _ in range(10):
            wire = connect(scene.victim.port, drip)
            wire.sendall(hello[:1])
            dripping[wire] = hello[1:]
        return [*wires, *dripping], dripping

    def say_no_hello() -> float:
        start = time.monotonic()
        with SecureClient(scene.victim.port, MALLORY, from_host=mute) as client:
            client.shake_hands()
            # Ours is what is missing.
            client.hear_end()
        return time.monotonic() - start

    def meet_somebody() -> Hello:
        with SecureClient(scene.victim.port, identity_of("Nobody")) as client:
            return client.greet()

    wires, dripping = await deferToThread(begin)
    holding_out = deferToThread(hold_out, wires, dripping)
    saying_nothing = deferToThread(say_no_hello)
    await scene.is_well()
    # Nor is the door closed to others.
    assert (await deferToThread(meet_somebody)).name == "Victim"
    await scene.is_well()
    ends = await holding_out

    assert len(ends) == HALF_FINISHED + 10
    at_once = [end for end in ends if end < LONGEST_HANDSHAKE / 2]
    assert len(at_once) == HALF_FINISHED - MOST_HANDSHAKES_PER_HOST
    assert max(*ends, await saying_nothing) < LONGEST_HANDSHAKE + SLACK
    # A flood of refusals does not fill the log.
    refused = [line for line in scene.logged(half) if "unfinished handshakes already" in line]
    assert len(refused) == 1
    await scene.is_well()
    assert scene.shown() == []


@pytest_twisted.ensureDeferred
async def test_claimed_key_has_to_be_proven_where_we_dial(scene: Scene) -> None:
    """
    A program that answers with one key and proves another is told, and hears nothing.
    """
    listed = await scene.listed()
    impostor = Impostor(MALLORY.key, scene.friend.port)
    scene.stage.afterwards(impostor.stop)
    before = len(scene.friend.find("[secure]"))

    scene.victim.type("1", impostor.address, "for Mallory alone")
    told = await scene.victim.line_with(f"Not sent to {impostor.address}.")

    assert f"Not trusted: {impostor.address} proved another key than it should have." in told
    await scene.is_well()
    assert len(scene.friend.find("[secure]")) == before
    assert await scene.listed() == listed


@pytest.mark.alone
@pytest_twisted.ensureDeferred
async def test_handshake_that_never_goes_on_is_given_up_where_we_dial(scene: Scene) -> None:
    """
    Whoever claims a key and then says nothing holds up one text for a few seconds, and hears none.
    """
    listed = await scene.listed()

    def claim(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(f"TWISTEDCHAT/2 {MALLORY.key}\n".encode())
        connection.close()

    # It reads to the end before it answers, and so never comes to answer a handshake.
    mute = Listener(claim)
    scene.stage.afterwards(mute.stop)
    start = time.monotonic()

    scene.victim.type("1", mute.address, "for Mallory alone")
    await scene.is_well()
    await scene.victim.line_with(f"Not sent to {mute.address}.")

    assert time.monotonic() - start < LONGEST_HANDSHAKE + SLACK
    await mute.has_heard(1)
    assert [said[:1] for said in mute.said] == [b"\x16"]
    await scene.is_well()
    assert await scene.listed() == listed


@dataclass
class Mate:
    """
    A contact of the victim's, who turns out not to keep to the rules.

    Attributes:
        room: The room of the two.
        seq: The number of their last entry there.
        prev: Its hash.
    """

    room: bytes
    seq: int = 0
    prev: bytes = NOTHING

    def says(self, text: str) -> RunFrame:
        """
        The mate's next entry. It becomes the last one.
        """
        frame = self.would_say(text)
        entry = check_run(run_of_frame(frame))[-1]
        self.seq, self.prev = entry.seq, entry.hash
        return frame

    def would_say(self, text: str) -> RunFrame:
        """
        The mate's next entry, as long as no other has become it.
        """
        said = (Said(1_000_000 + self.seq, TEXT, text),)
        run, _ = sign_run(MATE, self.room, self.seq + 1, self.prev, said)
        return frame_of_run(run)


@pytest_twisted.async_fixture(scope="module")
async def mate(scene: Scene) -> Mate:
    """
    The mate, whom the victim has let in.
    """
    victim = scene.victim

    def knock() -> SecureClient:
        client = SecureClient(victim.port, MATE, from_host=MATE_HOST, name="Mate")
        client.greet(Knock("It is me."), knows=True)
        return client

    with await deferToThread(knock) as client:
        await victim.line_with("[door] Mate", 'knocks: "It is me."')
        victim.type("t", "1", "a")
        await victim.line_with("Let in: Mate")
        await deferToThread(client.hear, Have)
    return Mate(direct_room(MATE.key, scene.stage.key(victim)))


def say_as_mate(port: int, *frames: Frame) -> bytes:
    """
    Say frames as the mate, and wait for the node to close.

    Returns:
        What it said to them.
    """
    with SecureClient(port, MATE, from_host=MATE_HOST, name="Mate") as client:
        client.greet(knows=True)
        # Which it says to those alone who have been let in.
        client.hear(Have)
        client.say(*frames)
        return client.hear_end()


def flipped(frame: RunFrame) -> dict[str, RunFrame]:
    """
    An entry with one bit flipped, for each of its fields.
    """

    def flip(digits: str) -> str:
        return f"{digits[:-1]}{int(digits[-1], 16) ^ 1:x}"

    (said,) = frame.said
    change = msgspec.structs.replace
    return {
        "room": change(frame, room=flip(frame.room)),
        "author": change(frame, author=flip(frame.author)),
        "seq": change(frame, seq=frame.seq ^ 1),
        "prev": change(frame, prev=flip(frame.prev)),
        "time": change(frame, said=(change(said, time=said.time ^ 1),)),
        # In ASCII a "u" is one bit from the "t" of "text", and an "e" from the "d" of "word".
        "kind": change(frame, said=(change(said, kind="texu"),)),
        "body": change(frame, said=(change(said, body=said.body.replace("word", "wore")),)),
        "sig": change(frame, sig=flip(frame.sig)),
    }


@pytest_twisted.ensureDeferred
async def test_altered_entries_are_refused_and_the_true_one_is_taken_once(
    scene: Scene, mate: Mate
) -> None:
    """
    A bit flipped anywhere ends the session; the entry as it was signed is shown, and only once.
    """
    port = scene.victim.port
    await deferToThread(say_as_mate_and_leave, port, mate.says("first"))
    await scene.victim.line_with("[secure] Mate", ": first")
    true = mate.would_say("a true word")

    for field, altered in flipped(true).items():
        await deferToThread(say_as_mate, port, altered)
        code = "not-shared" if field in ("room", "author") else "bad-signature"
        assert f"broke the rules of a session ({code})" in scene.logged(MATE_HOST)[-1], field
    await scene.is_well()
    assert not [line for line in scene.shown() if "true word" in line]
    assert mate.says("a true word") == true
    # And once more, over the same session and over another, and by somebody else.
    await deferToThread(say_as_mate_and_leave, port, *[true] * 20)
    await deferToThread(say_as_mate_and_leave, port, true)
    await deferToThread(greeted, port, next(_hosts), msgspec.json.encode(true) + b"\n")
    await scene.is_well()
    texts = [line.partition(": ")[2] for line in scene.shown() if ": " in line]
    assert texts == ["first", "a true word"]


def say_as_mate_and_leave(port: int, *frames: Frame) -> None:
    """
    Say frames as the mate, and wait until they have been received.
    """
    with SecureClient(port, MATE, from_host=MATE_HOST, name="Mate") as client:
        client.greet(*frames, knows=True)
        # What the node holds when we come, and then a receipt for each.
        for _ in range(1 + len(frames)):
            client.hear(Have)
        client.say(Bye("exit"))
        client.hear_end()


@pytest_twisted.ensureDeferred
async def test_entries_of_others_rooms_are_refused(scene: Scene, mate: Mate) -> None:
    """
    A contact can write into no room but its own, nor bring there what others wrote, nor leave out.
    """
    stage, victim, friend = scene.stage, scene.victim, scene.friend
    theirs = direct_room(stage.key(victim), stage.key(friend))
    said = (Said(1, TEXT, "never to be shown"),)
    by_mate, _ = sign_run(MATE, theirs, 1, NOTHING, said)
    by_friend, _ = sign_run(scene.identity(friend), theirs, 100, MATE.key.raw, said)
    by_mallory, _ = sign_run(MALLORY, mate.room, 1, NOTHING, said)
    gap, _ = sign_run(MATE, mate.room, mate.seq + 2, MATE.key.raw, said)

    for run in (by_mate, by_friend, by_mallory, gap):
        await deferToThread(say_as_mate, victim.port, frame_of_run(run))
        code = "gap" if run is gap else "not-shared"
        assert f"broke the rules of a session ({code})" in scene.logged(MATE_HOST)[-1]
    await scene.is_well()
    assert not victim.find("never to be shown")

    # What is not broken is still heard.
    await deferToThread(say_as_mate_and_leave, victim.port, mate.says("the last word"))
    await victim.line_with("[secure] Mate", ": the last word")
