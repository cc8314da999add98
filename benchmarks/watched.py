"""
twistd, watched: the same program, and beside it somebody who looks how long its reactor is busy.

Run as ``python -m benchmarks.watched FILE ARGUMENTS...``: the arguments are twistd's. When the
process ends, FILE holds a list in JSON of every time that the reactor did not come back for longer
than `WORTH_TELLING`, in seconds: when that was over, by the monotonic clock; how long it took; and
for how much of that its thread could have run, and had no core to run on.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from twisted.internet.task import LoopingCall
from twisted.scripts.twistd import run

__all__: list[str] = []

# How often it is looked at, and what is written down, in seconds. Looking takes a two-hundredth of
# a core.
PAUSE = 0.002
WORTH_TELLING = 0.001


class Watch:
    """
    Comes back as often as it can, and notes when it could not.
    """

    def __init__(self) -> None:
        self.gaps: list[tuple[float, float, float]] = []
        self._last_at = time.monotonic()
        self._waited = 0.0
        self._scheduler = os.open("/proc/thread-self/schedstat", os.O_RDONLY)

    def look(self) -> None:
        """
        The reactor has come back.
        """
        now = time.monotonic()
        waited = int(os.pread(self._scheduler, 100, 0).split()[1]) / 1e9
        late = now - self._last_at - PAUSE
        if late > WORTH_TELLING:
            self.gaps.append((now, late, waited - self._waited))
        self._last_at, self._waited = now, waited


def main() -> None:
    """
    Run twistd, and write down what was seen.
    """
    # The same one that twistd would choose by itself.
    from twisted.internet import reactor

    file = Path(sys.argv[1])
    watch = Watch()
    looking = LoopingCall(watch.look)
    reactor.callWhenRunning(looking.start, PAUSE)
    reactor.addSystemEventTrigger("before", "shutdown", looking.stop)
    # twistd ends by the signal that it was ended by: nothing comes behind it.
    reactor.addSystemEventTrigger(
        "after", "shutdown", lambda: file.write_text(json.dumps(watch.gaps), encoding="ascii")
    )
    sys.argv = ["twistd", *sys.argv[2:]]
    run()


if __name__ == "__main__":
    main()
