"""The real leader, reporter and feed over in-memory keepers, under a seeded scheduler that decides every interleaving.

`python -m tests.simulation SEEDS` runs many seeds; a failing one replays step by step with `--seed N --trace`.
"""
