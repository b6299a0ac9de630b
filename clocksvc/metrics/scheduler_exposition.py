"""Renders `/metrics` of `clocksvc scheduler`.

All values are read at each scrape, so no series outlives its partition.
"""

from collections.abc import Iterator, Mapping
from importlib.metadata import version

from clocksvc.metrics import scheduler_catalogue as catalogue
from clocksvc.metrics.catalogue import INVALID_HTTP, Reading
from clocksvc.metrics.text_format import CONTENT_TYPE, render
from clocksvc.scheduler.partition_state import PartitionState, PartitionStats

Partitions = Mapping[tuple[str, int], PartitionStats]
"""The stats of the partitions that a process has, by clock and number."""

_NOT_LOADED = 0.999
"""The largest ratio of a partition that has been read, but is not loaded yet."""


def render_scheduler_metrics(partitions: Partitions, invalid_http: int) -> tuple[bytes, str]:
    """Return the body of `/metrics` and its content type. Does not block.

    Args:
        partitions: those that this process loads, follows or owns at the moment.
        invalid_http: the number of requests to this process that were not valid HTTP.
    """
    readings = [
        Reading(catalogue.BUILD_INFO, (version("clocksvc"),), 1),
        Reading(INVALID_HTTP, (), invalid_http),
    ]
    for (clock, number), stats in partitions.items():
        readings += _readings((clock, str(number)), stats)
    return render((*catalogue.SCHEDULER_CATALOGUE, INVALID_HTTP), readings), CONTENT_TYPE


def _readings(labels: tuple[str, str], stats: PartitionStats) -> Iterator[Reading]:
    yield Reading(catalogue.OWNER, labels, float(stats.state is PartitionState.OWNER))
    yield Reading(catalogue.TICKS, labels, stats.ticks)
    yield Reading(catalogue.DUE, labels, stats.due)
    yield Reading(catalogue.MISSED, labels, stats.missed)
    yield Reading(catalogue.TAKEOVERS, labels, stats.terms)
    yield Reading(catalogue.FENCED, labels, stats.fenced)
    yield Reading(catalogue.PROBLEM, labels, float(stats.problem is not None))
    if stats.state is not PartitionState.LOADING:
        yield Reading(catalogue.LOADED, labels, 1)
        yield Reading(catalogue.SCHEDULES, labels, stats.schedules)
        yield Reading(catalogue.UNREADABLE, labels, stats.unreadable)
    elif stats.end:
        yield Reading(catalogue.LOADED, labels, min(stats.offset / stats.end, _NOT_LOADED))
    if stats.position_ms is not None:
        yield Reading(catalogue.POSITION, labels, stats.position_ms / 1000)
    if stats.due:
        steps = {"decide": stats.decide_s, "produce": stats.produce_s, "commit": stats.commit_s}
        for step, seconds in steps.items():
            yield Reading(catalogue.LAST_TICK, (*labels, step), seconds)
