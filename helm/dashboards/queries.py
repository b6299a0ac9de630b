"""The dashboards' Prometheus queries, each defined once.

`$job` and `$clock`, or `$consumer_job` and `$consumer`, are the dashboards' variables. When another instance becomes
leader, it exports the leader's series. So every expression aggregates over instances. A value that is not known must
have no result. So no expression uses `or vector(0)`, or divides by a value that may be zero.
"""

WINDOW = "5m"
"""The window for rates of events that occur once a minute. In shorter windows the rate would alternate."""

NO_HOLD = "no hold"
NONE = "none"


def of(metric: str, *matchers: str) -> str:
    """Return a selector for the series of a metric, for the selected clocks."""
    return metric + "{" + ",".join(('job=~"$job"', 'clock=~"$clock"', *matchers)) + "}"


GLOBAL_CLOCK = f"max by (clock) ({of('clocksvc_global_clock_timestamp_seconds')})"
BEHIND = f"time() - {GLOBAL_CLOCK}"

_HOLDING = of("clocksvc_holding")
HELD = f"max by (clock, reason) ({_HOLDING}) == 1"
STATE = f'({HELD}) or label_replace(max by (clock) ({_HOLDING}) == 0, "reason", "{NO_HOLD}", "", "")'
"""1 for each reason of a hold. If there is no hold: 0 with the reason "no hold"."""

IS_HELD = f"max by (clock) ({_HOLDING})"
"""1 if the clock holds, else 0."""

BY_STATE = f"count by (reason) ({STATE})"
"""The number of clocks, for each reason of a hold and for "no hold"."""

LEADERS = f"sum by (clock) ({of('clocksvc_leader')})"
LEADING = (
    f"(max by (clock, instance) ({of('clocksvc_leader')}) == 1) * on (clock) group_left () {LEADERS}"
    f' or label_replace({LEADERS} == 0, "instance", "{NONE}", "", "")'
)
"""The number of leaders of a clock, for each instance that leads. Without a leader: 0 with the instance "none"."""

MISLED = f"sum({LEADERS} != bool 1)"
"""The number of clocks without a leader, or with more than one."""

LOGS_LED = f"sum by (instance) (max by (log, instance) ({of('clocksvc_leader')}))"
"""The number of logs that each replica leads."""

TICKS = f"60 * sum by (clock) (rate({of('clocksvc_ticks_total')}[{WINDOW}]))"
TICKS_OF_ALL = f"sum(rate({of('clocksvc_ticks_total')}[$__rate_interval]))"
DUE_TICKS = f"max by (clock) ({of('clocksvc_due_ticks')})"
CATCHING_UP = f"sum({DUE_TICKS} > bool 1)"
"""The number of clocks with more than one due tick."""
PARTITIONS = f"max by (clock, state) ({of('clocksvc_partitions')})"
HEARTBEAT_AGE = f"time() - max by (clock) ({of('clocksvc_heartbeat_last_success_timestamp_seconds')})"
LATE = of("clocksvc_late_records_total")
REFUSED = of(
    "clocksvc_reports_total", 'outcome=~"too_far_ahead|no_timestamp|not_milliseconds|foreign_group|foreign_topic"'
)
STREAMS = f"sum by (clock) ({of('clocksvc_streams')})"
INVALID_HTTP = 'sum(rate(clocksvc_invalid_http_requests_total{job=~"$job"}[$__rate_interval]))'
REPLICAS = 'count by (version) (clocksvc_build_info{job=~"$job"})'


def in_state(state: str) -> str:
    """The number of partitions of a clock in a state."""
    return "max by (clock) (" + of("clocksvc_partitions", f'state="{state}"') + ")"


def takeovers(window: str, label: str = "clock") -> str:
    """Return how often an instance became leader, for each clock or `log`. Only changes from 0 to 1 count."""
    led = f"{of('clocksvc_leader')}[{window}]"
    return f"sum by ({label}) (max by ({label}, instance) (changes({led}) - resets({led})))"


def counted(counter: str, window: str, *labels: str) -> str:
    """Return the increase of a counter in a window, summed over all instances."""
    return f"sum by ({', '.join(('clock', *labels))}) (increase({counter}[{window}]))"


def risen(counter: str, *labels: str) -> str:
    """Return the increase of a counter of the store in the complete time range.

    Instances are aggregated before the increase is computed. Otherwise, if an instance becomes leader again, the
    increase in the meantime would be counted twice.
    """
    highest = f"max by ({', '.join(('clock', *labels))}) ({counter})"
    return f"increase(({f'sum by (clock) ({highest})' if labels else highest})[$__range:$__interval])"


def per_minute(counter: str, *labels: str) -> str:
    """Return the rate of a counter per minute."""
    return f"60 * sum by ({', '.join(('clock', *labels))}) (rate({counter}[{WINDOW}]))"


