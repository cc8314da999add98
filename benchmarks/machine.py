"""
What the operating system says: cores, memory, descriptors and listening ports.

Everything is read from ``/proc``, so that asking does not disturb the process asked about.
"""

from __future__ import annotations

import os
import random
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Cores",
    "MeasureError",
    "choose_cores",
    "count_descriptors",
    "count_wake_ups",
    "find_free_port",
    "is_listening",
    "pinned_to",
    "raise_descriptor_limit",
    "read_busy_seconds",
    "read_others_seconds",
    "read_peak_kib",
    "read_resident_kib",
    "reset_peak",
    "wait_for_settled_kib",
    "wait_until",
]

LISTEN = "0A"
"""The state of a listening socket in ``/proc/net/tcp``."""

# Below the usual range of ephemeral ports (32768 and up), so that no outgoing connection of the
# benchmark can take the port between our choosing it and the server's opening it.
FIRST_PORT, LAST_PORT = 20_000, 32_000

# 64 senders, 1,200 idle connections and as many on the server's side fit many times over.
DESCRIPTORS = 16_384


class MeasureError(Exception):
    """Something could not be measured; the words say what and why."""


@dataclass(frozen=True, slots=True)
class Cores:
    """
    Where the measured program runs and where everything else does.

    Attributes:
        server: The cores of the measured program.
        load: The cores of the generator, the sinks and this process.
    """

    server: frozenset[int]
    load: frozenset[int]


def choose_cores(is_unpinned: bool) -> Cores:
    """
    Choose among the cores that this process may use.

    Args:
        is_unpinned: Whether the measured program may use all of them, or else a single one.

    Returns:
        A core for each side, where there are two.
    """
    usable = sorted(os.sched_getaffinity(0))
    one, another = frozenset(usable[:1]), frozenset(usable[1:2] or usable)
    return Cores(frozenset(usable) if is_unpinned else one, another)


@contextmanager
def pinned_to(cores: frozenset[int]) -> Iterator[None]:
    """
    Keep the calling thread, and the processes that it starts meanwhile, on some cores.

    Args:
        cores: Their numbers.

    Yields:
        Nothing.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def read_others_seconds() -> float:
    """
    Read how much processor time everybody else has used on the cores this process may use.

    Only differences mean something, and only between moments when we have no child running: the
    time of a child counts as ours once it has ended.

    Returns:
        Seconds since the machine was started, less what this process and its children used.
    """
    names = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    ticks = 0
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *fields = line.split()
        if name in names:
            user, nice, system, _idle, _waiting, irq, softirq, stolen = map(int, fields[:8])
            ticks += user + nice + system + irq + softirq + stolen
    ours = sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    return ticks / os.sysconf("SC_CLK_TCK") - ours


def raise_descriptor_limit() -> None:
    """
    Allow this process and its children enough open descriptors.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def find_free_port() -> int:
    """
    Find a TCP port that nobody uses, in IPv4 or IPv6.

    Returns:
        The port.

    Raises:
        MeasureError: There is none.
    """
    for port in random.sample(range(FIRST_PORT, LAST_PORT), 50):
        try:
            with socket.create_server(("", port)):
                pass
            if socket.has_dualstack_ipv6():
                address = ("::", port)
                with socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True):
                    pass
        except OSError:
            continue
        return port
    raise MeasureError(f"no free port between {FIRST_PORT} and {LAST_PORT}")


def is_listening(port: int) -> bool:
    """
    Tell whether some process listens on a TCP port, without connecting to it.

    Args:
        port: The port.

    Returns:
        Whether it is open.
    """
    ending = f":{port:04X}"
    for table in (Path("/proc/net/tcp6"), Path("/proc/net/tcp")):
        if not table.exists():  # a kernel without IPv6
            continue
        with table.open(encoding="ascii") as rows:
            next(rows)
            for row in rows:
                _, local, _, state, *_ = row.split(None, 4)
                # Listening sockets come first. What follows may be thousands of closed ones.
                if state != LISTEN:
                    break
                if local.endswith(ending):
                    return True
    return False


def count_descriptors(pid: int) -> int:
    """
    Count the open descriptors of a process.

    Args:
        pid: The process.

    Returns:
        Their number.
    """
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def count_wake_ups(pid: int) -> int:
    """
    Count how often the threads of a process have gone to sleep, and so have been woken up.

    Args:
        pid: The process.

    Returns:
        Their number, of all threads that it has now.
    """
    count = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text(encoding="utf-8").splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                count += int(line.split()[1])
    return count


def read_busy_seconds(pid: int) -> float:
    """
    Read how much processor time a process has used, to the nanosecond.

    Args:
        pid: The process.

    Returns:
        Seconds, of all threads that it has now.
    """
    tasks = Path(f"/proc/{pid}/task").iterdir()
    used = [int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks]
    return sum(used) / 1e9


def reset_peak(pid: int) -> None:
    """
    Forget how much memory a process ever held; what it holds now is the most from then on.

    Args:
        pid: A process of our own.
    """
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def read_peak_kib(pid: int) -> int:
    """
    Read the most memory that a process has held resident since `reset_peak`.

    Args:
        pid: The process.

    Returns:
        Its largest resident set, in KiB.
    """
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise MeasureError(f"the peak memory of process {pid} cannot be read")


def read_resident_kib(pid: int) -> int:
    """
    Read how much memory a process holds resident.

    Args:
        pid: The process.

    Returns:
        Its resident set, in KiB.
    """
    # `status` and `statm` lag behind by a batch for each core; the rollup counts the pages.
    for name in ("smaps_rollup", "status"):
        try:
            lines = Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8").splitlines()
        except OSError:  # an older kernel, or one that does not let us
            continue
        for line in lines:
            if line.startswith(("Rss:", "VmRSS:")):
                return int(line.split()[1])
    raise MeasureError(f"the memory of process {pid} cannot be read")


def wait_for_settled_kib(pid: int, quiet: float, limit: float = 5.0) -> int:
    """
    Wait until a process takes no more memory, and say how much it has.

    Args:
        pid: The process.
        quiet: For how many seconds the figure has to stand still.
        limit: After how many seconds the figure is taken as it is.

    Returns:
        Its resident set, in KiB.
    """
    deadline = time.monotonic() + limit
    kib, since = read_resident_kib(pid), time.monotonic()
    while (now := time.monotonic()) < deadline and now - since < quiet:
        time.sleep(quiet / 10)
        latest = read_resident_kib(pid)
        if latest != kib:
            kib, since = latest, time.monotonic()
    return kib


def wait_until(
    is_so: Callable[[], bool], limit: float, complain: Callable[[], str], pause: float = 0.001
) -> None:
    """
    Wait until something is so.

    Args:
        is_so: Tells whether it is.
        limit: The longest wait, in seconds.
        complain: Says what is not so, when it takes longer.
        pause: The time between two questions, in seconds.

    Raises:
        MeasureError: It took longer.
    """
    deadline = time.monotonic() + limit
    while not is_so():
        if time.monotonic() >= deadline:
            raise MeasureError(complain())
        time.sleep(pause)
