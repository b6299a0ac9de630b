"""The real partitions, ownership and commands of the scheduler over in-memory implementations, with faults from a seed.

`python -m tests.scheduler_simulation --seeds N` runs many seeds; a failing one replays step by step with
`--seed N --trace`.
"""
