"""What `clocksvc status` prints about the pipeline of a clock, and about committed offsets."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clocksvc.cli.words import reason_text, waits_for_text
from clocksvc.clock.holds import Hold
from clocksvc.clock.partition import name_first
from clocksvc.clock.spec import upstream_name
from clocksvc.clock.tick import partition_from_wire
from clocksvc.clock.time_format import describe_duration, to_rfc3339
from clocksvc.clock.upstream_hold import last_of_chain
from clocksvc.service.pipeline import Pipeline, Stage
from clocksvc.service.public_state import PublicPartition

_HEAD = ("STAGE", "CLOCK", "TIME", "STATUS", "BEHIND STAGE BEFORE", "WAITS FOR")
_PARTITIONS_HEAD = ("TIME", "BEHIND", "COMMITTED", "END", "WAITS FOR")


def pipeline_table(pipeline: Pipeline) -> list[tuple[str, ...]]:
    """Return the stages of a pipeline as a table, in order. The stages that delay it are marked."""
    return [_HEAD, *map(_row, pipeline.stages)]


def observed_partitions_table(kind: str, partitions: Sequence[PublicPartition]) -> list[tuple[str, ...]]:
    """Return partitions of a clock from committed offsets as a table. `kind` is the title of their column."""
    return [(kind, *_PARTITIONS_HEAD), *map(_partition_row, partitions)]


def blame_lines(hold: Hold) -> Iterator[str]:
    """Yield the stage to blame for a hold, with the reason there. Nothing for a hold without upstream clocks."""
    if hold.upstream is None:
        return
    stage = last_of_chain(hold.upstream)
    why = "it has not emitted the next boundary" if stage["hold"] is None else _hold_text(stage["hold"])
    yield f"  The stage to blame is {stage_to_blame(hold)}: {why}."


def stage_to_blame(hold: Hold) -> str:
    """Return the name of the stage to blame for a hold; "" without upstream clocks."""
    if hold.upstream is None:
        return ""
    stage = last_of_chain(hold.upstream)
    return upstream_name(stage["clock"], stage["url"])


def _row(stage: Stage) -> tuple[str, ...]:
    return (
        str(stage.number),
        str(stage.name),
        "-" if stage.last_tick_ms is None else to_rfc3339(stage.last_tick_ms),
        stage.status or "not known",
        "-" if stage.stage_behind_ms is None else describe_duration(stage.stage_behind_ms),
        ("DELAYS THE PIPELINE. " if stage.to_blame else "") + _waits_for(stage),
    )


def _waits_for(stage: Stage) -> str:
    if stage.problem:
        return f"not readable: {stage.problem}"
    if stage.waits_for is not None:
        return str(stage.waits_for)
    found = [] if stage.hold is None else [_hold_text(stage.hold)]
    most = sorted(stage.waiting.items(), key=lambda item: -item[1])
    found += [f"{count:,} partition{'' if count == 1 else 's'}: {waits_for_text(one)}" for one, count in most]
    return "; ".join(found) or "-"


def _hold_text(hold: Mapping[str, Any]) -> str:
    named = name_first([partition_from_wire(one) for one in hold["partitions"]])
    return reason_text(hold["reason"]) + (f": {named}" if named else "")


def _partition_row(partition: PublicPartition) -> tuple[str, ...]:
    observed = partition.observed
    return (
        str(partition.partition),
        "not known" if partition.clock_ms is None else to_rfc3339(partition.clock_ms // 1000 * 1000),
        "-" if partition.behind_ms is None else describe_duration(partition.behind_ms),
        "-" if observed is None or observed.committed is None else f"{observed.committed:,}",
        "-" if observed is None or observed.end is None else f"{observed.end:,}",
        "-" if observed is None or not observed.waits_for else waits_for_text(observed.waits_for),
    )
