"""The judge of the scheduler. It imports nothing of clocksvc: its rules come from the documents alone."""
