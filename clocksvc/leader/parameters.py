"""The parameters of a clock, of which the out-of-orderness depends on the topics' timestamp types."""

from collections.abc import Mapping

from clocksvc.clock.spec import CREATE_TIME_OUT_OF_ORDERNESS_MS, ClockSpec
from clocksvc.interfaces.progress import ClockParameters
from clocksvc.interfaces.topics import TimestampType


def resolve_parameters(
    spec: ClockSpec, types: Mapping[str, TimestampType], *, create_time_seen: bool = False
) -> ClockParameters:
    """Return the clock's parameters.

    If `max_out_of_orderness` is not set, it is 0 if all topics use LogAppendTime, else 10 s. It is 0 for a clock with
    upstream clocks: its partitions are reported at boundaries, and the timestamps of its records don't count. If it
    could become smaller, a partition reported at a boundary would seem to have passed a later one.

    Args:
        types: the timestamp types of topics. A topic whose type is not known counts as CreateTime.
        create_time_seen: True if consumers have reported records with the type CreateTime. A topic's type can have
            changed since brokers were asked.
    """
    out_of_orderness_ms = 0 if spec.after else spec.max_out_of_orderness_ms
    if out_of_orderness_ms is None:
        stamped = all(types.get(topic) is TimestampType.LOG_APPEND_TIME for topic in spec.topics)
        out_of_orderness_ms = 0 if stamped and not create_time_seen else CREATE_TIME_OUT_OF_ORDERNESS_MS
    return ClockParameters(
        spec.reporting_group,
        tuple(spec.topics),
        spec.interval_ms,
        out_of_orderness_ms,
        spec.max_future_ms,
        spec.max_drift_ms,
    )