def per_second(counter: str, *labels: str) -> str:
    """Return the rate of a counter per second, at the resolution of the dashboard."""
    return f"sum by ({', '.join(('clock', *labels))}) (rate({counter}[$__rate_interval]))"


def latency(quantile: float, *labels: str) -> str:
    """Return a quantile of the tick latency in seconds, over the logs of the selected clocks; `labels`: for each "log".

    Without ticks the quantile is NaN. The comparison `>= 0` removes it, so that the result is empty.
    """
    logs = f"group by (log) ({of('clocksvc_leader')})"
    rates = f'rate(clocksvc_tick_latency_seconds_bucket{{job=~"$job"}}[{WINDOW}]) and on (log) {logs}'
    return f"histogram_quantile({quantile:g}, sum by ({', '.join((*labels, 'le'))}) ({rates})) >= 0"


# -- the worst clocks ----------------------------------------------------------------------------------------------

WORST = 20
"""The number of clocks in lists, tables and graphs of the fleet."""


def among_worst(expression: str) -> str:
    """Limit an expression to the worst clocks at the end of the time range.

    Clocks with a hold come first, but not those that are paused; in both groups those without a tick, then those that
    are furthest behind. The order does not depend on the step, so Prometheus computes it once for a graph.
    """
    not_paused = of("clocksvc_holding", 'reason!="paused"')
    held = f"(max by (clock) ({not_paused} @ end()) or 0 * max by (clock) ({_HOLDING} @ end()))"
    ticked = f"max by (clock) ({of('clocksvc_global_clock_timestamp_seconds')} @ end())"
    return f"({expression}) and on (clock) topk({WORST}, 1e11 * {held} - ({ticked} or 0 * {held}))"


def behind_quantile(quantile: float) -> str:
    """Return a quantile of the seconds that clocks are behind, over the selected clocks."""
    return f"quantile({quantile:g}, {BEHIND})"


# -- partitions ----------------------------------------------------------------------------------------------------

_TOPIC = 'topic=~"$topic"'
_PARTITION = of("clocksvc_partition_clock_timestamp_seconds", _TOPIC)
PARTITION_CLOCK = f"max by (clock, topic, partition) ({_PARTITION})"
_LAST_KNOWN = f"max by (clock, topic, partition) (last_over_time({_PARTITION}[$__range] @ end()))"
DRIFT = f"{PARTITION_CLOCK} - on (clock) group_left () {GLOBAL_CLOCK}"
"""How far a partition clock is ahead of the global clock, in seconds."""


def slowest(count: int) -> str:
    """Return the current clocks of the slowest partitions, in epoch seconds."""
    return f"bottomk({count}, {PARTITION_CLOCK})"


def of_slowest(expression: str, count: int) -> str:
    """Limit an expression to the partitions that are the slowest at the end of the time range."""
    return f"({expression}) and on (clock, topic, partition) bottomk({count}, {_LAST_KNOWN})"


def in_order(expression: str) -> str:
    """Replace the labels of partitions by one label `row`, such as "topic:00007".

    The number is padded, because Prometheus sorts series by the text of their labels.
    """
    padded = f'label_replace({expression}, "number", "0000$1", "partition", "(.+)")'
    cut = f'label_replace({padded}, "number", "$1", "number", ".*(.{{5}})")'
    return f'max by (row) (label_join({cut}, "row", ":", "topic", "number"))'


def drift(aggregate: str, parameter: str = "") -> str:
    """Return how far an aggregate of all partition clocks is ahead of the global clock.

    `aggregate` is `min`, or `quantile` with its `parameter`.
    """
    return f"{aggregate} by (clock) ({parameter}{_PARTITION}) - {GLOBAL_CLOCK}"


# -- committed offsets, and stages of pipelines ----------------------------------------------------------------------

STAGE_BEHIND = f"max by (clock, upstream) ({of('clocksvc_stage_behind_seconds')})"
WAITING_CLOCKS = (
    f"count by (stage, stage_reason) (max by (clock, stage, stage_reason) ({of('clocksvc_holding_upstream')}))"
)
"""The number of clocks that wait, for each stage to blame and the reason of its hold."""
OBSERVATION_AGE = f"time() - max by (clock) ({of('clocksvc_observation_timestamp_seconds')})"
WAITING_PARTITIONS = f"max by (clock, waits_for) ({of('clocksvc_waiting_partitions')})"
SKIPPED = of("clocksvc_skipped_records_total")
_END, _COMMITTED = (
    f"max by (clock, group, topic, partition) ({of(metric, _TOPIC)})"
    for metric in ("clocksvc_group_end_offset", "clocksvc_group_committed_offset")
)
LAG = f"{_END} - {_COMMITTED}"
"""The number of offsets that the group has not committed, for each partition."""


