"""The leader of a log: acquires the lease, recovers, then emits the ticks of all clocks of the log in rounds."""
