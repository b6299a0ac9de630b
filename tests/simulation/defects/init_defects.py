"""Defects of `clocksvc init`, the way out after a tick log has lost ticks."""

from contextlib import AbstractContextManager
from unittest.mock import patch

from clocksvc.leader import set_first_tick
from tests.simulation.defects.defect import Promise, defect

Patched = AbstractContextManager[object]


@defect(
    "init accepts a time before ticks that log or store know",
    Promise.NEVER_BACK,
    "back",
    directed="unit/leader/test_set_first_tick.py::test_never_goes_back_before_a_tick_of_the_store",
)
def init_goes_back() -> Patched:
    return patch.object(set_first_tick, "_check_not_before", lambda *_: None)


@defect(
    "init skips boundaries of a clock whose log lost nothing",
    Promise.NEVER_LOST,
    "lost",
    directed="unit/leader/test_log_trouble.py::test_a_rejected_init_does_not_disturb_the_leader",
)
def init_on_a_sound_log() -> Patched:
    return patch.object(set_first_tick, "_check_log", lambda *_: None)
