"""
Our service on the network, and those of others: DNS-SD over multicast DNS, spoken by zeroconf.

zeroconf has threads of its own and wants to be waited for, so everything in here blocks: `Lan`
calls it in a thread, one call at a time.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from twistedchat.core.nearby import MOST_ADDRESSES, Record, read_record
from twistedchat.discovery.links import Link

if TYPE_CHECKING:
    from zeroconf import ServiceInfo, Zeroconf

__all__ = [
    "SERVICE_TYPE",
    "Announcement",
    "Findings",
    "Presence",
    "ZeroconfFactory",
    "open_zeroconf",
]

SERVICE_TYPE = "_p2pchat._tcp.local."

# Seconds for which a node that ended without a goodbye is still taken to be there. RFC 6762 section
# 10 recommends 75 minutes; but nobody needs printers to vanish. Below 1125 zeroconf does not go.
RECORD_LIFE = 1200

# Milliseconds to wait for somebody who announced less than all at once. Whoever is there answers
# such a question within a few.
LONGEST_ANSWER = 150

# Such questions in a row, so that many bad announcements do not hold up the good ones, or our
# leaving.
MOST_QUESTIONS = 2

# Announcements that are still not whole at a look. More are no accident but a flood, which
# leaves zeroconf so full that it forgets honest ones at once; so it begins again with nothing.
MOST_GAPS = 32

ZeroconfFactory: TypeAlias = "Callable[[list[str | int]], Zeroconf]"


def open_zeroconf(interfaces: list[str | int]) -> Zeroconf:
    """
    Open zeroconf's sockets and start its thread.

    Args:
        interfaces: IPv4 addresses, and for IPv6 the numbers of links.

    Returns:
        A running one.
    """
    # Not before there is a thread to load it.
    from zeroconf import Zeroconf

    return Zeroconf(interfaces=interfaces)


@dataclass(frozen=True, slots=True)
class Announcement:
    """
    What we say.

    Attributes:
        service: The name of our service, and of our host: a random one, since a service needs one
            that nobody else has.
        port: Where we listen.
        properties: The keys and values of our TXT record.
    """

    service: str
    port: int
    properties: Mapping[bytes, bytes | None]

    @property
    def name(self) -> str:
        """
        The full name of our service.
        """
        return f"{self.service}.{SERVICE_TYPE}"


@dataclass(frozen=True, slots=True)
class Findings:
    """
    What came of a `Presence.update`.

    Attributes:
        is_anew: Whether everything begins again, with nothing heard yet.
        records: What others announced, by the names that were to be read; ``None`` where it is
            broken or not all there.
        trouble: Why nothing can be heard, in words; ``None`` where all is well.
    """

    is_anew: bool = False
    records: Mapping[str, Record | None] = field(default_factory=dict)
    trouble: str | None = None


class Presence:
    """
    Our service, for as long as we have a network.

    Args:
        announcement: What to say.
        heard: Called in a thread of zeroconf's with the full name of a service, and whether it is
            (still) there: something about it has changed. Never with our own name.
        find_links: Tells the links that we are on.
        zeroconf_factory: Opens zeroconf on some interfaces.
        loopback: Whether others may be on this machine.
    """

    def __init__(
        self,
        announcement: Announcement,
        heard: Callable[[str, bool], object],
        *,
        find_links: Callable[[], tuple[Link, ...]],
        zeroconf_factory: ZeroconfFactory,
        loopback: bool,
    ) -> None:
        self._announcement = announcement
        self._heard = heard
        self._find_links = find_links
        self._zeroconf_factory = zeroconf_factory
        self._loopback = loopback
        self._links: tuple[Link, ...] | None = None
        self._zeroconf: Zeroconf | None = None
        self._just_announced: ServiceInfo | None = None
        self._trouble: str | None = None

    # `Lan` calls these.

    def update(self, names: Collection[str], *, looks: bool) -> Findings:
        """
        Follow the network, and read what others announced.

        The first look after everything began anew announces us once more: "one second apart", since
        what was heard of us within a second before is not replaced (RFC 6762 sections 8.3, 10.2).

        Args:
            names: The full names of the services to read.
            looks: Whether to look for changed links first, and to ask those who did not say all.

        Returns:
            What came of it.
        """
        import zeroconf

        is_anew = False
        records: dict[str, Record | None] = {}
        try:
            if looks:
                links = self._find_links()
                is_anew = links != self._links
                if is_anew:
                    self._begin_anew(links)
                    self._trouble = None
                else:
                    self._announce_again()
            records = self._read(names, asks=looks)
        except (OSError, RuntimeError, zeroconf.Error) as error:
            # Some of its errors have no message.
            self._trouble = str(error) or type(error).__name__
        return Findings(is_anew, records, self._trouble)

    def leave(self) -> None:
        """
        Say goodbye and stop.
        """
        self._close()

    # zeroconf calls these, in a thread of its own.

    def add_service(self, _zeroconf: Zeroconf, _type: str, name: str) -> None:
        """
        Somebody is there.
        """
        self._tell(name, True)

    def update_service(self, _zeroconf: Zeroconf, _type: str, name: str) -> None:
        """
        Somebody has changed.
        """
        self._tell(name, True)

    def remove_service(self, _zeroconf: Zeroconf, _type: str, name: str) -> None:
        """
        Somebody is gone.
        """
        self._tell(name, False)

    def _tell(self, name: str, is_there: bool) -> None:
        if name.lower() != self._announcement.name:
            self._heard(name, is_there)

    def _begin_anew(self, links: tuple[Link, ...]) -> None:
        # A zeroconf that is told of new interfaces keeps what it heard on the old ones for up to
        # twenty minutes, and does not ask who is on the new ones.
        self._links = links
        if self._zeroconf is not None:
            # No goodbye: what is announced next, under the same name, replaces what was.
            loop: Any = self._zeroconf.loop
            loop.call_soon_threadsafe(self._zeroconf.generate_unregister_all_services)
            self._close()
        if not links:
            raise OSError("there is no network")
        try:
            self._open(links)
        except BaseException:
            self._close()
            raise

    def _open(self, links: tuple[Link, ...]) -> None:
        from zeroconf import ServiceInfo

        ours = self._announcement
        hosts = [host for link in links for host in link.hosts]
        self._zeroconf = self._zeroconf_factory(_interfaces(links))
        # Listening first: whoever is there already answers while we still announce ourselves.
        self._zeroconf.add_service_listener(SERVICE_TYPE, self)  # type: ignore[arg-type]
        info = ServiceInfo(
            SERVICE_TYPE,
            ours.name,
            port=ours.port,
            properties=dict(ours.properties),
            server=f"{ours.service}.local.",
            other_ttl=RECORD_LIFE,
            parsed_addresses=hosts[:MOST_ADDRESSES],
        )
        # Nobody is asked beforehand whether the name is taken (RFC 6762 section 8.1). That takes
        # almost two seconds; a random name is nobody else's; and whoever says that it is would make
        # us look for another one without end.
        self._zeroconf.register_service(info, cooperating_responders=True)
        self._just_announced = info

    def _announce_again(self) -> None:
        info, self._just_announced = self._just_announced, None
        if self._zeroconf is not None and info is not None:
            self._zeroconf.update_service(info)

    def _close(self) -> None:
        self._just_announced = None
        running, self._zeroconf = self._zeroconf, None
        if running is not None:
            running.close()

    def _read(self, names: Iterable[str], *, asks: bool) -> dict[str, Record | None]:
        import zeroconf

        records: dict[str, Record | None] = {}
        if self._zeroconf is None:
            return records
        gaps = 0
        for name in names:
            patience = LONGEST_ANSWER if asks and gaps < MOST_QUESTIONS else 0
            try:
                info = self._zeroconf.get_service_info(SERVICE_TYPE, name, patience)
            except (zeroconf.BadTypeInNameException, zeroconf.NamePartTooLongException):
                # Somebody announced the name of something else as one of ours.
                info = None
            if info is None:
                gaps += 1
                records[name] = None
                continue
            records[name] = read_record(
                name.removesuffix(f".{SERVICE_TYPE}"),
                info.properties,
                map(_with_named_link, info.parsed_scoped_addresses()),
                info.port,
                loopback=self._loopback,
            )
        if asks and gaps > MOST_GAPS:
            self._links = None
        return records


def _interfaces(links: Iterable[Link]) -> list[str | int]:
    # One address of each kind is enough to speak on a link. Where it can be a link-local one, those
    # who hear us learn from it on which link our other link-local addresses are.
    interfaces: list[str | int] = []
    for link in links:
        interfaces += [host for host in link.hosts if ":" not in host][:1]
        ipv6 = [host for host in link.hosts if ":" in host]
        local = [host for host in ipv6 if ipaddress.IPv6Address(host).is_link_local]
        if local and local[0] not in interfaces:
            interfaces.append(local[0])
        elif ipv6:
            # Several links of one card may have one address, which leads zeroconf to the first.
            interfaces.append(link.index)
    return interfaces


def _with_named_link(host: str) -> str:
    # Elsewhere links have their names, as the system writes them.
    address, _, scope = host.partition("%")
    if scope.isdecimal():
        try:
            return f"{address}%{socket.if_indextoname(int(scope))}"
        except OSError:
            # It went away; then nobody can be dialled there either.
            return host
    return host
