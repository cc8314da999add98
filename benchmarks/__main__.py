"""
The command: ``python -m benchmarks [--quick] [--only NAME] [--rounds N] [--unpinned]``.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.machine import choose_cores, pinned_to, raise_descriptor_limit, read_others_seconds
from benchmarks.measures import MEASURES
from benchmarks.report import Row, draw_table
from benchmarks.servers import Lab

# Above this share of the machine's time, other people's work is worth a note.
NOISY = 0.05


def parse_arguments() -> argparse.Namespace:
    """
    Read the command line.

    Returns:
        Its options.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure a node beside a bare Twisted server and a threaded program.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="one round of smaller loads, to try things out"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=MEASURES,
        metavar="NAME",
        help=f"measure only this; may be repeated: {', '.join(MEASURES)}",
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often (default: 3)")
    parser.add_argument(
        "--reference",
        type=Path,
        default=os.environ.get("REFERENCE") or None,
        metavar="FILE",
        help="the reference program, to run in place of our imitation (default: $REFERENCE)",
    )
    parser.add_argument(
        "--unpinned",
        action="store_true",
        help="let what is measured use every core, as people run it; a program of many threads is"
        " slower so, because they hand one lock from core to core",
    )
    arguments = parser.parse_args()
    if arguments.reference and not Path(arguments.reference).is_file():
        parser.error(f"there is no {arguments.reference}")
    return arguments


def draw_head(lab: Lab) -> str:
    """
    Say under which conditions the figures were taken.

    Args:
        lab: What all measurements had in common.

    Returns:
        A few lines.
    """
    server, load = (", ".join(map(str, sorted(c))) for c in (lab.cores.server, lab.cores.load))
    where = f"what is measured on core {server}, everything else on core {load}"
    threaded = f"the program {lab.reference.name}" if lab.reference else "our imitation"
    return (
        f"Python {platform.python_version()}, Twisted {version('twisted')}, {where}.\n"
        f"Medians of {lab.rounds} rounds, least..most below. threaded: {threaded}. "
        f"ceiling: the generator against a server that only reads and closes."
    )


def main() -> None:
    """
    Measure and print the table.
    """
    arguments = parse_arguments()
    lab = Lab(
        cores=choose_cores(arguments.unpinned),
        reference=arguments.reference.resolve() if arguments.reference else None,
        rounds=1 if arguments.quick else max(1, arguments.rounds),
        is_quick=arguments.quick,
    )
    raise_descriptor_limit()
    rows: list[Row] = []
    core_count = len(os.sched_getaffinity(0))
    try:
        for name, measure in MEASURES.items():
            if arguments.only and name not in arguments.only:
                continue
            started_at, others = time.monotonic(), read_others_seconds()
            with pinned_to(lab.cores.load):
                measured = measure(lab)
            seconds = (time.monotonic() - started_at) * core_count
            share = (read_others_seconds() - others) / seconds
            if share > NOISY:
                measured[0].notes.append(
                    f"other work took {share:.0%} of the machine; take the figures with care"
                )
            rows += measured
    except KeyboardInterrupt:
        print("Stopped; what there is so far:", file=sys.stderr)
    print(f"{draw_head(lab)}\n\n{draw_table(rows)}")


if __name__ == "__main__":
    main()
