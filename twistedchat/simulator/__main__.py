"""
Try many seeds: ``python -m twistedchat.simulator [HOW MANY] [THE FIRST]``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from multiprocessing import Pool

from twistedchat.simulator.schedules import replay, report, schedule_of, shrink, simulate

__all__ = ["main"]

# Seeds that are handed to a process at one time, and after how many it is told how far it has come.
AT_A_TIME = 10
TELL_EVERY = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Try seeds, on all processors.

    Args:
        arguments: What was typed; ``None`` for the process' own.

    Returns:
        0 where all was as it should be, and 1 after the first seed with which it was not.
    """
    parser = argparse.ArgumentParser(prog="python -m twistedchat.simulator")
    parser.add_argument("seeds", type=int, nargs="?", default=1000, help="how many seeds to try")
    parser.add_argument("first", type=int, nargs="?", default=0, help="the first of them")
    options = parser.parse_args(arguments)
    seeds = range(options.first, options.first + options.seeds)
    with Pool() as pool:
        # In order, so that the same seed is shown each time.
        for seed, fault in zip(seeds, pool.imap(_fault_of, seeds, AT_A_TIME), strict=True):
            if fault:
                pool.terminate()
                schedule = shrink(schedule_of(seed))
                _say(report(schedule, replay(schedule)))
                return 1
            if (seed + 1 - options.first) % TELL_EVERY == 0:
                _say(f"{seed + 1 - options.first} of {options.seeds} seeds")
    _say(f"{options.seeds} seeds from {options.first} on: all was as it should be.")
    return 0


def _fault_of(seed: int) -> str:
    return simulate(seed).fault


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