def observer_rate(counter: str, *labels: str) -> str:
    """Return the rate of a counter of all observers per second."""
    rate = f'rate(clocksvc_observer_{counter}{{job=~"$job"}}[$__rate_interval])'
    return f"sum by ({', '.join(labels)}) ({rate})" if labels else f"sum({rate})"


OBSERVER_POLL = f"{observer_rate('poll_seconds_total')} / ({observer_rate('polls_total')} > 0)"
"""The mean duration of a poll. Without a poll there is no result."""
OBSERVER_RESTARTS = 'sum by (instance) (increase(clocksvc_observer_restarts_total{job=~"$job"}[$__rate_interval]))'


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


# -- consumers -----------------------------------------------------------------------------------------------------


def of_consumer(metric: str, *matchers: str) -> str:
    """Return a selector for the series of a metric, for the selected consumer."""
    chosen = ('job=~"$consumer_job"', 'consumer=~"$consumer"', *matchers)
    return f"clocksvc_consumer_{metric}{{{','.join(chosen)}}}"


def together(metric: str, *labels: str) -> str:
    """Return a value of the consumer: the sum over all of its processes."""
    return f"sum by ({', '.join(('consumer', *labels))}) ({of_consumer(metric)})"


def highest(metric: str, *labels: str) -> str:
    """Return the highest value of all processes of the consumer."""
    return f"max by ({', '.join(('consumer', *labels))}) ({of_consumer(metric)})"


def consumer_rate(counter: str, *labels: str) -> str:
    """Return the rate of a consumer's counter per second."""
    return f"sum by ({', '.join(('consumer', *labels))}) (rate({of_consumer(counter)}[$__rate_interval]))"


def consumer_count(counter: str, *labels: str) -> str:
    """Return the increase of a consumer's counter at the resolution of the dashboard."""
    return f"sum by ({', '.join(('consumer', *labels))}) (increase({of_consumer(counter)}[$__rate_interval]))"


CONSUMERS = f"count by (consumer) ({of_consumer('healthy')})"
UNHEALTHY = f"sum by (consumer) ({of_consumer('healthy')} == bool 0)"
FLUSH_DURATION = f"{consumer_rate('flush_seconds_total')} / ({consumer_rate('flushes_total')} > 0)"
"""The mean duration of an attempt. Without an attempt there is no result."""

# -- schedules -----------------------------------------------------------------------------------------------------


def of_scheduler(metric: str, *matchers: str) -> str:
    """Return a selector for the series of a scheduler's metric, for the selected clock."""
    chosen = ('job=~"$scheduler_job"', 'clock=~"$clock"', *matchers)
    return f"clocksvc_scheduler_{metric}{{{','.join(chosen)}}}"


def once(metric: str) -> str:
    """Return the sum over all partitions of what an owner and its standbys both export."""
    return f"sum by (clock) (max by (clock, partition) ({of_scheduler(metric)}))"


def all_of(metric: str, *labels: str) -> str:
    """Return the sum over all partitions and schedulers."""
    return f"sum by ({', '.join(('clock', *labels))}) ({of_scheduler(metric)})"


def slowest_of(metric: str, *labels: str) -> str:
    """Return the highest value of all partitions."""
    return f"max by ({', '.join(('clock', *labels))}) ({of_scheduler(metric)})"


def least_of(metric: str, *labels: str) -> str:
    """Return the lowest value of all partitions."""
    return f"min by ({', '.join(('clock', *labels))}) ({of_scheduler(metric)})"


def scheduler_rate(counter: str, *labels: str) -> str:
    """Return the rate of a scheduler's counter per second."""
    return f"sum by ({', '.join(('clock', *labels))}) (rate({of_scheduler(counter)}[$__rate_interval]))"


def scheduler_count(counter: str) -> str:
    """Return the increase of a scheduler's counter at the resolution of the dashboard."""
    return f"sum by (clock) (increase({of_scheduler(counter)}[$__rate_interval]))"


UNOWNED = 'max by (clock) (clocksvc_schedule_partitions{clock=~"$clock",state="unowned"})'
SCHEDULERS = 'count by (version) (clocksvc_scheduler_build_info{job=~"$scheduler_job"})'
MISSED = f"sum by (clock) (increase({of_scheduler('missed_total')}[$__range]))"
DUE_PER_MINUTE = f"60 * sum by (clock) (rate({of_scheduler('due_total')}[{WINDOW}]))"
LATE_SCHEDULES = (
    'max by (clock) (clocksvc_global_clock_timestamp_seconds{clock=~"$clock"}) - on (clock) group_right ()'
    f" max by (clock, partition) ({of_scheduler('position_timestamp_seconds')})"
)
"""How far each partition of schedules is behind the clock. The replicas of the service are a job of their own."""
