"""Schedules: which schedule is due at which tick, and the records about it. No I/O, no reading of time."""
