"""The leader of a clock: acquires the lease, recovers from the tick log, then emits ticks step by step."""
