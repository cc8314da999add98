"""
Runs a program whose output goes to a pipe as if it went to a terminal: each line at once.

Run as a script: ``line_by_line.py PROGRAM.py``. Without it, Python keeps lines back until some
kilobytes have gathered, and the last ones of a measurement would never be seen.
"""

from __future__ import annotations

import io
import runpy
import sys


def main() -> None:
    """
    Run the program of the command line.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    runpy.run_path(sys.argv[1], run_name="__main__")


if __name__ == "__main__":
    main()
