"""The real leader, reporter, feed, heartbeats and view over in-memory implementations, under a seeded scheduler.

`python -m tests.simulation --seeds N` runs many seeds; a failing one replays step by step with `--seed N --trace`.
"""
