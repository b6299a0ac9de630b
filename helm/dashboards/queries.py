"""The dashboards' Prometheus queries, each defined once.

`$job` and `$clock` are the dashboards' variables. The leader's series move to another instance with the leadership, so
every expression aggregates over instances. Unknown values have no series: no `or vector(0)`, and no division by a value
that may be zero.
"""

WINDOW = "5m"
"""For rates of events that come once a minute: shorter windows would alternate between one and two."""

NO_HOLD = "no hold"
NONE = "none"


def of(metric: str, *matchers: str) -> str:
    """A metric's series of the selected clocks."""
    return metric + "{" + ",".join(('job=~"$job"', 'clock=~"$clock"', *matchers)) + "}"


GLOBAL_CLOCK = f"max by (clock) ({of('clocksvc_global_clock_timestamp_seconds')})"
BEHIND = f"time() - {GLOBAL_CLOCK}"

_HOLDING = of("clocksvc_holding")
HELD = f"max by (clock, reason) ({_HOLDING}) == 1"
STATE = f'({HELD}) or label_replace(max by (clock) ({_HOLDING}) == 0, "reason", "{NO_HOLD}", "", "")'
"""1 for each reason of a hold; 0 with the reason "no hold" if there is none."""

IS_HELD = f"max by (clock) ({_HOLDING})"
"""1 if the clock holds, else 0."""

LEADERS = f"sum by (clock) ({of('clocksvc_leader')})"
LEADING = (
    f"(max by (clock, instance) ({of('clocksvc_leader')}) == 1) * on (clock) group_left () {LEADERS}"
    f' or label_replace({LEADERS} == 0, "instance", "{NONE}", "", "")'
)
"""The number of leaders of a clock, for each leading instance; 0 with the instance "none"."""

MISLED = f"sum({LEADERS} != bool 1)"
"""The number of clocks without a leader, or with more than one."""

TICKS = f"60 * sum by (clock) (rate({of('clocksvc_ticks_total')}[{WINDOW}]))"
PARTITIONS = f"max by (clock, state) ({of('clocksvc_partitions')})"
HEARTBEAT_AGE = f"time() - max by (clock) ({of('clocksvc_heartbeat_last_success_timestamp_seconds')})"
LATE = of("clocksvc_late_records_total")
REFUSED = of("clocksvc_reports_total", 'outcome=~"too_far_ahead|no_timestamp|foreign_group"')
STREAMS = f"sum by (clock) ({of('clocksvc_streams')})"
REPLICAS = 'count by (version) (clocksvc_build_info{job=~"$job"})'


def in_state(state: str) -> str:
    """The number of partitions of a clock in a state."""
    return "max by (clock) (" + of("clocksvc_partitions", f'state="{state}"') + ")"


def takeovers(window: str) -> str:
    """How often an instance became leader: changes from 0 to 1 only."""
    led = f"{of('clocksvc_leader')}[{window}]"
    return f"sum by (clock) (changes({led}) - resets({led}))"


def counted(counter: str, window: str, *labels: str) -> str:
    """The increase of a counter in a window, over all instances."""
    return f"sum by ({', '.join(('clock', *labels))}) (increase({counter}[{window}]))"


def risen(counter: str, *labels: str) -> str:
    """The increase of a counter of the store in the whole time range.

    Aggregated over instances first: a leader that returns would count the increase meanwhile once more.
    """
    highest = f"max by ({', '.join(('clock', *labels))}) ({counter})"
    return f"increase(({f'sum by (clock) ({highest})' if labels else highest})[$__range:$__interval])"


def per_minute(counter: str, *labels: str) -> str:
    """A counter's rate a minute."""
    return f"60 * sum by ({', '.join(('clock', *labels))}) (rate({counter}[{WINDOW}]))"


def per_second(counter: str, *labels: str) -> str:
    """A counter's rate a second, at the dashboard's own resolution."""
    return f"sum by ({', '.join(('clock', *labels))}) (rate({counter}[$__rate_interval]))"


def latency(quantile: float) -> str:
    """A quantile of the tick latency in seconds; empty without ticks, because NaN is not greater than 0."""
    buckets = f"sum by (clock, le) (rate({of('clocksvc_tick_latency_seconds_bucket')}[{WINDOW}]))"
    return f"histogram_quantile({quantile:g}, {buckets}) >= 0"


# -- partitions ----------------------------------------------------------------------------------------------------

_PARTITION = of("clocksvc_partition_clock_timestamp_seconds", 'topic=~"$topic"')
PARTITION_CLOCK = f"max by (clock, topic, partition) ({_PARTITION})"
_LAST_KNOWN = f"max by (clock, topic, partition) (last_over_time({_PARTITION}[$__range] @ end()))"
DRIFT = f"{PARTITION_CLOCK} - on (clock) group_left () {GLOBAL_CLOCK}"
"""Seconds by which a partition clock is ahead of the global clock."""


def slowest(count: int) -> str:
    """The clocks of the slowest partitions now, in epoch seconds."""
    return f"bottomk({count}, {PARTITION_CLOCK})"


def of_slowest(expression: str, count: int) -> str:
    """An expression for the slowest partitions at the end of the time range, over the whole range."""
    return f"({expression}) and on (clock, topic, partition) bottomk({count}, {_LAST_KNOWN})"


def in_order(expression: str) -> str:
    """Partitions under one label `row`, "topic:00007": Prometheus sorts series by their labels' text."""
    padded = f'label_replace({expression}, "number", "0000$1", "partition", "(.+)")'
    cut = f'label_replace({padded}, "number", "$1", "number", ".*(.{{5}})")'
    return f'max by (row) (label_join({cut}, "row", ":", "topic", "number"))'


def drift(aggregate: str, parameter: str = "") -> str:
    """An aggregate of all partition clocks (`min`, or `quantile` with its parameter), relative to the global clock."""
    return f"{aggregate} by (clock) ({parameter}{_PARTITION}) - {GLOBAL_CLOCK}"


# -- jobs ----------------------------------------------------------------------------------------------------------

DISPATCHER_BEHIND = (
    f"{GLOBAL_CLOCK} - on (clock) group_right ()"
    f" max by (clock, dispatcher) ({of('clocksvc_dispatcher_checkpoint_timestamp_seconds')})"
)
TASKS = of("clocksvc_tasks_total")
TASK_DUPLICATES = of("clocksvc_task_duplicates_total")
HEARTBEATS = of("clocksvc_heartbeats_total")
REPORTS = of("clocksvc_reports_total")
STREAMS_DROPPED = of("clocksvc_streams_dropped_total")
