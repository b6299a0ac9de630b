"""Schedules in a compacted topic: which are due at which tick, and the records about it. No I/O, no reading of time.

The owner of a partition uses this package in the following order.

1. A CompactedTable whose `decode` is `read_entry(record.key(), record.value())` reads the topic. Its values are
   entries.
2. After the owner has fenced the one before it, it reads the due partition with a DueLogReader, which gives the
   position. Without one, the position is an interval before the first tick to be handled.
3. It creates a ScheduleWheel at this position and adds the entries. From then on, each change of the table goes to
   `ScheduleWheel.change`. The wheel has no lock: the table's changes and the ticks must not come at the same time.
4. At each tick, in order: it reads the table to its end, calls `advance`, and produces `unsent(tick_records(…))`. Once
   these are acknowledged, it produces the position in the same transaction and commits. If it can't tell whether the
   commit succeeded, it begins again at 2 with a new wheel.

An entry belongs to one wheel at a time: nothing is done with the old wheel after a new one was created.
"""
