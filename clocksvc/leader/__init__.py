"""The one process that writes a clock's tick log at a time: lease, recovery, and one step after another."""
