"""The real observer of committed offsets over a model of Kafka, with faults from a seed.

`python -m tests.observer_simulation --seeds N` runs many seeds; a failing one replays step by step with
`--seed N --trace`.
"""
