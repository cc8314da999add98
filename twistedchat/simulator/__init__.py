"""
A simulator: real nodes on machines that are killed, and a network that fails, all by one number.

Everything is real but what is below the nodes: time, connections and disks. What chance brings is
drawn from a seed, so that the same seed brings the same again::

    outcome = simulate(4711)
    assert not outcome.fault, outcome.fault

``python -m twistedchat.simulator 10000`` tries so many seeds, and shows of one that fails the
shortest schedule that fails too. What has to be so is written in `twistedchat.simulator.truth`.
"""

from twistedchat.simulator.schedules import (
    Schedule,
    replay,
    report,
    schedule_of,
    shrink,
    simulate,
)
from twistedchat.simulator.world import Outcome

__all__ = ["Outcome", "Schedule", "replay", "report", "schedule_of", "shrink", "simulate"]
