"""The real leader, reporter, feed, heartbeat and view over in-memory keepers, under a seeded scheduler.

`python -m tests.simulation --seeds N` runs many seeds; a failing one replays step by step with `--seed N --trace`.
"""
